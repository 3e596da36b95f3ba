"""Regions with variations: masks that vary are made again, and templates equal a plain numpy analysis of each variation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError

pytestmark = pytest.mark.integration
AXIS = {"name": "x", "bins": {"nbins": 10, "low": 0, "high": 200}}
VARIATIONS = [
    {"name": "shift_up", "group": "shift", "direction": "up", "replace": {"fields": {"x": "x + 30"}}},
    {
        "name": "jets_up",
        "group": "jets",
        "replace": {"fields": {"nJet": "nJet + 1"}},
        "applies_to": {"datasets": ["a"]},
    },
    {"name": "w_up", "group": "w", "direction": "up", "weight": {"multiply": ["1 + 0.25 * (x > 50)"]}},
    {"name": "other", "datasets": {"a": "instead"}},
]
REGIONS = {"low": ["x < 70", "nJet >= 1"], "jets": {"Any": ["nJet == 2", "x >= 120"]}}


@pytest.fixture
def analysis(flow, small_files):
    for name, source in {"a": "a", "b": "b", "instead": "b"}.items():
        (flow.folder / f"{name}.root").write_bytes((small_files / f"{source}.root").read_bytes())
    stages = [
        {"id": "Sel", "op": "hep.select", "params": {"selection": ["x >= 10"]}},
        {"id": "H", "op": "hep.hist", "params": {"regions": "all", "axes": [AXIS], "weight_expr": "0.5 + 0 * x"}},
        {"id": "N", "op": "hep.hist", "params": {"regions": ["jets"], "weight_expr": "1.0 + 0 * x",
         "axes": [{"name": "n", "source": "nJet", "bins": {"nbins": 5, "low": 0, "high": 5}}]}},
    ]  # fmt: skip
    files = {name: [flow.folder / f"{name}.root"] for name in ("a", "b", "instead")}
    flow.write(stages, datasets=files, systematics={"variations": VARIATIONS})
    content = json.loads(flow.path.read_text())
    content["analysis"] |= {
        "regions": REGIONS,
        "templates": {
            "histograms": ["H", "N"],
            "samples": {"A": ["a"], "AB": ["b"]},
            "signal": ["A"],
            "pseudodata": {},
        },
    }
    flow.path.write_text(json.dumps(content))
    return flow


def events(folder, dataset):
    with uproot.open(folder / f"{dataset}.root") as file:
        return file["Events"].arrays(["x", "nJet"], library="np")


def expected(folder, dataset, variation):
    """Return channel → (sum of weights, sum of squares) per bin, of one dataset in one variation."""
    arrays = events(folder, "instead" if (dataset, variation) == ("a", "other") else dataset)
    x, jets = arrays["x"].astype(float), arrays["nJet"]
    weight = np.full(len(x), 0.5) * (1 + 0.25 * (x > 50) if variation == "w_up" else 1)
    x = x + 30 if variation == "shift_up" else x
    jets = jets + 1 if (dataset, variation) == ("a", "jets_up") else jets
    selected = x >= 10
    masks = {"low": selected & (x < 70) & (jets >= 1), "jets": selected & ((jets == 2) | (x >= 120))}
    fills = {"low": ("low", x, weight, 10, 200), "jets_H": ("jets", x, weight, 10, 200),
             "jets_N": ("jets", jets, 2 * weight, 5, 5)}  # fmt: skip
    found = {}
    for channel, (region, values, weights, bins, high) in fills.items():
        mask = masks[region]
        edges = {"bins": bins, "range": (0, high)}
        inside = mask & (values < high)
        found[channel] = (np.histogram(values[inside], weights=weights[inside], **edges)[0],
                          np.histogram(values[inside], weights=weights[inside] ** 2, **edges)[0])  # fmt: skip
    return found


@pytest.mark.parametrize("chunk_size", [3, 17, 1000])
def test_templates_equal_an_analysis_of_each_variation(analysis, chunk_size, long_passes):
    outcome = analysis.run(chunk_size=chunk_size)
    assert outcome.status == "complete"
    with uproot.open(analysis.folder / "run/results/templates.root") as file:
        found = {key.split(";")[0]: file[key] for key in file.iterkeys()}
    names = set()
    for sample, dataset in {"A": "a", "AB": "b"}.items():
        for variation in ("", "shift_up", "w_up", *(("jets_up", "other") if dataset == "a" else ())):
            for channel, (values, squares) in expected(analysis.folder, dataset, variation).items():
                name = f"{channel}_{sample}{f'_{variation}' if variation else ''}"
                if name not in found:
                    nominal = expected(analysis.folder, dataset, "")[channel]
                    assert not values.any(), name
                    assert not nominal[0].any(), name
                    continue
                names.add(name)
                assert found[name].values().tolist() == values.tolist(), name
                assert found[name].variances().tolist() == squares.tolist(), name
    assert set(found) == names | {f"{channel}_pseudodata" for channel in ("low", "jets_H", "jets_N")}


def test_only_what_varies_is_copied(analysis):
    ids = {stage.id for stage in analysis.compile().stages}
    copies = {name for name in ids if name.endswith("@jets_up") and not name.startswith("@")}
    assert copies == {"Sel@low@jets_up", "Sel@jets@jets_up", "H@low@jets_up", "H@jets@jets_up", "N@jets@jets_up"}
    assert "Sel@shift_up" in ids
    assert not any(name.endswith(("@w_up", "@other")) for name in ids)


def test_a_region_cannot_have_the_name_of_a_variation(analysis):
    content = json.loads(analysis.path.read_text())
    content["analysis"]["regions"]["w_up"] = content["analysis"]["regions"].pop("low")
    analysis.path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        analysis.compile()
    (problem,) = [item for item in caught.value.problems if item.code == "E106"]
    assert (problem.key, problem.message) == (
        "analysis.regions.w_up",
        "region `w_up` has the name of the variation `w_up`",
    )
