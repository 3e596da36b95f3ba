"""Runs that lose partitions: what is left is normalised by the sum of its own weights, and a skim says what it has read."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import fasthep_parsl
from normalisation_cases import weights_of, write_nano

HERE = Path(__file__).parent


@pytest.fixture
def weights(tmp_path):
    """Weights of 80 events in two files, the second without events that survive a selection."""
    every = weights_of(80, 3)
    write_nano(tmp_path / "nano0.root", every[:50])
    write_nano(tmp_path / "nano1.root", every[50:], first=1000)
    return every


def write_flow(folder, backend, data, stages):
    shutil.copyfile(HERE / "fault_ops.py", folder / "fault_ops.py")
    content = {
        "version": "1.0",
        "use": {"modules": ["fault_ops.py"]},
        "data": data,
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": stages},
        "execution": {"backend": backend, "strategy": "local", "pools": {"default": {"workers": 2}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))
    return folder / "flow.yaml"


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_a_skim_that_loses_a_partition_and_the_analysis_of_it(weights, tmp_path, backend):
    stages = [
        {"id": "Strike", "op": "fault.strike", "params": {"at": 23, "how": "awkward"}},
        {"id": "Some", "op": "hep.select", "params": {"selection": ["x < 1000"]}},
        {"id": "W", "op": "hep.write", "params": {"format": "root", "path": "skim", "fields": ["x", "genWeight"]}},
        {"id": "C", "op": "hep.selection.cutflow", "params": {"selection": ["x % 2 == 0"], "weight_expr": "genWeight"}},
    ]
    stages[3]["needs"] = ["Some"]
    mc = {"name": "mc", "files": ["nano*.root"], "xsec": "2 nb"}
    data = {"luminosity": "3 /pb", "sum_of_weights": {"expr": "genWeight"}, "datasets": [mc]}
    flow = write_flow(tmp_path, backend, data, stages)
    outcome = fasthep_parsl.run(flow, site="local", outdir=tmp_path / "run", chunk_size=10, plots=False, check=False)
    assert outcome.exit_code == 3
    total = math.fsum([*weights[:20], *weights[30:]])
    found = outcome.summary["normalisation"]["datasets"]["mc"]
    assert found["factor"] == pytest.approx(3 * 2000 / total, rel=1e-12)
    assert found["events"] == 70

    manifest = tmp_path / "run" / "results" / "W" / "manifest.json"
    (said,) = json.loads(manifest.read_text())["skims"]
    assert said["sum_of_weights"] == pytest.approx(total, rel=1e-12)
    data = {
        "luminosity": 3,
        "sum_of_weights": {"manifest": str(manifest)},
        "datasets": [{**mc, "files": ["skim/*.root"]}],
    }
    flow = write_flow(tmp_path, backend, data, [{**stages[3], "needs": []}])
    outcome = fasthep_parsl.run(flow, site="local", outdir=tmp_path / "later", chunk_size=3, plots=False)
    assert outcome.exit_code == 0
    assert outcome.summary["normalisation"]["datasets"]["mc"]["factor"] == pytest.approx(6000 / total, rel=1e-12)
    rows = json.loads((tmp_path / "later/results/C/cutflow.json").read_text())["datasets"]["mc"]
    assert rows[0]["n_in"] == 40
    assert np.isfinite(rows[0]["sumw_out"])
