"""Tasks on workers: results do not depend on partitions, and a failure affects only its own partition."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.errors import FastHepError
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.tasks import Task
from fasthep_parsl.worker.program import program
from fasthep_parsl.worker.reading import Reader
from fasthep_parsl.worker.runner import run_task

SUM = 140 * 139 // 2


@pytest.fixture
def both(small_files):
    return [small_files / "a.root", small_files / "b.root"]


def jets(flow):
    s = flow.stage
    return [
        s("Some", "hep.select", [], selection=["x > 3"]),
        s("Sum", "probe.sum", ["Some"]),
        s("Jets", "probe.sum", ["Some"], field="nJet"),
        s(
            "Hist",
            "hep.hist",
            ["Some"],
            axes=[{"name": "pt", "source": "Jet_pt", "type": "regular", "bins": {"nbins": 5, "low": 0, "high": 40}}],
        ),
        s("Cuts", "hep.selection.cutflow", ["Some"], selection={"two": ["nJet >= 2", "x < 90"]}),
        s("Far", "probe.sum", ["Some"], "other"),
        s("Lengths", "probe.lengths", []),
    ]


@pytest.fixture(scope="module")
def reference():
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "size"), [(None, None), (1, None), (7, None), (7, 1), (7, 20), (25, 60), (1000, 1)])
def test_results_do_not_depend_on_chunks_and_passes(flow, both, reference, long_passes, chunk, size):
    plan = flow.write(jets(flow), both).compile(chunk_size=chunk)
    if size:
        plan = plan.model_copy(update={"pass_size": size})
    outcome = flow.run(plan)
    assert outcome.status == "complete"
    products = dict(outcome.products)
    lengths = products.pop(("Lengths", "lengths"))
    assert sum(lengths) == 140
    histogram = products.pop(("Hist", "hist"))
    found = (products, histogram.hist.values(flow=True).tolist(), histogram.none, histogram.nan)
    assert found == reference.setdefault("all", found)
    assert found[0]["Sum", "sum"] == found[0]["Far", "sum"] == SUM - 6
    if chunk == 7 and size is None:
        assert sorted(lengths) == [40, 100]  # adjacent partitions in one pass, never over the end of a file
    if size == 1:
        assert len(lengths) == plan.partitions
    if size == 20:
        assert max(lengths) <= 20
        assert len(lengths) < plan.partitions


def test_writers_see_every_partition_alone(flow, both):
    flow.write([flow.stage("W", "probe.alone", [])], both)
    plan = flow.compile(chunk_size=20)
    seen = flow.run(plan).products["W", "lengths"]
    assert sorted(seen) == [
        (f"small-{n:06d}", b - a) for n, (_, _, a, b) in enumerate(map(plan.partition_range, range(plan.partitions)))
    ]


def test_a_partition_that_fails_is_found_and_named(flow, both):
    flow.write([flow.stage("Bad", "probe.fail", [], at=[33, 120]), flow.stage("Sum", "probe.sum", ["Bad"])], both)
    plan = flow.compile(chunk_size=5)
    outcome = flow.run(plan)
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    failures = outcome.summary["failures"]
    begins = {"a.root": 0, "b.root": 100}
    lost = {begins[Path(f["file"]).name] + n for f in failures for n in range(f["entry_start"], f["entry_stop"])}
    assert {33, 120} <= lost
    assert len(lost) == 10
    assert outcome.products["Sum", "sum"] == SUM - sum(lost)
    line = next(
        n for n, text in enumerate((flow.folder / "probe_ops.py").read_text().splitlines(), 1) if "bad event" in text
    )
    for failure in failures:
        assert failure["stage"] == "Bad"
        assert failure["where"] == f"probe_ops.py:{line}"
        assert failure["message"] == "ValueError: probe: bad event"
        assert failure["kind"] == "user"
        assert failure["dataset"] == "small"
    assert outcome.summary["events"] == {"total": 140, "done": 130, "read": 130}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cause", "kind"),
    [("not_permitted", "credential"), ("not_authenticated", "credential"), ("not_found", "data"), ("", "data")],
)
def test_a_server_that_refuses_a_file_is_asked_once_for_a_pass(flow, both, long_passes, monkeypatch, cause, kind):
    asked = []

    def refuses(self, span, place):
        asked.append(span)
        raise InputFileError("root://host//a.root", "no", cause=cause)

    plan = flow.write([flow.stage("Sum", "probe.sum", [])], [both[0]]).compile(chunk_size=5)
    run_dir = flow.run(plan).run_dir
    monkeypatch.setattr(Reader, "read", refuses)
    task = Task("map", 0, 0, (str(run_dir / "plan.json"), plan.hash), str(run_dir), partitions=((0, 20),))
    result = run_task(task)
    assert [(f.partition, f.kind) for f in result.failures] == [(p, kind) for p in range(20)]
    assert {f.message for f in result.failures} == {"root://host//a.root: no"}
    assert (len(asked) == 1) is bool(cause)


def test_everything_fails(flow, both):
    flow.write([flow.stage("Bad", "probe.fail", [], at=list(range(140))), flow.stage("S", "probe.sum", ["Bad"])], both)
    outcome = flow.run(chunk_size=50)
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert outcome.products == {}
    assert outcome.summary["partitions"]["failed"] == 3


@pytest.mark.parametrize(
    ("op", "message"),
    [("probe.wrong", "returned an int: return a dict"), ("probe.short", "101 entries of `z` for 100 events")],
)
def test_ops_that_return_nonsense_are_told(flow, small_files, op, message):
    flow.write([flow.stage("Odd", op, []), flow.stage("S", "probe.sum", ["Odd"])], [small_files / "a.root"])
    (failure,) = flow.run().summary["failures"]
    assert message in failure["message"]
    assert failure["stage"] == "Odd"


def test_a_failure_behind_a_pool_names_its_partitions(flow, both):
    stages = [
        flow.stage("Near", "hep.select", [], selection=["x >= 0"]),
        flow.stage("Bad", "probe.fail", ["Near"], "other", at=[33]),
        flow.stage("Sum", "probe.sum", ["Bad"], "other"),
    ]
    plan = flow.write(stages, both).compile(chunk_size=20).model_copy(update={"pass_size": 20})
    outcome = flow.run(plan)
    assert outcome.status == "partial"
    assert {f["stage"] for f in outcome.summary["failures"]} == {"Bad"}
    lost = sum(f["entry_stop"] - f["entry_start"] for f in outcome.summary["failures"])
    assert 0 < lost <= 50
    assert outcome.summary["events"]["done"] == 140 - lost


def test_files_without_events_do_no_harm(flow, small_files):
    stages = [
        flow.stage("Each", "probe.each", []),
        flow.stage("Sum", "probe.sum", []),
        flow.stage("All", "probe.all", []),
    ]
    other = shutil.copyfile(small_files / "none.root", flow.folder / "none2.root")
    files = {"full": [small_files / "a.root", small_files / "none.root"], "none": [other]}
    outcome = flow.write(stages, datasets=files).run(chunk_size=30)
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == 99 * 100 // 2
    assert outcome.products["All", "all"]["events"] == 100
    assert outcome.products["Each", "each"] == {
        "full": {"dataset": "full", "events": 100},
        "none": {"dataset": "none", "events": 0},
    }


def damage(path: Path, branch: str, basket: int) -> None:
    """Overwrite what a basket holds; the header stays readable."""
    import uproot

    with uproot.open(path) as file:
        key = file["Events"][branch].basket_key(basket)
        start, length = key.fSeekKey + key.fKeylen, key.fNbytes - key.fKeylen
    with path.open("rb+") as file:
        file.seek(start)
        file.write(b"\xff" * length)


def test_a_damaged_basket_costs_its_partition(flow, small_files):
    path = shutil.copyfile(small_files / "a.root", flow.folder / "damaged.root")
    damage(path, "x", 2)
    outcome = flow.write([flow.stage("Sum", "probe.sum", [])], [path]).run(chunk_size=25)
    (failure,) = outcome.summary["failures"]
    assert (failure["kind"], failure["entry_start"], failure["entry_stop"]) == ("data", 50, 75)
    assert "damaged.root" in failure["message"]
    assert outcome.products["Sum", "sum"] == 99 * 100 // 2 - sum(range(50, 75))
    assert outcome.exit_code == 3


def test_a_damaged_branch_that_nobody_reads_costs_nothing(flow, small_files):
    path = shutil.copyfile(small_files / "a.root", flow.folder / "damaged.root")
    damage(path, "unused", 2)
    assert flow.write([flow.stage("Sum", "probe.sum", [])], [path]).run().status == "complete"


def test_a_file_that_was_changed_after_the_plan_is_not_read(flow, small_files):
    path = shutil.copyfile(small_files / "a.root", flow.folder / "mine.root")
    flow.write([flow.stage("Sum", "probe.sum", [])], [path, small_files / "b.root"])
    plan = flow.compile()
    os.utime(path, ns=(0, 0))
    outcome = flow.run(plan)
    (failure,) = outcome.summary["failures"]
    assert "mine.root: the file changed after the plan was made" in failure["message"]
    assert outcome.products["Sum", "sum"] == sum(range(100, 140))


def test_a_file_that_was_replaced_is_read_anew_by_the_next_plan(flow, small_files):
    path = shutil.copyfile(small_files / "a.root", flow.folder / "mine.root")
    flow.write([flow.stage("Sum", "probe.sum", [])], [path])
    assert flow.run().products["Sum", "sum"] == 99 * 100 // 2
    other = shutil.copyfile(small_files / "b.root", flow.folder / "other.root")
    os.utime(other, ns=(5, 5))
    other.replace(path)
    assert flow.run(mode="force").products["Sum", "sum"] == sum(range(100, 140))


@pytest.mark.slow
def test_a_stage_that_takes_too_long_is_stopped(flow, small_files):
    slow = flow.stage("Slow", "probe.sleep", [], seconds=30)
    slow["execution"] = {"timeout": "0.2s"}
    outcome = flow.write([slow, flow.stage("Sum", "probe.sum", ["Slow"])], [small_files / "b.root"]).run()
    (failure,) = outcome.summary["failures"]
    assert failure["stage"] == "Slow"
    assert "took longer than its timeout of 0.2 s" in failure["message"]


def test_time_events_and_bytes_are_counted(flow, both):
    flow.write(jets(flow), both)
    outcome = flow.run(chunk_size=50)
    row = outcome.summary["stages"]["Some"]
    assert (row["events_in"], row["events_out"]) == (140, 136)
    assert row["calls"] >= 2
    assert row["wall_seconds"] > 0
    assert outcome.summary["events"]["read"] == 140
    assert outcome.summary["bytes_read"] > 100
    assert set(outcome.summary["other"]) >= {"read", "store"}


def test_a_worker_refuses_another_plan_than_the_task_says(flow, both):
    flow.write([flow.stage("Sum", "probe.sum", [])], both)
    run_dir = flow.run().run_dir
    task = Task("map", 0, 0, (str(run_dir / "plan.json"), "0" * 64), str(run_dir), partitions=((0, 1),))
    with pytest.raises(FastHepError, match="this task belongs to plan 000000000000"):
        run_task(task)


def test_a_worker_reads_a_plan_once(flow, both):
    flow.write([flow.stage("Sum", "probe.sum", [])], both)
    outcome = flow.run()
    where = (str(outcome.run_dir / "plan.json"), outcome.summary["plan_hash"], str(outcome.run_dir))
    assert program(*where) is program(*where)


def test_stored_events_that_were_changed_are_a_failure_of_the_data(flow, both):
    stages = [
        flow.stage("Near", "hep.select", [], selection=["x > 5"]),
        flow.stage("Far", "probe.sum", ["Near"], "other"),
        flow.stage("Bad", "probe.fail", [], at=[7]),  # a run that is complete removes its streams
    ]
    run_dir = flow.write(stages, both).run().run_dir
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    from fasthep_parsl.tasks import Ref

    ref = next(ref for e in events if e["kind"] == "finished" for ref in e["refs"].get("Near", ()))
    path = Path(ref["path"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    plan = json.loads((run_dir / "plan.json").read_text())
    far = next(s["id"] for s in plan["segments"] if s["stages"] == ["Far"])
    from fasthep_parsl.plan import Plan

    task = Task(
        "map",
        99,
        far,
        (str(run_dir / "plan.json"), Plan.model_validate(plan).hash),
        str(run_dir),
        refs=(Ref(**{**ref, "partitions": tuple(map(tuple, ref["partitions"]))}),),
    )
    result = run_task(task)
    assert not result.done
    assert {f.kind for f in result.failures} == {"data"}
    assert "are damaged" in result.failures[0].message


def test_real_nanoaod_is_read_alike_in_all_chunks(flow, real_data):
    path = real_data / "nano_tt_v12.root"
    if not path.exists():
        pytest.skip(f"no {path}")
    stages = [
        flow.stage("D", "hep.define", [], variables=[{"name": "n", "expr": "count(Jet_pt > 30)"}]),
        flow.stage("Sum", "probe.sum", ["D"], field="n"),
        flow.stage("Muons", "probe.sum", ["D"], field="nMuon"),
    ]
    flow.write(stages, [path])
    found = [
        flow.run(chunk_size=chunk, mode=mode).products for chunk, mode in ((1, "new"), (37, "force"), (None, "force"))
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["Sum", "sum"] > 0


def test_no_event_at_all(flow, small_files):
    stages = [
        flow.stage("Sum", "probe.sum", []),
        flow.stage("All", "probe.all", []),
        flow.stage("Far", "probe.sum", [], "other"),
    ]
    outcome = flow.write(stages, [small_files / "none.root"]).run()
    assert (outcome.status, outcome.exit_code) == ("complete", 0)
    assert outcome.products["All", "all"]["events"] == 0
    assert outcome.products["Sum", "sum"] == outcome.products["Far", "sum"] == 0


@pytest.mark.parametrize(("op", "found"), [("hep.select", True), ("probe.backwards", False)])
def test_a_partition_that_fails_behind_a_change_of_pool_is_found_too(flow, both, long_passes, op, found):
    s = flow.stage
    params = {"selection": ["x != 3"]} if op == "hep.select" else {}
    stages = [
        s("Some", op, [], **params),
        s("Bad", "probe.fail", ["Some"], "other", at=[33]),
        s("Sum", "probe.sum", ["Bad"], "other"),
    ]
    outcome = flow.run(flow.write(stages, both).compile(chunk_size=5))
    failures = outcome.summary["failures"]
    if found:  # the events' partitions are known behind the filter: only 30–34 is lost
        assert outcome.status == "partial"
        assert [(f["entry_start"], f["entry_stop"]) for f in failures] == [(30, 35)]
        assert outcome.products["Sum", "sum"] == SUM - 3 - sum(range(30, 35))
    else:  # an op that changes the order: the whole piece counts as failed, nothing is blamed by guess
        assert len(failures) >= 20  # all of the piece that event 33 lies in
        assert sum(bool(f["detail"]) for f in failures) == 1


def test_nobody_writes_to_a_column_that_others_use(flow, small_files):
    stages = [flow.stage("Bad", "probe.overwrite", []), flow.stage("Sum", "probe.sum", [])]
    outcome = flow.write(stages, [small_files / "b.root"]).run()
    assert outcome.status != "complete"
    assert "read-only" in outcome.summary["failures"][0]["message"]
    assert outcome.summary["failures"][0]["stage"] == "Bad"


def test_an_op_that_must_see_partitions_alone_does_so_behind_a_store(flow, small_files):
    stages = [
        flow.stage("Most", "hep.select", selection=["x % 10 != 3"]),
        flow.stage("Alone", "probe.alone", ["Most"], "other"),
    ]
    outcome = flow.write(stages, [small_files / "a.root"]).run(chunk_size=25)
    expected = [(f"small-{n:06d}", sum(x % 10 != 3 for x in range(25 * n, 25 * n + 25))) for n in range(4)]
    assert sorted(outcome.products["Alone", "lengths"]) == expected
