"""What the contracts of kinds are tried on: events of the demo data, and an example of each op's parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

import kind_examples

DATA = Path(__file__).parents[1] / "data"

CERTIFIED = Path(__file__).parent / "certified.json"
EXAMPLES = {
    "hep.define": {
        "variables": [
            {"name": "n", "expr": "count(Muon_pt > 20)"},
            {"name": "ht", "reduce": {"op": "sum", "over": "Jet_pt"}},
            {"name": "lead", "expr": "leading(Muon_pt)"},
            {"name": "scaled", "expr": "Muon_pt * 2", "dtype": "float32"},
        ]
    },
    "hep.select": {"selection": ["nMuon >= 1", "MET_pt > 5"]},
    "hep.selection.flag": {"selection": ["nMuon >= 1"], "output": "has_muon"},
    "hep.selection.cutflow": {
        "selection": {"a": ["nMuon >= 1", "MET_pt > 5"], "b": ["nJet > 1"]},
        "weight_expr": "genWeight",
    },
    "hep.select_objects": {
        "collection": "Muon",
        "output": "Good",
        "selection": ["pt > 15", "abs(eta) < 2.4"],
        "keep": ["pt", "eta", "phi", "mass", "charge"],
        "sort": {"by": "pt", "order": "descending"},
    },
    "hep.merge_collections": {"inputs": {"Muon": 13, "Electron": 11}, "output": "Lepton"},
    "hep.build_pairs": {"collections": ["Muon"], "output": "dimuon", "keep": {"candidate": ["pt", "mass"]}},
    "hep.build_combinations": {"collection": "Jet", "n": 3, "output": "trijet", "take": 2, "mass": 0.0},
    "hep.clean": {"source": "Jet", "clean_against": ["Muon", "Electron"], "output": "CleanJet"},
    "hep.hist": {
        "axes": [
            {"name": "pt", "source": "Muon_pt", "type": "regular", "bins": {"nbins": 20, "low": 0, "high": 100}},
            {"name": "met", "source": "MET_pt", "type": "variable", "bins": [0, 10, 50]},
        ],
        "weight_expr": "genWeight",
        "dataset_axis": True,
    },
    "hep.lumi_mask": {"file": CERTIFIED},
    "hep.sum_of_weights": {"weights": {"dy": "genWeight"}},
    "hep.correction": {
        "file": str(DATA / "corrections.json"),
        "name": "muon_sf",
        "inputs": {"systematic": "nominal", "abseta": "minimum(abs(Muon_eta), 2.39)", "pt": "Muon_pt"},
        "output": "muon_sf",
        "variations": {"up": "up", "down": "down"},
    },
    "hep.inference": {
        "model": str(DATA / "trees.json"),
        "features": {"pt": "Muon_pt", "eta": "Muon_eta"},
        "output": {"score": "prediction", "margin": "margin"},
    },
    "hep.weight": {
        "output": "weight",
        "factors": {"generator": "genWeight", "muons": {"nominal": "prod(Muon_pt / Muon_pt)", "up": 1.1, "down": 0.9}},
    },
    "hep.write": {"fields": ["Muon_pt", "MET_pt"], "format": "parquet"},
    **kind_examples.given("ops"),
}
"""Op → parameters that make sense on demo data. A new op needs one: everything else is tried by itself."""


@pytest.fixture(scope="session")
def examples():
    return EXAMPLES


@pytest.fixture(scope="session")
def demo_events(demo_data):
    """All columns of a file of demo data, and their structure."""
    from fasthep_parsl.ops.stream import Events
    from fasthep_parsl.plan import PlanSource
    from fasthep_parsl.sources.files import open_file

    file = open_file(str(next(demo_data.glob("dy_*.root"))), PlanSource(params={"tree": "Events"}))
    schema = {name: branch.shape for name, branch in file.branches().found.items() if not branch.problem}
    columns = file.read(schema, 0, min(file.entries, 300))
    file.close()
    return Events(columns, min(file.entries, 300)), schema
