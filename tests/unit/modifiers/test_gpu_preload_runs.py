"""Runs with gpu.preload on a stand-in for CuPy: results, what is written of transfers, too little memory."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

import fake_cupy
import fasthep_parsl as fp
from fasthep_parsl.driver import api
from fasthep_parsl.modifiers import gpu_preload
from fasthep_parsl.ops import device
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.worker import reading

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here: the stand-in would be mixed with it"
)
PRELOAD = {"kind": "gpu.preload", "on_missing": "cpu"}
JETS = {"name": "pt", "source": "Jet_pt", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 40}}
SUM = {"name": "ht", "type": "regular", "bins": {"nbins": 5, "low": 0, "high": 100}}


@pytest.fixture(autouse=True)
def _gpu(monkeypatch):
    monkeypatch.setattr(gpu_preload, "_found", [])
    monkeypatch.setattr(device, "_streams", {})
    device.pop_counts()
    with fake_cupy.installed():
        yield
    fake_cupy.Memory.most = None
    device.pop_counts()


@pytest.fixture
def flow(flow):
    """Its pools have GPUs, and so has the machine."""
    flow.machine = dataclasses.replace(flow.machine, gpus=3)
    flow.pools = {name: {**pool, "resources": {"gpus": 1}} for name, pool in flow.pools.items()}
    return flow


def stages(flow, modifiers):
    """A chain, a branch of a stage without a GPU, and one in another pool."""
    found = [
        flow.stage("Ht", "hep.define", [], variables=[{"name": "ht", "expr": "2 * sum(Jet_pt)"}]),
        flow.stage("Cut", "hep.selection.cutflow", ["Ht"], selection=["nJet > 0", "ht > 5"]),
        flow.stage("Jets", "hep.hist", ["Cut"], axes=[JETS]),
        flow.stage("Hts", "hep.hist", ["Cut"], axes=[SUM], weights="x"),
    ]
    for stage in found:
        stage["execution"] = {"modifiers": modifiers}
    return [
        *found,
        flow.stage("Plain", "probe.sum", ["Cut"], field="ht"),
        flow.stage("Far", "probe.sum", ["Cut"], "other", field="nJet"),
    ]


def products(outcome):
    found = {}
    for key, product in outcome.products.items():
        if hasattr(product, "hist"):
            view = np.asarray(product.hist.view(flow=True))
            found[key] = {name: view[name].tolist() for name in view.dtype.names} if view.dtype.names else view.tolist()
        else:
            found[key] = product
    return found


def transfers(flow):
    return json.loads((flow.folder / "run" / "gpu.preload" / "transfers.json").read_text())


def test_a_run_yields_what_it_yields_without(flow, small_files):
    files = [small_files / "a.root", small_files / "b.root"]
    expected = products(flow.write(stages(flow, []), files).run(mode="force"))
    fake_cupy.stats.clear()
    outcome = flow.write(stages(flow, [PRELOAD]), files).run(mode="force")
    assert products(outcome) == expected
    found = transfers(flow)
    passes = found["stages"]["Ht"]["calls"]
    rows = found["stages"]
    assert {stage: row["copies_up"] / passes for stage, row in rows.items()} == {
        "Ht": 2,  # content and offsets of Jet_pt
        "Cut": 1,  # nJet; ht is there
        "Jets": 0,
        "Hts": 1,  # x
        "Plain": 0,
    }
    assert rows["Plain"]["copies_down"] == passes  # ht, for a stage without the modifier
    assert rows["Cut"]["copies_down"] == 2 * passes  # counts of the cuts, nJet for the other pool
    moved = ("copies_up", "bytes_up", "copies_down", "bytes_down", "waits")
    assert {key: found["total"][key] for key in moved} == {key: fake_cupy.stats[key] for key in moved}
    assert found["total"]["fallbacks"] == 0


def test_arrays_that_an_op_leaves_on_a_gpu_come_home(flow, small_files):
    chain = [
        flow.stage("Made", "probe.on_gpu", []),
        flow.stage("Near", "probe.sum", ["Made"], field="twice"),
        flow.stage("Far", "probe.sum", ["Made"], "other", field="twice"),
        flow.stage("Cut", "hep.select", ["Made"], selection=["x > 120"]),
    ]
    chain[-1]["execution"] = {"modifiers": [PRELOAD]}  # copies are noted if one of the plan's stages has it
    outcome = flow.write(chain, [small_files / "b.root"]).run()
    total = sum(range(100, 140))
    assert outcome.products["Near", "sum"] == outcome.products["Far", "sum"] == 2 * total
    peak = outcome.products["Made", "peak"]
    assert int(peak["x"]) == total
    assert type(peak["x"]).__module__ == "numpy"
    row = transfers(flow)["stages"]
    assert row["Made"]["copies_down"] + row.get("Near", {}).get("copies_down", 0) == 2  # the product and the column


def test_too_little_memory_halves_the_pass(flow, small_files, monkeypatch, long_passes):
    files = [small_files / "a.root"]
    expected = products(flow.write(stages(flow, []), files).run(mode="force", chunk_size=25))
    spans = []
    read = reading.Reader.read
    monkeypatch.setattr(reading.Reader, "read", lambda self, span, place: spans.append(span) or read(self, span, place))
    plan = flow.write(stages(flow, [PRELOAD]), files).compile(chunk_size=25)
    plan = plan.model_copy(update={"pass_size": 100})
    flow.run(plan, mode="force")
    whole = max(last - first for first, last in spans)
    spans.clear()
    fake_cupy.Memory.most = fake_cupy.Memory.used + 6000
    outcome = flow.run(plan, mode="force")
    assert products(outcome) == expected
    assert whole == 4
    assert {last - first for first, last in spans} >= {4, 2}
    assert sum(row.get("out_of_memory", 0) for row in transfers(flow)["stages"].values()) >= 1
    fake_cupy.Memory.most = fake_cupy.Memory.used + 100
    outcome = flow.run(plan, mode="force")
    failures = json.loads((flow.folder / "run" / "run.json").read_text())["failures"]
    assert len(failures) == 4
    assert "ran out of GPU memory: 25 events" in failures[0]["message"]
    assert failures[0]["kind"] == "infrastructure"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dimuon", "heterogeneous", "gpu_inference"])
def test_the_shipped_workflows_yield_what_they_yield_without(checkout, name, monkeypatch):
    monkeypatch.setattr(fake_cupy.module.cuda.runtime, "getDeviceCount", lambda: 0)  # an op that asks trains on the CPU
    pools = {"dimuon": ("default",)}.get(name, ("default", "gpu"))
    preload = [f"execution.pools.{pool}.modifiers=[{{kind: gpu.preload, on_missing: cpu}}]" for pool in pools]
    preload += [f"execution.pools.{pool}.resources.gpus=1" for pool in pools]
    monkeypatch.setattr(api, "this_machine", lambda: Machine(cpus=4, memory=16_000_000_000, gpus=4))
    found = []
    for run, modifiers in (("plain", []), ("gpu", preload)):
        outdir = checkout / f"{name}-{run}"
        outcome = fp.run(
            checkout / "configs" / f"{name}.yaml",
            outdir=outdir,
            overrides=["execution.backend=local", *modifiers],
            plots=False,
        )
        assert outcome.exit_code == 0
        found.append(outcome.products)
    plain, gpu = found
    for key, product in plain.items():
        if hasattr(product, "hist"):
            a, b = product.hist.view(flow=True), gpu[key].hist.view(flow=True)
            for field in a.dtype.names or (...,):
                np.testing.assert_allclose(np.asarray(b)[field], np.asarray(a)[field], rtol=1e-12)
        if hasattr(product, "rows"):
            counts = [[(row.n_in, row.n_out) for row in rows] for rows in product.rows.values()]
            assert [[(row.n_in, row.n_out) for row in rows] for rows in gpu[key].rows.values()] == counts
    stages = json.loads((checkout / f"{name}-gpu" / "gpu.preload" / "transfers.json").read_text())["stages"]
    assert not any(row["without_gpu"] for row in stages.values())
    on_cpu = {stage: list(row["reasons"]) for stage, row in stages.items() if row["fallbacks"]}
    assert on_cpu.keys() <= {"Pairs", "Score", "Train", "EventIndex"}  # compiled for a GPU; of users


@pytest.mark.parametrize("order", [["diagnostics", PRELOAD, "profile"], [PRELOAD, "diagnostics"]], ids=["out", "in"])
def test_it_composes_with_others(flow, small_files, order):
    files = [small_files / "b.root"]
    expected = products(flow.write(stages(flow, []), files).run(mode="force"))
    assert products(flow.write(stages(flow, order), files).run(mode="force")) == expected
    assert transfers(flow)["total"]["fallbacks"] == 0
    assert transfers(flow)["stages"]["Ht"]["copies_up"] == 2


def test_too_little_memory_halves_a_stored_stream(flow, small_files):
    chain = [
        flow.stage("Cut", "hep.select", [], selection=["nJet > 0"]),
        flow.stage("Ht", "hep.define", ["Cut"], "other", variables=[{"name": "ht", "expr": "2 * sum(Jet_pt)"}]),
        flow.stage("Sum", "probe.sum", ["Ht"], "other", field="ht"),
    ]
    chain[1]["execution"]["modifiers"] = [PRELOAD]
    flow.write(chain, [small_files / "a.root"])
    plan = flow.compile(chunk_size=25).model_copy(update={"pass_size": 100})
    expected = products(flow.run(plan, mode="force"))
    assert transfers(flow)["stages"]["Ht"]["calls"] == 1
    fake_cupy.Memory.most = fake_cupy.Memory.used + 2500
    assert products(flow.run(plan, mode="force")) == expected
    row = transfers(flow)["stages"]["Ht"]
    assert row["calls"] > 1
    assert row["out_of_memory"] >= 1


WRITES = """\
import cupy

from fasthep_parsl import op

kept = []

@op("my.writes", reads=["x", "Jet_pt"], writes=["y", "j", "s"])
def writes(events):
    few = events[events.x > 20]
    few.x[:] = 0
    events.x[:] = 1
    events.Jet_pt.layout.content.data[:] = 0
    assert events.x.sum() == len(events)  # its own copy, the same one each time
    if not kept:
        kept.append(cupy.zeros(1000))
    kept[0][: len(events)] = len(events)
    return {"y": kept[0][: len(events)], "j": events.Jet_pt, "s": events.x}
"""


def test_what_an_op_writes_to_on_a_gpu_is_its_own(flow, small_files):
    (flow.folder / "my_ops.py").write_text(WRITES)
    s = flow.stage
    chain = [
        s("Keep", "hep.define", [], variables=[{"name": "ht", "expr": "sum(Jet_pt) + x"}]),
        s("W", "my.writes", ["Keep"]),
        s("W2", "my.writes", ["Keep"]),
        *(s(f"S_{name}", "probe.sum", ["W"], field=name) for name in ("x", "Jet_pt", "y", "j", "s")),
    ]
    for stage in chain[:3]:
        stage["execution"] = {"modifiers": [PRELOAD]}
    flow.write(chain, [small_files / "a.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    outcome = flow.run(chunk_size=100)
    assert outcome.status == "complete", outcome.summary["failures"]
    pt = sum(sum(range(jets)) + 0.5 * jets for jets in (24, 25, 26, 24))  # of the clusters of the file
    found = {name: outcome.products[f"S_{name}", "sum"] for name in ("x", "Jet_pt", "y", "j", "s")}
    assert found == {"x": 4950, "Jet_pt": int(pt), "y": 100 * 100, "j": 0, "s": 100}


def test_a_pool_without_gpus_does_not_use_the_one_that_is_there(flow, small_files):
    files = [small_files / "a.root", small_files / "b.root"]
    flow.pools["default"].pop("resources")
    fake_cupy.stats.clear()
    outcome = flow.write(stages(flow, [PRELOAD]), files).run()
    assert outcome.exit_code == 0
    row = transfers(flow)["stages"]["Ht"]
    assert row["without_gpu"] == row["calls"] > 0
    assert row["reasons"] == {"pool `default`: its pool has no GPUs": row["calls"]}
    assert not any(fake_cupy.stats.values())
