"""Variations on a GPU (a stand-in for CuPy) and on Parsl give the numbers of this process."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import pytest

import fake_cupy
from fasthep_parsl.modifiers import gpu_preload
from fasthep_parsl.ops import device

HT = {"name": "ht", "source": "ht", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 1024}}
PT = {"name": "pt", "source": "Good_pt", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
NAMES = ("jes_up", "w_up")
SYSTEMATICS = {
    "variations": [
        {"name": "jes_up", "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}, "applies_to": {"eventtype": "mc"}},
        {"name": "w_up", "replace": {"fields": {"w": "w * 2"}}},
    ]
}


def analysis(flow, modifiers=()):
    found = [
        flow.stage(
            "Good", "hep.select_objects", collection="Jet", output="Good", selection=["pt > 30"], keep=["pt", "eta"]
        ),
        flow.stage("HTs", "hep.define", variables=[{"name": "ht", "expr": "sum(Good_pt)"}]),
        flow.stage("Cuts", "hep.selection.cutflow", selection=["nGood >= 2", "ht > 90"], weight_expr="w"),
        flow.stage("Ht", "hep.hist", axes=[HT], weight_expr="w", dataset_axis=True),
        flow.stage("Pt", "hep.hist", axes=[PT], weight_expr="w", dataset_axis=True),
    ]
    return [{**stage, "execution": {"modifiers": list(modifiers)}} for stage in found]


def numbers(products, in_variation):
    return {name: in_variation(products, name) for name in ("", *NAMES)}


@pytest.fixture
def expected(flow, samples, in_variation):
    flow.write(analysis(flow), data=samples.write(), systematics=SYSTEMATICS)
    found = numbers(flow.run(chunk_size=7, mode="force").products, in_variation)
    assert found["jes_up"] != found[""] != found["w_up"]
    return found


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_the_same_on_a_gpu(flow, samples, in_variation, expected, monkeypatch):
    monkeypatch.setattr(gpu_preload, "_found", [])
    monkeypatch.setattr(device, "_streams", {})
    device.pop_counts()
    flow.machine = dataclasses.replace(flow.machine, gpus=3)
    flow.pools = {name: {**pool, "resources": {"gpus": 1}} for name, pool in flow.pools.items()}
    flow.write(analysis(flow, ["gpu.preload"]), data=samples.write(), systematics=SYSTEMATICS)
    with fake_cupy.installed():
        outcome = flow.run(chunk_size=7, mode="force")
    device.pop_counts()
    assert outcome.status == "complete", outcome.summary["failures"]
    assert numbers(outcome.products, in_variation) == expected
    path = flow.folder / "run" / "results" / "gpu.preload" / "transfers.json"
    if path.exists():
        assert "Ht@jes_up" in json.loads(path.read_text())["stages"]


@pytest.mark.slow
def test_the_same_on_parsl(flow, samples, in_variation, expected):
    pools = {"default": {"workers": 2}}
    flow.write(
        analysis(flow), data=samples.write(), systematics=SYSTEMATICS, execution={"backend": "parsl", "pools": pools}
    )
    outcome = flow.run(chunk_size=7, mode="force")
    assert outcome.status == "complete", outcome.summary["failures"]
    assert numbers(outcome.products, in_variation) == expected
    rows = outcome.summary["stages"]
    assert rows["Ht@jes_up"]["nominal"] == "Ht"
    assert rows["Ht@jes_up"]["variation"] == "jes_up"
    assert "nominal" not in rows["Ht"]
