"""Files of a run with weights, copies, regions and normalisation, against sums over its input files."""

from __future__ import annotations

import json

import awkward as ak
import hist
import numpy as np
import pytest
import uhi.io.json
import uproot

EDGES = [0, 50, 100, 150, 200]
XSEC = {"a": 3.0, "b": 5.0}
LUMINOSITY = 100.0


def read(data):
    """Return dataset → events."""
    found = {}
    for dataset in data["datasets"]:
        parts = [uproot.open(f"{path}:Events").arrays() for path in dataset["files"]]
        found[dataset["name"]] = ak.concatenate(parts)
    return found


def wanted(events, dataset, region, variation):
    """Return sums of weights and of their squares in the bins of met."""
    mc = dataset != "data"
    weight = np.asarray(events["w"]) * (1.5 if (mc and variation == "trig_up") else 1.0)
    pt = events["Jet_pt"] * (2 if mc and variation == "jes_up" else 1)
    keep = np.asarray(ak.sum(pt > 30, axis=1) >= 1)
    keep &= np.asarray(events["x"] % 2 == (0 if region == "even" else 1))
    met = np.asarray(events["met"])[keep]
    return [np.histogram(met, EDGES, weights=weight[keep] ** power)[0] for power in (1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [5, None])
def test_numbers_of_all_categories(flow, samples, chunk):
    data = samples.write()
    events = read(data)
    for dataset in data["datasets"][:2]:
        dataset["xsec"] = XSEC[dataset["name"]]
    data |= {"luminosity": LUMINOSITY, "sum_of_weights": "events"}
    mc = {"applies_to": {"eventtype": "mc"}}
    varied = [
        {"name": "jes_up", "group": "jes", "direction": "up", "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}, **mc},
        {"name": "trig_up", "group": "trig", "direction": "up", "weight": {"multiply": ["1.5"]}, **mc},
    ]
    s = flow.stage
    axes = [{"name": "met", "source": "met", "type": "variable", "bins": EDGES}]
    stages = [
        s("Good", "hep.define", variables=[{"name": "n", "expr": "sum(Jet_pt > 30)"}]),
        s("Cuts", "hep.selection.cutflow", selection={"jets": ["n >= 1"]}, weight="w"),
        s("Met", "hep.hist", axes=axes, dataset_axis=True, weight="w", regions=["even", "odd"]),
        s("All", "hep.hist", axes=axes, weight="w"),
    ]
    regions = {"even": ["x % 2 == 0"], "odd": ["x % 2 == 1"]}
    analysis = {"stages": stages, "regions": regions}
    flow.write([], data=data, systematics={"variations": varied}, analysis=analysis)
    outcome = flow.run(chunk_size=chunk, mode="force")
    assert outcome.status == "complete", outcome.error
    factors = {name: LUMINOSITY * XSEC[name] / len(events[name]) if name in XSEC else 1.0 for name in events}
    results = flow.folder / "run" / "results"
    for name, scale in (("hist", factors), ("hist-raw", dict.fromkeys(factors, 1.0))):
        text = (results / "Met" / f"{name}.json").read_text()
        made = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
        assert [axis.name for axis in made.axes] == ["met", "region", "dataset", "variation"]
        everything = hist.Hist(
            json.loads((results / "All" / f"{name}.json").read_text(), object_hook=uhi.io.json.object_hook)
        )
        for variation in ("nominal", "jes_up", "trig_up"):
            total = np.zeros((2, 4))
            for dataset, own in events.items():
                for region in ("even", "odd"):
                    values, squares = wanted(own, dataset, region, variation)
                    found = made[{"region": region, "dataset": dataset, "variation": variation}]
                    assert np.allclose(found.values(), values * scale[dataset], rtol=1e-12, atol=0)
                    assert np.allclose(found.variances(), squares * scale[dataset] ** 2, rtol=1e-12, atol=0)
                    total += np.array([values * scale[dataset], squares * scale[dataset] ** 2])
            summed = everything[{"variation": variation}]
            assert np.allclose([summed.values(), summed.variances()], total, rtol=1e-12, atol=0)
    table = json.loads((results / "Cuts" / "cutflow.json").read_text())
    (row,) = table["variations"]["jes_up"]["a"]
    assert row["n_out"] == int(ak.sum(ak.sum(events["a"]["Jet_pt"] * 2 > 30, axis=1) >= 1))
    assert table["variations"]["jes_up"]["data"] == table["datasets"]["data"]
    (nominal,), (up,) = table["datasets"]["a"], table["variations"]["trig_up"]["a"]
    assert up["sumw_out"] == pytest.approx(1.5 * nominal["sumw_out"], rel=1e-12)
    assert not [path for path in results.iterdir() if "@" in path.name]
