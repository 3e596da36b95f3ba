"""Tasks that carry their files: what workers do in a folder of their own is what they would have done in the run directory."""

from __future__ import annotations

import os
import pickle
import shutil
import zlib
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from fasthep_parsl.backends.parsl.transfer_limit import TransferLimiter
from fasthep_parsl.driver import run_directory
from fasthep_parsl.driver.op_output import join_output
from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.errors import FastHepError, RunError
from fasthep_parsl.results import read_products
from fasthep_parsl.tasks import Ref, Task
from fasthep_parsl.worker import file_transfer


class Node:
    """A node on which tasks run that came with their files; a session of two workers."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        self.folder, self.run_dir = folder, run_dir
        self.carrier = TransferLimiter()
        self.sizes: list[int] = []

    def bring(self):
        self.folder.mkdir()
        shutil.copyfile(self.run_dir / "plan.json", self.folder / "plan.json")
        shutil.copytree(self.run_dir / "code", self.folder / "code")

    def run(self, function, packed):
        there = pickle.dumps(packed)
        assert bytes(self.run_dir) not in there
        back = pickle.dumps(function(pickle.loads(there)))
        assert bytes(self.folder) not in back
        self.sizes.append(len(there) + len(back))
        future: Future = Future()
        future.set_result(pickle.loads(back))
        return future

    def submit(self, pool, task, priority):
        def submit(function, packed):
            try:
                return self.run(function, packed)
            except (MemoryError, FastHepError) as error:
                future: Future = Future()
                future.set_exception(error)
                return future

        return self.carrier.send(submit, task)

    def slots(self, pool):
        return 2

    def left(self):
        return [path for path in (self.folder / "workers").rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setenv(file_transfer.BLOCK_FOLDER, str(tmp_path / "node"))
    file_transfer._own_folder.cache_clear()
    yield Node(tmp_path / "node", tmp_path / "far")
    file_transfer._own_folder.cache_clear()


@pytest.fixture
def plan(flow, small_files):
    """A stream that crosses pools, products that are merged, a product that is a parameter, files in ``results``."""
    s = flow.stage
    stages = [
        s("Some", "hep.select", [], selection=["x > 3"]),
        s("Jets", "probe.sum", ["Some"], field="nJet"),
        s("Skim", "hep.write", ["Some"], format="parquet", fields=["x", "Jet_pt"]),
        s("Each", "probe.each", ["Some"], "other"),
        s("All", "probe.all", ["Some"], "other"),
        s("Used", "probe.use", ["Some"], "other", bind=("All", "all", "given")),
        s("Sum", "probe.sum", ["Used"], "other", field="y"),
    ]
    datasets = {"one": [small_files / "a.root"], "two": [small_files / "b.root"]}
    return flow.write(stages, datasets=datasets).compile(chunk_size=10).model_copy(update={"pass_size": 20})


def run_far(plan, node):
    run_directory.prepare(node.run_dir, plan, "new")
    node.bring()
    states = [SegmentState(plan, segment) for segment in plan.segments]
    events = []
    scheduler = Scheduler(plan, node.run_dir, events.append, states)
    scheduler.run(node)
    files = [state.product for state in states if state.product]
    return read_products(files, {stage.id: stage.product for stage in plan.stages}, []), events


def test_results_are_those_of_a_shared_run_directory(plan, node, flow):
    expected = flow.run(plan)
    found, events = run_far(plan, node)
    manifest = expected.products["Skim", "manifest"]  # the driver adds the sums of weights of the skim at the end
    assert found == {**expected.products, ("Skim", "manifest"): replace(manifest, skims=())}
    assert found["Sum", "sum"] == sum(range(4, 140)) + 136 * 136
    skim = {path.name: path.read_bytes() for path in (node.run_dir / "results" / "Skim").iterdir()}
    assert skim == {p.name: p.read_bytes() for p in (flow.folder / "run/results/Skim").iterdir() if p.suffix != ".json"}
    assert len(skim) == plan.partitions
    assert "merge" in {event.what for event in events if event.kind == "finished"}
    assert not any(event.kind in {"failed", "lost"} for event in events)
    assert not node.left()
    assert not node.carrier._load


@pytest.mark.parametrize("fits", [True, False])
def test_a_bundle_that_is_too_much_is_halved_until_it_fits(flow, small_files, node, monkeypatch, fits):
    s = flow.stage
    stages = [s("Some", "hep.select", [], selection=["x > 3"]), s("Sum", "probe.sum", ["Some"], "other")]
    plan = flow.write(stages, [small_files / "a.root"]).compile(chunk_size=10).model_copy(update={"pass_size": 20})
    measured, sizes = file_transfer.size_of, []

    def size_of(task):
        refs = [ref.size for ref in task.refs]
        if refs and not any(sizes):  # the first bundle has several pieces
            assert len(refs) > 1
            monkeypatch.setattr(file_transfer, "LIMIT", max(refs) if fits else 1000)
        sizes.append(sum(refs))
        return measured(task)

    monkeypatch.setattr("fasthep_parsl.backends.parsl.transfer_limit.size_of", size_of)
    found, events = run_far(plan, node)
    kinds = [event.kind for event in events]
    assert "lost" in kinds
    assert (found.get(("Sum", "sum")) == sum(range(4, 100))) == fits
    failed = [event for event in events if event.kind == "failed"]
    assert len({event.partition for event in failed}) == (0 if fits else plan.partitions)
    assert all("without a shared file system" in event.message for event in failed)


def test_too_much_says_how_much_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(file_transfer, "LIMIT", 10)
    (tmp_path / "big").write_bytes(b"x" * 11)
    task = Task("merge", 7, 0, (str(tmp_path / "plan.json"), ""), str(tmp_path), partials=(str(tmp_path / "big"),))
    future = TransferLimiter().send(lambda *_: pytest.fail("sent"), task)
    error = future.exception()
    assert isinstance(error, MemoryError)
    assert str(error).startswith("task 7 reads 11 bytes; without a shared file system the limit is 10: ")


def test_a_file_that_is_gone_fails_the_task_alone(tmp_path):
    task = Task("merge", 7, 0, (str(tmp_path / "plan.json"), ""), str(tmp_path), partials=(str(tmp_path / "gone"),))
    assert isinstance(TransferLimiter().send(lambda *_: pytest.fail("sent"), task).exception(), FileNotFoundError)


def test_a_worker_cleans_up_after_a_failure_and_after_its_predecessor(node, tmp_path):
    node.folder.mkdir()
    old = node.folder / "workers" / str(os.getpid()) / "work"
    old.mkdir(parents=True)
    (old / "half").write_text("x")
    task = Task("merge", 1, 0, ("plan.json", "0"), ".", partials=("work/a.pkl",))
    with pytest.raises(FileNotFoundError):  # the block has brought no plan
        file_transfer.run_with_files(file_transfer.TaskWithFiles(task, {"work/a.pkl": zlib.compress(b"x")}))
    assert not node.left()


def test_a_worker_without_a_folder_says_so(monkeypatch):
    monkeypatch.delenv(file_transfer.BLOCK_FOLDER, raising=False)
    file_transfer._own_folder.cache_clear()
    with pytest.raises(FastHepError, match="FASTHEP_PARSL_FOLDER, the folder of the block, is not set"):
        file_transfer.run_with_files(file_transfer.TaskWithFiles(Task("map", 1, 0, ("plan.json", ""), "."), {}))


class Slow:
    """Takes tasks and ends them when told to."""

    def __init__(self):
        self.sent: list[Future] = []

    def __call__(self, function, packed):
        self.sent.append(Future())
        return self.sent[-1]


def piece(folder, size):
    path = folder / f"{size}-{len(list(folder.iterdir()))}"
    path.write_bytes(b"x" * size)
    ref = Ref(str(path), "", size, 1, 0, ((0, 1),))
    return Task("map", 1, 0, (str(folder / "plan.json"), ""), str(folder), refs=(ref,))


def test_only_so_many_bytes_travel_at_a_time(tmp_path):
    slow, carrier = Slow(), TransferLimiter(budget=100)
    futures = [carrier.send(slow, piece(tmp_path, size)) for size in (60, 40, 10, 200, 5)]
    assert len(slow.sent) == 2
    slow.sent[1].set_exception(ValueError("mine"))
    assert isinstance(futures[1].exception(), ValueError)
    assert len(slow.sent) == 3  # the large one must wait until nothing else is on the way, then it goes alone
    slow.sent[0].set_exception(ValueError())
    assert len(slow.sent) == 3
    slow.sent[2].set_exception(ValueError())
    assert len(slow.sent) == 4
    slow.sent[3].set_exception(ValueError())
    assert len(slow.sent) == 5
    assert not futures[4].done()


@pytest.mark.slow
def test_very_many_tasks_of_a_pool_that_is_closed_fail_one_after_the_other(tmp_path):
    task, first = piece(tmp_path, 60), Slow()

    def closed(function, packed):
        future: Future = Future()
        future.set_exception(RunError("closed"))
        return future

    carrier = TransferLimiter(budget=100)
    blocking = carrier.send(first, task)
    futures = [carrier.send(closed, task) for _ in range(3000)]
    assert not any(future.done() for future in futures)
    first.sent[0].set_exception(RunError("closed"))
    assert all(isinstance(future.exception(), RunError) for future in (blocking, *futures))


def test_what_ops_print_comes_with_the_result(flow, small_files, node):
    text = "from fasthep_parsl import op\n@op('my.says', reads=['x'])\ndef says(events):\n    print(len(events), 'events')\n    return {}\n"
    (flow.folder / "my_ops.py").write_text(text)
    flow.write([flow.stage("Says", "my.says")], [small_files / "a.root"], use={"modules": ["my_ops.py"]})
    run_far(flow.compile(chunk_size=50).model_copy(update={"pass_size": 50}), node)
    said = join_output(node.run_dir, ["Says"])
    assert said == {"Says": {"lines": 2, "first": ["50 events"], "log": "log/output/Says.log"}}
    assert not node.left()
