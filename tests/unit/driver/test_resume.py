"""Resume: a stopped run ends with the results of a clean one; nothing is counted twice, nothing is missing."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.driver import api
from fasthep_parsl.driver.resume import restore
from fasthep_parsl.events import read_events
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.worker.partials import load_parts
from fasthep_parsl.worker.reading import Reader
from fasthep_parsl.worker.runner import run_task
from fasthep_parsl.worker.spans import union

SUM = 140 * 139 // 2


def run(flow, plan, mode="new"):
    return api.run(plan, outdir=flow.folder / "run", mode=mode, plots=False, check=False)


@pytest.fixture
def small(flow, small_files):
    """72 partitions of one or two events; a sum and a sum behind another pool, and all events at once."""
    s = flow.stage
    flow.write(
        [
            s("Sum", "probe.sum", []),
            s("Pick", "hep.select", [], selection=["x >= 0"]),
            s("Far", "probe.sum", ["Pick"], "other"),
            s("All", "probe.all", ["Pick"]),
            s("Use", "probe.use", ["Pick"], bind=("All", "all", "given")),
            s("Last", "probe.sum", ["Use"], field="y"),
        ],
        [small_files / "a.root", small_files / "b.root"],
    )
    return flow.compile(chunk_size=2).model_copy(update={"pass_size": 1})


EXPECTED = {
    ("Sum", "sum"): SUM,
    ("Far", "sum"): SUM,
    ("All", "all"): {"events": 140, "sum": float(SUM)},
    ("Last", "sum"): SUM + 140 * 140,
}


class Stopped(KeyboardInterrupt):
    """What the user does, at a chosen task."""


def stop_after(monkeypatch, tasks):
    """Let the run be interrupted after so many tasks."""
    left = iter(range(tasks))

    def limited(task):
        if next(left, None) is None:
            raise Stopped
        return run_task(task)

    monkeypatch.setattr("fasthep_parsl.worker.entry.run_task", limited)


def finished(flow, what=""):
    events = read_events(flow.folder / "run" / "events.jsonl")
    return [e for e in events if e.kind == "finished" and (not what or e.what == what)]


def check(outcome):
    assert outcome.error == ""
    assert outcome.status == "complete"
    assert outcome.products == EXPECTED
    assert outcome.summary["partitions"] == {"total": 72, "done": 72, "failed": 0, "missing": 0}
    assert outcome.summary["events"]["done"] == 140


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 5, 9, 1000])
def test_what_a_server_refused_is_neither_lost_nor_counted_twice(flow, small, monkeypatch, stop):
    """The server refuses a file twice, and the run is interrupted some tasks later, or not at all."""
    read, refusals, reads = Reader.read, [], []

    def refuses(self, span, place):
        reads.append(span)
        path = self._plan.datasets[place[0]].files[place[1]].path
        if path.endswith("b.root") and len(refusals) < 2:
            refusals.append(span)
            raise InputFileError(path, "permission denied", cause="not_permitted")
        return read(self, span, place)

    monkeypatch.setattr(Reader, "read", refuses)
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        first = run(flow, small)
    assert (first.status == "complete") is (stop == 1000)
    assert first.summary["failures"] == []
    outcome = first if stop == 1000 else run(flow, small, "resume")
    check(outcome)
    returned = [span for event in finished(flow, "map") for span in event.returned]
    if stop == 1000:  # else it may be interrupted before it looks at the result
        assert union(returned) == union(refusals)
    assert len(refusals) == 2


def test_a_clean_run(flow, small):
    check(run(flow, small))


@pytest.mark.slow
def test_a_complete_run_does_nothing_more(flow, small):
    run(flow, small)
    before = len(finished(flow))
    check(run(flow, small, "resume"))
    assert len(finished(flow)) == before


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [0, 1, 5, 8])
def test_an_interrupted_run_goes_on(flow, small, monkeypatch, tasks):
    with monkeypatch.context() as patch:
        stop_after(patch, tasks)
        outcome = run(flow, small)
    assert outcome.exit_code == 130 or len(finished(flow)) <= tasks
    done = {e.task for e in finished(flow)}
    check(run(flow, small, "resume"))
    assert len(done) == min(tasks, len(done))
    assert len({e.task for e in finished(flow)}) == len(finished(flow))  # numbers are not used twice


@pytest.mark.slow
def test_a_run_interrupted_again_and_again(flow, small, monkeypatch):
    mode = "new"
    for _ in range(20):
        with monkeypatch.context() as patch:
            stop_after(patch, 5)  # more than are open at once, so that each run gets further
            outcome = run(flow, small, mode)
        mode = "resume"
        if outcome.status == "complete":
            break
    check(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [7, 1000])
@pytest.mark.parametrize(
    ("kind", "which"),
    [("products/map-0", 0), ("products/m", -1), ("products/call", 0), ("products/merge", 0), ("streams", 0)],
)
def test_missing_files_are_made_again(flow, small, monkeypatch, tasks, kind, which):
    with monkeypatch.context() as patch:
        stop_after(patch, tasks)
        run(flow, small)
    folder, _, prefix = kind.partition("/")
    files = sorted((flow.folder / "run" / "work" / folder).glob(f"{prefix}*"))
    if not files:
        return  # nothing of that kind at this point
    files[which].unlink()
    check(run(flow, small, "resume"))


@pytest.mark.slow
def test_only_the_event_log_is_left(flow, small):
    run(flow, small)
    for file in (flow.folder / "run" / "work").rglob("*.*"):
        file.unlink()
    check(run(flow, small, "resume"))


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 300])
def test_a_half_written_last_line(flow, small, monkeypatch, cut):
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        run(flow, small)
    log = flow.folder / "run" / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if '"kind":"finished"' in line)
    log.write_text("".join(lines[: last + 1])[:-cut])
    check(run(flow, small, "resume"))
    check(run(flow, small, "resume"))


def test_failed_partitions_are_repeated_and_so_are_tasks_that_missed_them(flow, small_files):
    s = flow.stage
    flag = flow.folder / "repaired"
    flow.write(
        [
            s("Fragile", "probe.fail", [], at=[7, 90], once=str(flag)),
            s("Sum", "probe.sum", ["Fragile"]),
            s("All", "probe.all", ["Fragile"]),
            s("Use", "probe.use", ["Fragile"], bind=("All", "all", "given")),
            s("Last", "probe.sum", ["Use"], field="y"),
        ],
        [small_files / "a.root", small_files / "b.root"],
    )
    plan = flow.compile(chunk_size=10)
    outcome = run(flow, plan)
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert outcome.products["All", "all"]["events"] < 140
    missing = json.loads((flow.folder / "run" / "missing.json").read_text())
    steps = [step for file in missing["small"]["files"].values() for step in file["steps"]]
    assert any(a <= 7 < b for a, b in steps)
    flag.touch()
    outcome = run(flow, plan, "resume")
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == SUM
    assert outcome.products["All", "all"] == {"events": 140, "sum": float(SUM)}
    assert outcome.products["Last", "sum"] == SUM + 140 * 140
    assert not (flow.folder / "run" / "missing.json").exists()


def test_the_state_after_no_events_is_the_initial_state(small):
    states, first = restore(small, [])
    assert first == 0
    assert list(states[0].spans) == [(0, 72)]
    assert not any(state.done or state.partials.files for state in states)


def test_partial_sums_cover_what_is_done(flow, small, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        run(flow, small)
    states, first = restore(small, read_events(flow.folder / "run" / "events.jsonl"))
    assert first > 5 - 1
    assert union(states[0].partials.spans()) == states[0].done != []
    sums = [part.products["Sum"] for file in states[0].partials.files for part in load_parts(file.path)]
    done = [small.partition_range(n) for first, last in states[0].done for n in range(first, last)]
    begins = {"a.root": 0, "b.root": 100}
    assert sum(sums) == sum(
        begins[file.path.split("/")[-1]] + x for _, file, start, stop in done for x in range(start, stop)
    )


@pytest.mark.slow
def test_a_complete_run_keeps_no_streams(flow, small):
    run(flow, small)
    assert not (flow.folder / "run" / "work" / "streams").exists()
    for path in (flow.folder / "run" / "work" / "products").iterdir():
        path.unlink()
    check(run(flow, small, "resume"))  # streams and products are made again


def test_only_the_failed_part_of_a_chunk_is_repeated(flow, small_files):
    s = flow.stage
    switch = flow.folder / "broken"
    chain = [
        s("Pick", "hep.select", [], selection=["x >= 0"]),
        s("Bad", "my.fails", ["Pick"], "other", switch=str(switch)),
        s("Far", "probe.sum", ["Bad"], "other"),
    ]
    (flow.folder / "my_ops.py").write_text(
        "from pathlib import Path\n"
        "from fasthep_parsl import op\n\n"
        '@op("my.fails", reads=["x"])\n'
        "def fails(events, *, switch: str):\n"
        "    if Path(switch).exists() and (events.x == 33).any():\n"
        '        raise ValueError("not now")\n'
        "    return {}\n"
    )
    flow.write(chain, [small_files / "a.root", small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    plan = flow.compile(chunk_size=2)
    switch.touch()
    first = run(flow, plan)
    assert (first.status, len(first.summary["failures"])) == ("partial", 1)
    switch.unlink()
    again = run(flow, plan, "resume")
    assert again.status == "complete", again.error
    assert again.products["Far", "sum"] == SUM
