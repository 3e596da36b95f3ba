"""What cannot work on a Slurm cluster is said: in Slurm's words or in those of the workers, and in bounded time."""

from __future__ import annotations

import socket
import time

import pytest

from integration.slurm_yard import POOL, QUEUES, TOTAL, Yard, on_slurm, scenarios

pytestmark = pytest.mark.slurm


@on_slurm()
def pools_refused(yard: Yard) -> None:
    """A queue that does not exist, an account that is not allowed: only the stages of these pools are missing."""
    no_account = (
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    )
    yard.cluster.break_command("sbatch", partition="highmem", stderr=no_account)
    queues = {**QUEUES, "nosuch": QUEUES["highmem"]}
    wrong = {name: {**POOL, "queue": name} for name in ("nosuch", "highmem")}
    run = yard.run(
        ("Typo", "fault.sum", {}, "nosuch"),
        ("Poor", "fault.sum", {}, "highmem"),
        site={"queues": queues},
        default=POOL,
        **wrong,
    )
    code, output, _ = run.end()
    assert code == 3, output
    assert run.product("Sum") == TOTAL
    blocked = run.summary()["blocked"]
    assert "invalid partition specified: nosuch" in blocked["Typo"]
    assert "Invalid account or account/partition" in blocked["Poor"]
    assert len(run.blocks("refused", pool="nosuch")) == 3


def fails(run, *expected: str, seconds: float = 240) -> str:
    """Wait for the end: failed, and these words are in what the user sees."""
    code, output, _ = run.end(seconds)
    assert code == 1, output
    said = "\n".join([run.summary()["error"], *run.summary()["blocked"].values()])
    for words in expected:
        assert words in said
        assert words in output
    return said


@on_slurm()
def address_that_workers_cannot_reach(yard: Yard) -> None:
    began = time.monotonic()
    run = yard.run(site={"network": {"address": "127.0.0.2"}})
    fails(run, "cannot reach the driver at 127.0.0.2:", "refused")
    assert time.monotonic() - began < 200
    assert len(run.jobs()) <= 3


@on_slurm()
def another_parsl_on_the_workers(yard: Yard) -> None:
    old = yard.folder / "old" / "parsl-2023.1.2.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: parsl\nVersion: 2023.1.2\n")
    (old.parent / "parsl").mkdir()  # metadata of what Python would not import does not count
    (old.parent / "parsl" / "__init__.py").touch()
    run = yard.run(site={"worker_init": [f'export PYTHONPATH={old.parent}:"$PYTHONPATH"']})
    fails(run, "`parsl` is 2023.1.2 (driver: ")


@on_slurm()
def worker_init_that_fails_everywhere(yard: Yard) -> None:
    run = yard.run(site={"worker_init": ["source /no/such/setup.sh"]})
    fails(run, "/no/such/setup.sh: No such file or directory", "worker_init ended with code 1")
    assert len(run.jobs()) <= 3


@on_slurm()
def no_port_left(yard: Yard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = yard.run(site={"network": {"address": "127.0.0.1", "ports": str(port)}})
        code, output, _ = run.end()
    assert code == 4, output
    assert f"port {port} is in use" in output
    assert yard.cluster.command_counts().get("sbatch", 0) == 0


@on_slurm()
def no_slurm_on_this_machine(yard: Yard) -> None:
    run = yard.run(env={"PATH": str(yard.folder)})
    code, output, _ = run.end()
    assert code == 4, output
    assert "sbatch" in output
    assert "Traceback" not in output
    assert run.events("pool") == []


REFUSALS = scenarios(globals())


@pytest.mark.parametrize("scenario", REFUSALS, ids=lambda scenario: scenario.name)
def test_what_cannot_work_is_said(campaign, scenario):
    campaign.result(scenario)
