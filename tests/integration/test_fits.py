"""A workflow ends in a fit: the example runs, and cabinetry and pyhf fit what it has written, as the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import hist
import numpy as np
import pytest
import uhi.io.json
import uproot

import page_code
from tests.unit.results.datacards import read_datacard

pytest.importorskip("cabinetry")
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def fitted(checkout):
    """The folder of the example after its run."""
    page_code.shell("fasthep-parsl run configs/fit.yaml --site local --backend local --outdir demo/fit", checkout)
    return checkout


def test_templates_are_the_histograms_of_the_run(fitted):
    text = (fitted / "demo/fit/results/Mass/hist.json").read_text()
    mass = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
    assert {"region", "dataset", "variation"} <= {axis.name for axis in mass.axes}
    with uproot.open(fitted / "demo/fit/results/templates.root") as file:
        names = [key.split(";")[0] for key in file.iterkeys()]
        assert {"low_met_dy", "low_met_data", "low_met_dy_muon_scale_up", "low_met_dy_pileup_down"} <= set(names)
        for name in names:
            region, dataset, variation = re.fullmatch(r"(low_met|high_met)_([a-z]+)_?(\w*)", name).groups()
            part = mass[{"region": region, "dataset": dataset, "variation": variation or "nominal"}]
            assert file[name].values().tolist() == part.values().tolist(), name
            assert file[name].variances().tolist() == part.variances().tolist(), name


def test_cabinetry_fits_as_the_page_says(fitted):
    done = subprocess.run([sys.executable, "-W", "ignore", "configs/fit.py", "demo/fit"], cwd=fitted, check=True,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    found = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines() if "±" in line}
    assert {"dy_norm", "muon_scale", "pileup", "lumi", "ttbar_xsec"} <= set(found)
    assert found["dy_norm"] == pytest.approx(1.0, abs=0.3)  # the data of the demo are drawn from its simulation
    assert np.isfinite(list(found.values())).all()


def test_pyhf_fits_as_the_page_says(fitted):
    (block,) = [text for text in page_code.read("fit").nameless if "pyhf" in text and "import" in text]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", block], cwd=fitted, check=True, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert float(done.stdout) == pytest.approx(1.0, abs=0.3)


def test_the_datacard_of_the_example(fitted):
    card = read_datacard(fitted / "demo/fit/results/combine/datacard.txt")
    assert set(card.effects) == {"lumi", "ttbar_xsec", "muon_scale", "pileup"}


def test_a_resumed_run_writes_other_templates_without_reading(fitted):
    path = fitted / "configs" / "fit.yaml"
    text = path.read_text()
    path.write_text(text.replace("    signal: dy\n", "    signal: dy\n    samples: {dy: dy, others: [ttbar, zz]}\n")
                    .replace(", ttbar_xsec: {size: 0.06, samples: ttbar}", ""))  # fmt: skip
    command = "fasthep-parsl run configs/fit.yaml --site local --backend local --outdir demo/fit --resume"
    page_code.shell(command, fitted)
    path.write_text(text)
    with uproot.open(fitted / "demo/fit/results/templates.root") as file:
        assert "low_met_others" in file
        assert "low_met_zz" not in file
