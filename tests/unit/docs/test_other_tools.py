"""The workflows of the pages for users of coffea and ROOT give what plain loops over the events give.

The loops do what the processor and the macros of the pages do.
"""

from __future__ import annotations

import math
import re
import shutil

import numpy as np
import pytest
import uproot

import page_code
from fasthep_parsl.driver.api import compile_plan, run


@pytest.fixture
def results(request, tmp_path, demo_data):
    """Run a workflow of a page on demo data and return a function: id of a histogram to its contents."""
    page, workflow = request.param
    shutil.copytree(demo_data, tmp_path / "data")
    path = tmp_path / workflow
    path.write_text(page_code.read(page).files[workflow])
    products = run(path, outdir=tmp_path / "run", overrides=["execution.backend=local"], plots=False).products
    return lambda stage: products[stage, "hist"].hist


def events_of(folder, dataset):
    """Yield the events of a dataset as mappings of branches to values."""
    for path in sorted(folder.glob(f"{dataset}_*.root")):
        with uproot.open(path) as file:
            yield from file["Events"].arrays().to_list()


def good_muons(event):
    names = ("pt", "eta", "phi", "mass", "charge", "tightId")
    columns = zip(*(event[f"Muon_{name}"] for name in names), strict=True)
    muons = [dict(zip(names, values, strict=True)) for values in columns]
    return [muon for muon in muons if muon["pt"] > 20 and abs(muon["eta"]) < 2.4 and muon["tightId"]]


def pair_mass(muons):
    total = np.zeros(4)
    for muon in muons:
        pt, eta, phi = muon["pt"], muon["eta"], muon["phi"]
        momentum = [pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)]
        total += [math.sqrt(sum(x * x for x in momentum) + muon["mass"] ** 2), *momentum]
    return math.sqrt(total[0] ** 2 - sum(total[1:] ** 2))


def filled(entries, bins, low, high):
    """Return the contents of a histogram with flow bins, and their squared weights."""
    values, weights = np.array(entries).reshape(-1, 2).T
    edges = [-np.inf, *np.linspace(low, high, bins + 1), np.inf]
    return np.histogram(values, edges, weights=weights)[0], np.histogram(values, edges, weights=weights**2)[0]


def assert_equal(histogram, entries, *binning):
    assert len(entries) > 50
    value, variance = filled(entries, *binning)
    np.testing.assert_allclose(histogram.values(flow=True), value, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(histogram.variances(flow=True), variance, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("results", [("from-coffea", "analysis.yaml")], indirect=True)
def test_the_workflow_beside_the_processor(results, demo_data):
    for dataset in ("dy", "ttbar"):
        entries = []
        for event in events_of(demo_data, dataset):
            muons = good_muons(event)
            pairs = [(a, b) for i, a in enumerate(muons) for b in muons[i + 1 :] if a["charge"] * b["charge"] < 0]
            if event["HLT_IsoMu24"] and pairs:
                best = min(map(pair_mass, pairs), key=lambda mass: abs(mass - 91.2))
                entries.append((best, event["genWeight"]))
        histogram = results("Mass")[{"dataset": dataset}]
        if dataset == "dy":
            assert_equal(histogram, entries, 60, 60, 120)
        else:
            assert histogram.sum(flow=True).value == pytest.approx(sum(weight for _, weight in entries))


@pytest.mark.parametrize("results", [("from-root", "analysis.yaml")], indirect=True)
def test_the_workflow_beside_the_macro(results, demo_data):
    masses, momenta = [], []
    for event in events_of(demo_data, "dy"):
        muons = good_muons(event)
        if event["HLT_IsoMu24"] and len(muons) == 2 and muons[0]["charge"] * muons[1]["charge"] < 0:
            masses.append((pair_mass(muons), event["genWeight"]))
            momenta.append((max(muon["pt"] for muon in muons), event["genWeight"]))
    assert_equal(results("Mass"), masses, 60, 60, 120)
    assert_equal(results("LeadingPt"), momenta, 50, 0, 100)


@pytest.mark.parametrize("results", [("from-root", "draw.yaml")], indirect=True)
def test_the_workflow_beside_the_draw_command(results, demo_data):
    entries = [
        (pt, event["genWeight"])
        for event in events_of(demo_data, "dy")
        if event["nMuon"] >= 2
        for pt, charge in zip(event["Muon_pt"], event["Muon_charge"], strict=True)
        if charge > 0
    ]
    assert_equal(results("Pt"), entries, 40, 0, 100)


def test_the_program_of_the_comparison_is_planned_and_as_long_as_the_page_says(tmp_path, demo_data, monkeypatch):
    programs = page_code.ROOT / "benchmarks" / "newcomers"
    monkeypatch.syspath_prepend(str(programs.parent))
    from bench_newcomers import TOOLS, code_lines

    lines = [str(code_lines(programs / TOOLS[name].program)) for name in ("fasthep-parsl", "coffea", "FAST-HEP")]
    page = (page_code.ROOT / "docs/explanation/comparison.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| lines of the user"))
    assert re.findall(r"\d+", row) == lines
    shutil.copy(programs / "fasthep_parsl.yaml", tmp_path)
    shutil.copytree(demo_data, tmp_path / "data")
    assert compile_plan(tmp_path / "fasthep_parsl.yaml").warnings == ()
