"""The order of events and the last bits of floats: the same in one process, with many workers, and after a resume."""

from __future__ import annotations

import json
import signal

import pytest

import fasthep_parsl

OPS = """
import time
from fasthep_parsl import op
@op("zz.list", reads=["x"], product="order", merge=lambda a, b: a + b)
def order(events):
    return [int(x) for x in events.x]
@op("zz.float", reads=["x"], product="float", merge=lambda a, b: {"sum": a["sum"] + b["sum"]})
def inexact(events):
    time.sleep(0.02 * (int(events.x[0]) % 3))  # so that tasks do not end in their order
    return {"sum": float((1.0 / (events.x + 3.0) ** 3).sum())}
"""


@pytest.fixture
def flow(tmp_path, counted):
    (tmp_path / "zz_floats.py").write_text(OPS)
    content = {
        "version": "1.0",
        "use": {"modules": ["zz_floats.py"]},
        "data": {"datasets": [{"name": "a", "files": [str(counted)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {
            "stages": [
                {"id": "List", "op": "zz.list"},
                {"id": "Float", "op": "zz.float", "needs": []},
                {"id": "Pick", "op": "hep.select", "needs": [], "params": {"selection": ["x % 2 == 0"]}},
                {"id": "Far", "op": "zz.list", "needs": ["Pick"], "execution": {"require": "far"}},
            ]
        },
        "execution": {"strategy": "local", "pools": {"default": {"workers": 2}, "far": {"workers": 1}}},
    }
    path = tmp_path / "flow.yaml"
    path.write_text(json.dumps(content))
    return path


def test_in_one_process_on_workers_and_after_a_resume(flow, tmp_path, driver):
    def products(outdir, **options):
        outcome = fasthep_parsl.run(flow, outdir=tmp_path / outdir, chunk_size=1, plots=False, **options)
        assert outcome.status == "complete"
        return outcome.products

    here = products("here", overrides=["execution.backend=local"])
    assert here["List", "order"] == list(range(200))
    assert here["Far", "order"] == list(range(0, 200, 2))
    assert products("there") == here
    killed = driver(flow)
    killed.wait_for_finished(3)
    killed.signal(signal.SIGKILL)
    killed.end()
    assert products("run", mode="resume") == here
