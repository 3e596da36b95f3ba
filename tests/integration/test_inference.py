"""A model in a whole run, and a mistake with its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError

TREES = Path(__file__).parents[1] / "data" / "trees.json"
PT = ak.Array([[30.0, 50.0], [], [20.0], [60.0], [11.0]])
ETA = ak.Array([[0.5, -1.0], [], [2.0], [-2.0], [0.0]])


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Jet": "var * {pt: float64, eta: float64}"}).extend(
            {"Jet": ak.zip({"pt": PT, "eta": ETA})}
        )
    shutil.copyfile(TREES, tmp_path / "trees.json")
    return path


def stages(flow, features):
    axis = {"name": "score", "source": "score", "type": "regular", "bins": {"nbins": 40, "low": 0, "high": 1}}
    return [
        flow.stage("Score", "hep.inference", model="trees.json", features=features, output="score"),
        flow.stage("H", "hep.hist", axes=[axis]),
    ]


def test_a_run_with_a_model(flow, events):
    import xgboost

    found = flow.write(stages(flow, {"eta": "Jet_eta", "pt": "Jet_pt"}), [events]).run(chunk_size=2)
    assert found.status == "complete"
    matrix = np.column_stack([ak.to_numpy(ak.flatten(part)) for part in (PT, ETA)]).astype(np.float32)
    expected = np.histogram(xgboost.Booster(model_file=str(TREES)).inplace_predict(matrix), 40, (0, 1))[0]
    assert found.products["H", "hist"].hist.values().tolist() == expected.tolist()
    assert flow.compile().software["xgboost"].endswith(xgboost.__version__)


def test_a_mistake_has_a_place(flow, events):
    flow.write(stages(flow, {"eta": "Jet_eta", "Pt": "Jet_pt"}), [events])
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    (found,) = caught.value.problems
    assert (found.code, found.key, found.message) == (
        "E155",
        "analysis.stages[0].params.features.Pt",
        "the model has no feature `Pt`",
    )
    assert (found.where.file, str(found.hint)) == (str(flow.path), "did you mean `pt`?")
