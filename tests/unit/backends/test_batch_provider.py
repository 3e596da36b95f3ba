"""A provider writes the scripts of blocks and submits them by their number."""

from __future__ import annotations

import threading

import pytest

from fasthep_parsl.backends.parsl.batch_provider import BatchProvider
from fasthep_parsl.backends.parsl.provider_base import Submission
from fasthep_parsl.blocks.worker_command import Link
from fasthep_parsl.strategies.htcondor import HTCondor
from strategy_cases import pool

LINK = Link("login1", "9000", "/run/certificates", "/run/logs", None)


@pytest.fixture
def provider(tmp_path, monkeypatch):
    """A provider for nodes that do not see the run directory; `condor_submit` accepts everything."""
    program = tmp_path / "bin" / "condor_submit"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 1 >> {tmp_path}/submissions\necho 7.0 - 7.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    far = pool(shared=False).model_copy(update={"provider": "htcondor", "options": {}})
    run_dir, folder = (type(tmp_path)(name) for name in ("run", "elsewhere"))
    return BatchProvider(far, run_dir, folder, "job", threading.Event())


def test_blocks_bring_files_of_the_run_directory_wherever_their_scripts_are(provider, tmp_path):
    provider.prepare(LINK)
    assert provider.submit_block(3) == Submission("7.0")
    assert provider.jobs_by_block == {3: "7.0"}
    script = (tmp_path / "elsewhere" / "block.3.sub").read_text()
    assert f"{tmp_path}/run/plan.json" in script
    assert (tmp_path / "elsewhere" / "node.sh").exists()


def test_parsl_submits_nothing(provider, tmp_path):
    assert provider.submit("3", 1) is None
    assert not (tmp_path / "submissions").exists()


def test_a_strategy_that_raises_is_a_refusal(provider, monkeypatch):
    def script(self, pool, place):
        raise ZeroDivisionError("no nodes")

    monkeypatch.setattr(HTCondor, "script", script)
    assert provider.submit_block(0) == Submission("", "ZeroDivisionError: no nodes")
    assert provider.jobs_by_block == {}


def test_a_closing_run_still_finds_and_removes_jobs_whose_submission_was_not_answered(tmp_path, monkeypatch):
    programs = {
        "sbatch": "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1",
        "squeue": f"echo '7|{tmp_path}/blocks/block.0.sh'",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "blocks").mkdir()
    closing = threading.Event()
    on_slurm = pool().model_copy(update={"provider": "slurm", "options": {}})
    slurm = BatchProvider(on_slurm, tmp_path, tmp_path / "blocks", "job", closing)
    assert slurm.submit_block(0).transient
    closing.set()
    assert slurm.query(["7"]) is None  # queries end with the run
    assert slurm.find_again() == {0: "7"}
    assert slurm.remove(["7"]).ok
    assert (tmp_path / "cancelled").read_text() == "7\n"
