"""Corrections and weights in whole runs: the file travels with the run, and mistakes are shown with their place."""

from __future__ import annotations

import shutil
from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError

FILE = Path(__file__).parents[1] / "data" / "corrections.json"
PT = ak.Array([[12.0, 55.0], [], [31.0], [400.0], [20.0]])
ETA = ak.Array([[-0.3, 2.1], [], [1.7], [-2.3], [0.1]])
INPUTS = {"systematic": "nominal", "abseta": "abs(Muon_eta)", "pt": "Muon_pt"}


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Muon": "var * {pt: float64, eta: float64}", "w": "float64"}).extend(
            {"Muon": ak.zip({"pt": PT, "eta": ETA}), "w": np.arange(1.0, 6.0)}
        )
    shutil.copyfile(FILE, tmp_path / "corrections.json")
    return path


def stages(flow, **given):
    axis = {"name": "w", "source": "w", "type": "regular", "bins": {"nbins": 5, "low": 0.5, "high": 5.5}}
    return [
        {"id": "Sf", "op": "hep.correction", "params": {
            "file": "corrections.json", "name": "muon_sf", "inputs": INPUTS, "output": "sf", **given}},
        flow.stage("Weight", "hep.weight", output="weight", factors=["w", "sf"]),
        flow.stage("H", "hep.hist", axes=[axis], weights="weight"),
    ]  # fmt: skip


def test_a_run_with_corrections(flow, events):
    flow.write(stages(flow), [events])
    found = flow.run(chunk_size=2)
    assert found.status == "complete"
    sf = correctionlib.CorrectionSet.from_file(str(FILE))["muon_sf"]
    expected = [
        w * np.prod([sf.evaluate("nominal", abs(y), x) for x, y in zip(*row, strict=True)])
        for w, *row in zip(range(1, 6), PT.tolist(), ETA.tolist(), strict=True)
    ]
    assert found.products["H", "hist"].hist.values().tolist() == pytest.approx(expected, rel=1e-15)


def test_the_plan_knows_the_file_and_the_version_of_correctionlib(flow, events):
    plan = flow.write(stages(flow), [events]).compile()
    assert [file.name for file in plan.parameter_files] == ["corrections.json"]
    assert plan.software["correctionlib"] == correctionlib.__version__
    plain = flow.write([flow.stage("W", "hep.weight", output="x", factors=["w"])], [events]).compile()
    assert "correctionlib" not in plain.software


@pytest.mark.parametrize(
    ("given", "code", "key", "message"),
    [
        ({"name": "muon_fs"}, "E155", "analysis.stages[0].params.name", "`corrections.json` has no correction `muon_fs`"),
        ({"inputs": {**INPUTS, "systematic": "nominall"}}, "E155", "analysis.stages[0].params.inputs.systematic",
         "correction `muon_sf` has no `systematic: nominall`"),
        ({"inputs": {**INPUTS, "pt": "Muon_ptt"}}, "E150", "analysis.stages[0].params.inputs.pt", "unknown field `Muon_ptt`"),
        ({"variations": {"up": "up"}}, "E155", "analysis.stages[0].params.variations", "the variation `sf` has `up`, but no `down`"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(flow, events, given, code, key, message):
    flow.write(stages(flow, **given), [events])
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    assert [(p.code, p.key, p.message) for p in caught.value.problems] == [(code, key, message)]
    assert caught.value.problems[0].where.file == str(flow.path)


def test_a_value_out_of_range_fails_its_partition_only(flow, events):
    inputs = {**INPUTS, "abseta": "Muon_eta"}
    found = flow.write(stages(flow, inputs=inputs), [events]).run(chunk_size=1)
    assert found.status == "partial"
    failures = found.summary["failures"]
    assert len(failures) == 2
    assert "correction `muon_sf`: `abseta` = -0.3 is outside of its bins" in failures[0]["message"]


def test_a_histogram_has_the_variations_of_its_weight(flow, events):
    """Of the correction, of a factor, and of a field that the correction reads; equal names vary together."""
    found = stages(flow, variations={"up": "up", "down": "down"})
    found[1]["params"]["factors"] = {"w": "w", "muons": "sf", "trigger": {"nominal": 0.9, "up": 1.0, "down": 0.8}}
    replaced = {"up": 1.03, "down": 0.97}
    jes = [
        {
            "name": f"scale_{way}",
            "group": "scale",
            "direction": way,
            "replace": {"fields": {"Muon_pt": f"Muon_pt * {by}"}},
        }
        for way, by in replaced.items()
    ]
    flow.write(found, [events], systematics={"variations": jes})
    outcome = flow.run(chunk_size=2)
    assert outcome.status == "complete"
    hist = outcome.products["H", "hist"].hist
    sf = correctionlib.CorrectionSet.from_file(str(FILE))["muon_sf"]

    def expected(systematic="nominal", scale=1.0, trigger=0.9):
        rows = zip(range(1, 6), PT.tolist(), ETA.tolist(), strict=True)
        return [
            w * np.prod([sf.evaluate(systematic, abs(y), x * scale) for x, y in zip(pt, eta, strict=True)]) * trigger
            for w, pt, eta in rows
        ]

    for name, values in {
        "nominal": expected(), "sf_up": expected("up"), "sf_down": expected("down"),
        "trigger_up": expected(trigger=1.0), "trigger_down": expected(trigger=0.8),
        "scale_up": expected(scale=1.03), "scale_down": expected(scale=0.97),
    }.items():  # fmt: skip
        assert hist[{"variation": name}].values().tolist() == pytest.approx(values, rel=1e-14), name
    assert len(hist.axes["variation"]) == 7
