import io
import time

import pytest
from rich.console import Console

from fasthep_parsl.cli import progress
from fasthep_parsl.driver import progress_lines
from fasthep_parsl.events import PoolChanged, ServerChanged
from fasthep_parsl.plan import Plan, PlanBlock, PlanDataset, PlanFile, PlanPool, PlanSegment, PlanSource, PlanStage
from sample_events import block, finished, partition_failed, submitted


@pytest.fixture
def plan():
    stage = PlanStage(id="Sel", op="hep.select")
    segment = PlanSegment(id=0, pool="default", stages=("Sel",))
    file = PlanFile(path="/a.root", entries=100, edges=(0, 50, 100))
    return Plan(
        name="w",
        workflow="w.yaml",
        site="local",
        backend="local",
        strategy="local",
        chunk_size=50,
        pass_size=100,
        source=PlanSource(params={"tree": "Events"}),
        datasets=(PlanDataset(name="dy", files=(file,)),),
        stages=(stage,),
        segments=(segment,),
        pools=(PlanPool(name="default", workers=1, cpus=1, memory=10**9),),
    )


def test_plain_lines_come_even_if_nothing_happens(plan, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_PERIOD", 0.05)
    out = io.StringIO()
    with progress.make_progress(plan, Console(file=out), quiet=False) as observe:
        observe(PoolChanged(pool="default", state="up"))
        deadline = time.monotonic() + 10
        while "waiting" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        observe(finished(events=50))
        observe(partition_failed())
        while "50 of 100 events" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert lines[0].endswith("pool default: up")
    assert any("0 of 100 events" in line and "waiting" in line for line in lines)
    assert any("50 of 100 events" in line and "s left" in line and "1 failed" in line for line in lines)
    assert "\x1b" not in out.getvalue()


def wait_for(condition):
    """Wait until something is shown; at most as long as a full machine may take."""
    until = time.monotonic() + 30
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


def test_nothing_where_quiet(plan):
    out = io.StringIO()
    with progress.make_progress(plan, Console(file=out), quiet=True) as observe:
        assert observe is None
    assert out.getvalue() == ""


def test_a_bar_that_fits_a_terminal_of_80_columns(plan):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, color_system=None)
    with progress.make_progress(plan, console, quiet=False) as observe:
        observe(submitted())
        observe(finished(events=50))
        wait_for(lambda: all(word in out.getvalue() for word in ("50%", "events/s", "left")))
    frames = out.getvalue().replace("\x1b[2K", "\n").replace("\r", "\n").splitlines()
    assert any("50%" in frame and "events/s" in frame and "left" in frame for frame in frames)
    assert max(map(len, frames)) <= 80 + len("\x1b[?25l")


@pytest.mark.parametrize(("stages", "shown"), [(["A"], "A"), (["A", "B", "C"], "A…C"), (["x" * 30], "x" * 23 + "…")])
def test_names_next_to_the_bar_are_short(stages, shown):
    assert progress._shortened(stages) == shown


def test_headers_of_many_files_are_counted(monkeypatch):
    monkeypatch.setattr(progress, "HEADER_PERIOD", 0.0)
    out = io.StringIO()
    lines = progress.HeaderLines(Console(file=out))
    for done in range(1, 4):
        lines(done, 3)
    assert out.getvalue().splitlines() == ["reading headers: 1 of 3 files", "reading headers: 2 of 3 files"]


def test_reasons_of_waiting_jobs_have_a_line_when_they_are_stable(plan, monkeypatch):
    monkeypatch.setattr(progress_lines, "SETTLED", 0.2)
    monkeypatch.setattr(progress, "PLAIN_PERIOD", 0.05)
    jobs = PlanBlock(memory=10**9, walltime=600.0, queue="big")
    pool = plan.pools[0].model_copy(update={"block": jobs, "provider": "slurm"})
    out = io.StringIO()

    def happens(state, **facts):
        observe(block(state, "7", **facts))

    with progress.make_progress(plan.model_copy(update={"pools": (pool,)}), Console(file=out), quiet=False) as observe:
        happens("submitted")
        happens("waiting", message="Priority")
        wait_for(lambda: "(Priority)" in out.getvalue())
        time.sleep(0.4)
        happens("failed", message="node fell over", node="c1")
        happens("failed", message="node fell over", node="c1")
    text = out.getvalue()
    assert text.count("pool default: 1 job waits in queue big (Priority), 0 up") == 1
    assert text.count("pool default: job 7 on c1 has failed: node fell over") == 1


def test_reasons_of_waiting_jobs_are_below_the_bar(plan):
    jobs = PlanBlock(memory=10**9, walltime=600.0, queue="big")
    pool = plan.pools[0].model_copy(update={"block": jobs, "provider": "slurm"})
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, color_system=None)
    with progress.make_progress(plan.model_copy(update={"pools": (pool,)}), console, quiet=False) as observe:
        for state in ("submitted", "waiting"):
            observe(block(state, "7", message="Priority"))
        wait_for(lambda: "(Priority)" in out.getvalue())
    assert "pool default: 1 job waits in queue big (Priority), 0 up" in out.getvalue()


def test_servers_that_are_avoided_are_named(plan):
    out = io.StringIO()
    with progress.make_progress(plan, Console(file=out), quiet=False) as observe:
        observe(ServerChanged(server="root://a", state="avoided", cause="not_found", message="no such file"))
        observe(ServerChanged(server="root://b", state="avoided", cause="slow"))
        observe(ServerChanged(server="root://a", state="used", cause="not_found"))
    lines = [line.partition(" ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        "root://a is avoided (not found: no such file)",
        "root://b is avoided (slow: other servers are far faster)",
        "root://a works again",
    ]
