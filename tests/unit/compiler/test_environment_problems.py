"""What environments refuse when a plan is made, with its place in the file."""

from __future__ import annotations

import pytest

from fasthep_parsl.errors import ConfigError

MANIFEST = """
[workspace]
name = "analysis"
channels = ["conda-forge"]
platforms = ["linux-64"]
[dependencies]
python = "3.11.*"
"""


@pytest.fixture
def problem(flow, small_files):
    """Return the only problem of a workflow with this environment; None without one."""

    def problem(environment, backend="parsl"):
        execution = {"backend": backend, "environment": environment, "pools": flow.pools}
        flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"], execution=execution)
        try:
            flow.compile()
        except ConfigError as error:
            (found,) = error.problems
            return found
        return None

    return problem


def test_a_missing_lock_file_is_found_before_anything_starts(flow, problem):
    pytest.importorskip("rattler")
    (flow.folder / "pixi.toml").write_text(MANIFEST)
    found = problem({"kind": "packed-pixi"})
    assert (found.code, found.key) == ("E114", "execution.environment")
    assert str(flow.path) == found.where.file
    assert "pixi.lock`: " in found.message
    assert "pixi lock" in str(found.hint)


def test_a_missing_pack_is_found(problem):
    found = problem({"kind": "packed-pixi", "pixi_pack": "none.tar"})
    assert (found.code, found.key) == ("E114", "execution.environment")
    assert "none.tar" in found.message


def test_a_folder_without_python_is_found(tmp_path, problem):
    found = problem({"kind": "packed-prefix", "prefix": str(tmp_path)})
    assert (found.code, found.key) == ("E114", "execution.environment")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").touch()
    assert problem({"kind": "packed-prefix", "prefix": str(tmp_path)}) is None


def test_backend_local_needs_no_environment(tmp_path, problem):
    assert problem({"kind": "packed-prefix", "prefix": str(tmp_path)}, backend="local") is None
