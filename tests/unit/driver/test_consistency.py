"""Consistency of a run: each partition once and in order; products that cannot be merged are named; errors in counts end the run."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fasthep_parsl.driver import api
from fasthep_parsl.driver.partial_products import PartialProducts
from fasthep_parsl.events import read_events
from fasthep_parsl.worker.partials import load_parts, save_parts
from fasthep_parsl.worker.runner import run_task

SUM = 140 * 139 // 2


@pytest.fixture
def both(small_files):
    return [small_files / "a.root", small_files / "b.root"]


def altered(monkeypatch, change):
    """Let workers answer what `change` makes of the result of a task."""
    monkeypatch.setattr("fasthep_parsl.worker.entry.run_task", lambda task: change(task, run_task(task)))


# --- order ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, 25, None])
def test_products_are_merged_in_the_order_of_events(flow, both, chunk):
    s = flow.stage
    flow.write(
        [
            s("Near", "probe.order", []),
            s("Pick", "hep.select", [], selection=["x != 3"]),
            s("Far", "probe.order", ["Pick"], "other"),
        ],
        both,
    )
    products = flow.run(flow.compile(chunk_size=chunk)).products
    assert products["Near", "order"] == list(range(140))
    assert products["Far", "order"] == [x for x in range(140) if x != 3]


@pytest.mark.slow
def test_repaired_partitions_are_merged_in_order(flow, both):
    s = flow.stage
    flag = flow.folder / "repaired"
    flow.write(
        [
            s("Fragile", "probe.fail", [], at=[7, 90, 91], once=str(flag)),
            s("Near", "probe.order", ["Fragile"]),
            s("Far", "probe.order", ["Fragile"], "other"),
            s("Float", "probe.float", ["Fragile"]),
        ],
        both,
    )
    plan = flow.compile(chunk_size=1)
    partial = flow.run(plan)
    assert partial.exit_code == 3
    without = [x for x in range(140) if x not in (7, 90, 91)]
    assert partial.products["Near", "order"] == partial.products["Far", "order"] == without
    flag.touch()
    before = len(list(read_events(flow.folder / "run" / "events.jsonl")))
    whole = flow.run(plan, "resume")
    assert whole.exit_code == 0
    assert whole.products["Near", "order"] == whole.products["Far", "order"] == list(range(140))
    later = list(read_events(flow.folder / "run" / "events.jsonl"))[before:]
    redone = [span for e in later if e.kind == "finished" and e.what == "map" for span in e.done]
    assert sum(b - a for a, b in redone) == 6  # three partitions of each of two segments
    clean = api.run(plan, outdir=flow.folder / "clean", plots=False)
    assert clean.products["Float", "float"] == whole.products["Float", "float"]


@pytest.mark.slow
def test_parts_are_merged_across_many_failures(flow, both, monkeypatch):
    monkeypatch.setattr("fasthep_parsl.driver.segment_state.MOST_PARTS", 4)
    monkeypatch.setattr("fasthep_parsl.worker.sums.Sums.limit.__defaults__", (4,))
    s = flow.stage
    flag = flow.folder / "repaired"
    flow.write(
        [
            s("Fragile", "probe.fail", [], at=list(range(0, 140, 6)), once=str(flag)),
            s("Order", "probe.order", ["Fragile"]),
        ],
        both,
    )
    plan = flow.compile(chunk_size=1)
    assert flow.run(plan).products["Order", "order"] == [x for x in range(140) if x % 6]
    flag.touch()
    assert flow.run(plan, "resume").products["Order", "order"] == list(range(140))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [3, 25, None])
def test_sums_of_floats_are_the_same_however_work_is_bundled(flow, both, monkeypatch, chunk):
    plan = flow.write([flow.stage("Float", "probe.float", [])], both).compile(chunk_size=chunk)
    found = set()
    for seconds in (1e-6, 1e-3, 0.1, 10.0):
        monkeypatch.setattr("fasthep_parsl.driver.bundle_size.BundleSizer.target", lambda *_, seconds=seconds: seconds)
        found.add(api.run(plan, outdir=flow.folder / "run", mode="force", plots=False).products["Float", "float"])
    assert len(found) == 1


# --- merge and products of users ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("probe.picky", "merge of op `probe.picky`: ValueError: probe: too much"),
        ("probe.forgetful", "merge of op `probe.forgetful`: it returned None"),
        ("probe.generator", "the product of op `probe.generator` cannot be pickled"),
    ],
)
def test_a_product_that_cannot_be_merged_or_written_fails_only_its_stage(flow, both, op, words):
    s = flow.stage
    flow.write([s("Bad", op, []), s("Sum", "probe.sum", [])], both)
    outcome = flow.run(flow.compile(chunk_size=5))
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert outcome.products == {("Sum", "sum"): SUM}
    assert outcome.summary["events"]["done"] == 140
    (failure,) = outcome.summary["failures"]
    assert (failure["stage"], failure["kind"], failure["partition"]) == ("Bad", "user", -1)
    assert failure["message"].startswith(words)
    lines = (flow.folder / "probe_ops.py").read_text().splitlines()
    if op == "probe.picky":
        file, _, line = failure["where"].partition(":")
        assert file == "probe_ops.py"
        assert "too much" in lines[int(line) - 1]
    assert not (flow.folder / "run" / "results" / "Bad").exists() or not any(
        (flow.folder / "run" / "results" / "Bad").iterdir()
    )


def test_a_run_of_nothing_but_such_a_stage_fails_early(flow, both):
    flow.write([flow.stage("Bad", "probe.picky", [])], both)
    outcome = flow.run(flow.compile(chunk_size=1))
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert "Bad cannot continue: its products cannot be merged" in outcome.error
    assert outcome.products == {}
    assert outcome.summary["events"]["done"] < 140


def test_a_stage_that_needs_such_a_product_is_not_run(flow, both):
    s = flow.stage
    flow.write(
        [
            s("Bad", "probe.picky", []),
            s("Sum", "probe.sum", []),
            s("Use", "probe.use", [], bind=("Bad", "sum", "given")),
            s("Last", "probe.sum", ["Use"], field="y"),
        ],
        both,
    )
    outcome = flow.run(flow.compile(chunk_size=5))
    assert outcome.exit_code == 3
    assert list(outcome.products) == [("Sum", "sum")]
    assert outcome.summary["blocked"] == {"Use/Last": "stage Bad has no product"}


# --- counted once ---------------------------------------------------------------------------------------------


def twice(task, result):
    return _with(result, parts=(*result.parts, *result.parts)) if task.kind == "map" else result


def less(task, result):
    return _with(result, events=result.events - 1) if task.kind == "map" else result


def other(task, result):
    return _with(result, done=((0, 1),)) if task.kind == "map" and task.partitions[0][0] else result


def forgets(task, result):
    return _with(result, parts=result.parts[1:], partial=result.partial) if task.kind == "merge" else result


def _with(result, **changes):
    return replace(result, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("change", [twice, less, other, forgets])
def test_inconsistent_counts_fail_the_run(flow, both, monkeypatch, change):
    altered(monkeypatch, change)
    monkeypatch.setattr("fasthep_parsl.driver.bundle_size.BundleSizer.target", lambda *_: 1e-6)
    flow.write([flow.stage("Sum", "probe.sum", [])], both)
    outcome = flow.run(flow.compile(chunk_size=5))
    assert outcome.exit_code == 1
    assert outcome.status == "failed"
    assert "partitions" in outcome.error or "events" in outcome.error


def test_the_final_check_finds_inconsistent_products(flow, both, monkeypatch):
    monkeypatch.setattr(PartialProducts, "end_merge", _forgetful_merge)
    monkeypatch.setattr("fasthep_parsl.driver.bundle_size.BundleSizer.target", lambda *_: 1e-6)
    flow.write([flow.stage("Sum", "probe.sum", [])], both)
    outcome = flow.run(flow.compile(chunk_size=5))
    assert outcome.exit_code == 1
    assert "products of Sum contain partitions" in outcome.error


def _forgetful_merge(self, task, file):
    old = self.merging.pop(task)
    self.add(replace(file, parts=(((file.first, file.last - 1),),), whole=True))
    return old


def test_a_product_file_with_other_content_is_not_used(flow, both, monkeypatch):
    """Its content is that of others: written by a worker that nobody has told that its task was given to another."""

    def change(task, result):
        if task.kind == "map" and task.partitions[0][0]:
            parts = load_parts(result.partial)
            save_parts(Path(result.partial), [*parts, *parts])
        return result

    altered(monkeypatch, change)
    monkeypatch.setattr("fasthep_parsl.driver.bundle_size.BundleSizer.target", lambda *_: 1e-6)
    flow.write([flow.stage("Sum", "probe.sum", [])], both)
    outcome = flow.run(flow.compile(chunk_size=5))
    assert outcome.exit_code == 1


# --- files that change ----------------------------------------------------------------------------------------


def replaced(path, by):
    """Replace a file by one of equal size and time."""
    stat = path.stat()
    shutil.copyfile(by, path)
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def write(path, events):
    """Write a file of 30,000 bytes."""
    import numpy as np
    import uproot

    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": np.dtype("int64")}).extend({"x": np.arange(events)})
    with path.open("ab") as file:
        file.truncate(30_000)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("events", [100, 90])
def test_a_file_that_was_replaced_by_one_of_equal_size_and_time(flow, tmp_path, events, reads):
    planned, later = tmp_path / "in.root", tmp_path / "later.root"
    write(planned, 100)
    write(later, events)
    stage = flow.stage("Sum", "probe.sum", []) if reads else flow.stage("Sum", "probe.alone", [])
    plan = flow.write([stage], [planned]).compile(chunk_size=30)
    replaced(planned, later)
    outcome = flow.run(plan)
    assert outcome.exit_code == 1
    words = "has 90 events, not 100" if events == 90 else "was replaced after the plan was made"
    assert all(words in failure["message"] for failure in outcome.summary["failures"])
    assert outcome.summary["failures"]
    again = flow.run(flow.compile(chunk_size=30), "force")  # the cache of headers does not keep the old one
    assert again.exit_code == 0
    assert again.summary["events"]["total"] == events


# --- the event log --------------------------------------------------------------------------------------------


def damage_line(line, how):
    if how == "digit":  # still JSON: only a checksum tells
        return line.replace('"done":[[', '"done":[[1').replace('"cpu":', '"cpu":1')
    if how == "zeros":
        return "\0" * (len(line) - 1) + "\n"
    if how == "gone":
        return ""
    if how == "twice":
        return line * 2
    return line[: len(line) // 2] + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["digit", "zeros", "gone", "half", "twice"])
def test_the_task_of_a_damaged_line_is_repeated_and_nothing_is_counted_twice(flow, both, how, monkeypatch):
    s = flow.stage
    stages = [s("Sum", "probe.sum", []), s("Pick", "hep.select", [], selection=["x >= 0"])]
    stages += [s("Far", "probe.order", ["Pick"], "other")]
    monkeypatch.setattr("fasthep_parsl.driver.bundle_size.BundleSizer.target", lambda *_: 1e-6)
    plan = flow.write(stages, both).compile(chunk_size=10)
    flow.run(plan)
    run = flow.folder / "run"
    shutil.copytree(run, flow.folder / "kept")
    log = run / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if '"kind":"finished"' in line]
    for place in (places[0], places[len(places) // 2], places[-1]):
        log.write_text("".join([*lines[:place], damage_line(lines[place], how), *lines[place + 1 :]]))
        outcome = flow.run(plan, "resume")
        assert outcome.exit_code == 0
        assert outcome.products == {("Sum", "sum"): SUM, ("Far", "order"): list(range(140))}
        told = [words for words in outcome.summary["warnings"] if "events.jsonl" in words]
        assert bool(told) == (how in ("digit", "zeros", "half"))
        shutil.rmtree(run)
        shutil.copytree(flow.folder / "kept", run)


def test_lines_of_a_replaced_driver_do_not_count(flow, both, monkeypatch):
    plan = flow.write([flow.stage("Sum", "probe.sum", [])], both).compile(chunk_size=10)
    flow.run(plan)
    log = flow.folder / "run" / "events.jsonl"
    line = next(line for line in log.read_text().splitlines(keepends=True) if '"kind":"finished"' in line)
    flow.run(plan, "resume")
    with log.open("a") as file:
        file.write(line)
    assert flow.run(plan, "resume").products["Sum", "sum"] == SUM
