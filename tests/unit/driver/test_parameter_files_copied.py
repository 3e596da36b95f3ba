"""The run directory has read-only copies of the files that parameters name, with the content of the plan."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.driver import parameter_files
from fasthep_parsl.driver.parameter_files import copy_parameter_files
from fasthep_parsl.driver.run_directory import prepare
from fasthep_parsl.errors import ConfigError

OPS = Path(__file__).parents[2] / "file_ops.py"


@pytest.fixture
def make(flow, small_files):
    """Return the plan of a stage with a table and a folder of models."""
    shutil.copyfile(OPS, flow.folder / "file_ops.py")
    (flow.folder / "table.json").write_text('{"scale": 2}')
    (flow.folder / "model" / "in").mkdir(parents=True)
    (flow.folder / "model" / "in" / "a.json").write_text('{"scale": 3}')
    (flow.folder / "model" / "empty").touch()

    def make(**params):
        stage = flow.stage("S", "file.scale", **{"table": "table.json", "folder": "model", **params})
        flow.write([stage], [small_files / "a.root"], use={"modules": ["file_ops.py"]})
        return flow.compile()

    return make


@pytest.fixture
def folder(flow):
    return flow.folder


def copies(run_dir):
    root = run_dir / "code" / "files"
    return {path.relative_to(root).as_posix().partition("/")[2]: path for path in root.rglob("*") if path.is_file()}


def edit(path, text):
    """Edit in place, keeping size and time."""
    found = path.stat()
    assert len(text) == found.st_size
    path.write_text(text)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "plain"])
def test_copies_are_read_only_and_not_links(make, folder, monkeypatch, kernel):
    if not kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    plan = make()
    found = copies(prepare(folder / "run", plan, "new").path)
    assert set(found) == {"table.json", "model/in/a.json", "model/empty"}
    for name, path in found.items():
        original = folder / name
        assert path.read_bytes() == original.read_bytes()
        assert path.stat().st_ino != original.stat().st_ino
        assert path.stat().st_mode & 0o777 == 0o444
    edit(folder / "table.json", '{"scale": 9}')
    assert found["table.json"].read_text() == '{"scale": 2}'


def test_a_copy_that_the_kernel_ends_early_is_completed(make, folder, monkeypatch):
    parts = iter([5, 0])

    def some(source, copy, count):
        return os.write(copy, os.read(source, next(parts)))

    monkeypatch.setattr(os, "copy_file_range", some, raising=False)
    plan = make(folder=None)
    assert copies(prepare(folder / "run", plan, "new").path)["table.json"].read_text() == '{"scale": 2}'
    assert next(parts, None) is None


@pytest.mark.parametrize("name", ["table.json", "model/in/a.json"])
@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_file_that_changes_after_the_plan_is_refused(make, folder, name, change):
    plan = make()
    if change == "edit":
        edit(folder / name, '{"scale": 9}')
    else:
        (folder / name).unlink()
    with pytest.raises(ConfigError) as caught:
        prepare(folder / "run", plan, "new")
    (problem,) = caught.value.problems
    assert problem.code == "E113"
    assert str(folder / name) in problem.message
    assert name not in copies(folder / "run")  # nothing half


def test_good_copies_are_kept_and_damaged_ones_replaced(make, folder):
    plan = make()
    found = copies(prepare(folder / "run", plan, "new").path)
    before = {name: path.stat().st_ino for name, path in found.items()}
    copy_parameter_files(plan, folder / "run" / "code")
    assert {name: path.stat().st_ino for name, path in found.items()} == before
    for name in ("table.json", "model/in/a.json"):
        found[name].chmod(0o644)
        edit(found[name], '{"scale": 7}')
    (found["model/in/a.json"].parent / "more").touch()
    copy_parameter_files(plan, folder / "run" / "code")
    found = copies(folder / "run")
    assert set(found) == set(before)
    assert all(path.read_bytes() == (folder / name).read_bytes() for name, path in found.items())


def test_a_moved_file_is_the_same_run_and_an_edited_one_is_not(make, folder):
    prepare(folder / "run", make(), "new")
    (folder / "tables").mkdir()
    (folder / "table.json").rename(folder / "tables" / "table.json")
    (folder / "model").rename(folder / "tables" / "model")
    moved = {"table": "tables/table.json", "folder": "tables/model"}
    assert prepare(folder / "run", make(**moved), "resume").resumed
    edit(folder / "tables" / "table.json", '{"scale": 9}')
    edit(folder / "tables" / "model" / "in" / "a.json", '{"scale": 9}')
    with pytest.raises(ConfigError, match=r"contains another run: model, table\.json changed \("):
        prepare(folder / "run", make(**moved), "resume")
    assert not prepare(folder / "run", make(**moved), "force").resumed
    assert copies(folder / "run")["table.json"].read_text() == '{"scale": 9}'


def test_a_file_in_the_run_directory_is_refused_before_it_is_removed(make, folder):
    prepare(folder / "run", make(), "new")
    precious = folder / "run" / "results" / "model.json"
    precious.parent.mkdir()
    precious.write_text('{"scale": 1}')
    (folder / "link.json").symlink_to(precious)
    for params in ({"table": "run/results/model.json"}, {"table": "link.json"}, {"folder": "."}, {"folder": "run"}):
        plan = make(**params)
        for mode in ("new", "force", "resume"):
            with pytest.raises(ConfigError, match="run would write to"):
                prepare(folder / "run", plan, mode)
    assert precious.exists()


def test_a_full_disk_is_no_edit(make, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parameter_files, "_copy_content", full)
    with pytest.raises(ConfigError, match="disk"):
        prepare(folder / "run", make(), "new")
