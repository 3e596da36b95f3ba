"""`configs/agc_bdt.yaml` equals loops over events and assignments that share no code with the package."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import uproot

import fasthep_parsl as fp
from fasthep_parsl.demo import write_demo_data
from fasthep_parsl.demo.agc_models import BDT_FEATURES, MODEL_FILES, agc_model

pytest.importorskip("correctionlib", reason="correctionlib is not installed (extra `corrections`)")
xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed (extra `xgboost`)")

import agc_classifier_loop
import agc_event_loop

CONFIGS = Path(__file__).parents[3] / "configs"


def checkout(folder: Path, events: int) -> Path:
    """Return a folder like the repository with demo data for the challenge."""
    (folder / "configs").mkdir(parents=True)
    for name in ("agc.yaml", "agc_bdt.yaml"):
        shutil.copy(CONFIGS / name, folder / "configs")
    write_demo_data(folder / "demo" / "agc", events, like="agc", seed=5)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("bdt") / "checkout", 3000)


@pytest.fixture(scope="module")
def expected(folder):
    data = folder / "demo" / "agc"
    return agc_classifier_loop.analyse(agc_event_loop.samples_in(data), data)


def templates(folder: Path, outdir: Path, chunk_size: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run the workflow and return values and variances of all templates, with underflow and overflow."""
    outcome = fp.run(
        folder / "configs" / "agc_bdt.yaml",
        outdir=outdir,
        overrides=["execution.backend=local"],
        chunk_size=chunk_size,
        plots=False,
    )
    assert outcome.exit_code == 0
    with uproot.open(outdir / "results" / "templates.root") as file:
        return {
            name.partition(";")[0]: (file[name].values(flow=True), file[name].variances(flow=True)) for name in file
        }


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [170, 100_000])
def test_every_bin_is_that_of_the_loops(folder, expected, tmp_path, chunk_size):
    found = templates(folder, tmp_path / "run", chunk_size)
    of_features = {name: value for name, value in found.items() if not name.startswith("4j")}
    assert of_features.keys() == agc_classifier_loop.names_of_the_reference()
    assert len(of_features) == 20 * 62
    assert of_features.keys() == expected.keys()
    for name, (values, variances) in of_features.items():
        np.testing.assert_allclose(values, expected[name].weights, rtol=1e-12, atol=0, err_msg=name)
        np.testing.assert_allclose(variances, expected[name].squares, rtol=1e-12, atol=0, err_msg=name)
    # Each feature counts the same events.
    for feature in BDT_FEATURES:
        np.testing.assert_allclose(found[f"{feature}_ttbar"][0].sum(), found["4j2b_ttbar"][0].sum(), rtol=1e-12)


def test_a_model_is_not_applied_to_events_that_it_was_trained_on(folder, expected, tmp_path):
    """With the models exchanged, the loops find something else, so the comparison above sees which one is applied."""
    for which, other in (("even", "odd"), ("odd", "even")):
        shutil.copy(folder / "demo" / "agc" / f"bdt_trained_on_{which}.json", tmp_path / f"bdt_trained_on_{other}.json")
    samples = {"ttbar": agc_event_loop.samples_in(folder / "demo" / "agc")["ttbar"]}
    exchanged = agc_classifier_loop.analyse(samples, tmp_path)
    assert sum(exchanged["mass_w1w2_ttbar"].weights) == pytest.approx(sum(expected["mass_w1w2_ttbar"].weights))
    assert exchanged["mass_w1w2_ttbar"].weights != expected["mass_w1w2_ttbar"].weights
    assert exchanged["mass_w1w2btophad_ttbar"].weights != expected["mass_w1w2btophad_ttbar"].weights


def test_features_and_files_of_the_models_are_those_of_the_reference(folder):
    assert list(BDT_FEATURES) == list(agc_classifier_loop.BINNING)
    for parity, name in MODEL_FILES.items():
        stored = json.loads((folder / "demo" / "agc" / name).read_text())
        assert stored == json.loads(json.dumps(agc_model(parity)))  # no random numbers
        assert ("even" in name) == (parity == 0)
        assert xgboost.Booster(model_file=str(folder / "demo" / "agc" / name)).feature_names == list(BDT_FEATURES)


def test_the_workflow_has_no_python_and_no_fit_of_the_features():
    text = (CONFIGS / "agc_bdt.yaml").read_text()
    assert not re.search("^use:", text, re.MULTILINE)
    assert len(text.splitlines()) <= 150
    assert max(map(len, text.splitlines())) <= 130
    assert "formats: null" in text
