"""`fp.run` with runs that are not complete: exceptions and warnings."""

import json
import os
import pickle
import shutil
import signal

import pytest

import fasthep_parsl as fp
from fasthep_parsl.driver.outcome import raise_unless_complete


@pytest.fixture
def summed(flow, small_files):
    """A workflow with a sum of a.root and b.root, and how to run it."""
    for name in ("a.root", "b.root"):
        shutil.copyfile(small_files / name, flow.folder / name)
    stages = [flow.stage("Sum", "probe.sum", [])]
    datasets = {"one": [flow.folder / "a.root"], "two": [flow.folder / "b.root"]}

    def go(**options):
        plan = flow.write(options.pop("stages", stages), datasets=datasets).compile(chunk_size=10)
        options.pop("between", lambda: None)()
        return fp.run(plan, outdir=flow.folder / "run", plots=False, **options)

    return go


def damage(flow):
    path = flow.folder / "b.root"
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:400] + bytes(len(content) - 400))  # the header is read from the cache
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_complete_run_returns(summed):
    outcome = summed()
    assert (outcome.status, outcome.exit_code, outcome.error) == ("complete", 0, "")


def test_a_damaged_file_raises_with_what_there_is(flow, summed):
    with pytest.raises(fp.IncompleteRunError, match=r"partial: reading: .*b\.root") as caught:
        summed(between=lambda: damage(flow))
    outcome = caught.value.outcome
    assert outcome.status == "partial"
    assert outcome.error
    assert f"{outcome.summary['events']['done']:,} of {outcome.summary['events']['total']:,} events" in str(
        caught.value
    )
    assert outcome.products["Sum", "sum"] >= 0
    assert json.loads((flow.folder / "run" / "run.json").read_text())["status"] == "partial"
    assert (flow.folder / "run" / "missing.json").exists()
    assert pickle.loads(pickle.dumps(caught.value)).outcome.status == "partial"


def test_it_is_returned_to_those_who_ask(flow, summed):
    outcome = summed(between=lambda: damage(flow), check=False)
    assert outcome.status == "partial"
    assert "b.root" in outcome.error


def test_an_op_that_fails_everywhere(flow, summed):
    stages = [flow.stage("Bad", "probe.wrong", []), flow.stage("Sum", "probe.sum", ["Bad"])]
    with pytest.raises(fp.IncompleteRunError, match="failed: stage Bad") as caught:
        summed(stages=stages)
    assert caught.value.outcome.exit_code == 1


def test_an_interruption_goes_on_to_the_caller(flow, summed):
    seen = []

    def interrupt(event):
        seen.append(event.kind)
        if event.kind == "finished":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        summed(observer=interrupt)
    assert "`mode='resume'` continues" in caught.value.__notes__[0]
    assert json.loads((flow.folder / "run" / "run.json").read_text())["status"] == "interrupted"
    assert summed(mode="resume").status == "complete"


def test_jobs_that_are_left_are_warned_of(summed):
    outcome = summed()
    outcome.summary["left"].append({"pool": "default", "job": "4711"})
    with pytest.warns(UserWarning, match="cleanup.*4711"):
        raise_unless_complete(outcome)
