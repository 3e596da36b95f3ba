"""Whole runs with compiled kernels: of built-in ops and of a user's own, without a GPU."""

import json

import numpy as np
import pytest
import uhi.io.json
import yaml
from hist import Hist

import fasthep_parsl as fp

pytestmark = pytest.mark.integration

LOCAL = ["execution.backend=local"]

# What the how-to shows: three lines in an op use a kernel.
USER_OPS = """\
import math

import numpy as np

from fasthep_parsl import float64, kernel, lists, op


@kernel
def scalar_sum(i, offsets, pt, min_pt, out):
    for a in range(offsets[i], offsets[i + 1]):
        if pt[a] > min_pt:
            out[i] += float64(pt[a])


@op("custom.ht", reads=["Jet_pt"], writes=["{output}"])
def ht(events, *, output: str = "HT", min_pt: float = 30.0):
    offsets, pt = lists(events, "Jet_pt")
    total = np.zeros(len(events))
    scalar_sum(len(events), offsets, pt, min_pt, total)
    return {output: total}
"""
WRONG = USER_OPS.replace("out[i] += float64(pt[a])", "out[i] += math.hypotenuse(pt[a])")


def workflow(folder, name, modifiers, ops=USER_OPS):
    """Write the demo's workflow with overlap removal and a user's op added; the three stages have `modifiers`."""
    content = yaml.safe_load((folder / "configs" / "dimuon.yaml").read_text())
    (folder / "configs" / "ht_ops.py").write_text(ops)
    content["use"] = {"modules": ["ht_ops.py"]}
    stages = {stage["id"]: stage for stage in content["analysis"]["stages"]}
    added = [
        {"id": "Jets", "op": "hep.clean", "needs": ["Preselection"],
         "params": {"source": "Jet", "clean_against": ["Muon"], "output": "CleanJet", "fields": ["pt"]}},
        {"id": "Energy", "op": "custom.ht", "needs": ["Jets"], "params": {"output": "HT"}},
        {"id": "HT", "op": "hep.hist", "needs": ["Energy"], "params": {"axes": [
            {"name": "ht", "source": "HT", "type": "regular", "bins": {"nbins": 40, "low": 0, "high": 800}},
            {"name": "n", "source": "nCleanJet", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 8}}]}},
    ]  # fmt: skip
    content["analysis"]["stages"] += added
    if modifiers:
        for stage in (stages["Pairs"], *added[:2]):
            stage.setdefault("execution", {})["modifiers"] = modifiers
    path = folder / "configs" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(folder, name, modifiers, ops=USER_OPS):
    path = workflow(folder, name, modifiers, ops)
    return fp.run(path, site="local", overrides=LOCAL, outdir=folder / name, plots=False, check=False)


def histogram(outcome, name):
    text = (outcome.run_dir / "results" / name / "hist.json").read_text()
    return Hist(json.loads(text, object_hook=uhi.io.json.object_hook)).values(flow=True)


@pytest.fixture(scope="module")
def plain(checkout):
    return run(checkout, "plain", [])


FALLBACK = [{"kind": "cuda.jit", "on_missing": "cpu"}]


def test_results_are_those_of_the_unmodified_run(checkout, plain):
    found = run(checkout, "compiled", FALLBACK)
    assert found.status == plain.status == "complete"
    assert found.products.keys() == plain.products.keys()
    for name in ("DimuonMass", "DimuonPt", "HT"):
        a, b = (histogram(outcome, name) for outcome in (plain, found))
        np.testing.assert_allclose(b, a, rtol=1e-12, err_msg=name)
        assert a.sum() > 0
    notes = json.loads((found.run_dir / "cuda.jit" / "kernels.json").read_text())
    assert notes.keys() == {"Pairs", "Jets", "Energy"}
    for note in notes.values():
        assert note["devices"] == ["cpu"]
        assert note["fallback"][0].startswith("pool `")
    assert notes["Pairs"]["kernels"]["pair_mass (cpu)"]["events"] > 0
    assert notes["Energy"]["kernels"]["scalar_sum (cpu)"]["calls"] == notes["Energy"]["calls"]
    assert not (plain.run_dir / "cuda.jit").exists()


def test_a_kernel_that_does_not_compile_is_told_with_the_users_line(checkout):
    found = run(checkout, "wrong", [{"kind": "cuda.jit", "target": "cpu"}], WRONG)
    assert found.status != "complete"
    failures = [failure for failure in found.summary["failures"] if failure["stage"] == "Energy"]
    assert "ht_ops.py:12: `math` has no `hypotenuse`" in failures[0]["message"]
    assert failures[0]["where"].startswith("ht_ops.py:")


def test_without_a_gpu_the_plan_is_refused(checkout):
    path = workflow(checkout, "needs_gpu", ["cuda.jit"])
    with pytest.raises(Exception, match=r"modifier `cuda.jit` needs a GPU"):
        fp.run(path, site="local", overrides=LOCAL, outdir=checkout / "needs_gpu", plots=False)
