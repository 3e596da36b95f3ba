"""Fields that a stage overwrites for some datasets only, and factors of variations that read varied fields."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import SIZES, events_of

BINS = {"nbins": 16, "low": 0, "high": 256}
SHIFT = {"name": "up", "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}}


def seeds():
    """Return dataset → the seeds of its files."""
    found, seed = {}, 0
    for name, sizes in SIZES.items():
        found[name] = [(seed := seed + 1, size) for size in sizes]
    return found


def each(dataset, function):
    """Return a value for each event of a dataset, as `function` makes it of the events of a file."""
    return np.concatenate([function(events_of(*file)) for file in seeds()[dataset]])


def total(events, scale=1):
    return np.array([sum(jets) * scale for jets in events["Jet_pt"].tolist()], dtype=float)


@pytest.mark.parametrize("chunk", [5, 1000])
def test_a_factor_sees_the_replaced_field_in_a_cutflow_before_its_first_reader(flow, samples, chunk):
    up = {"name": "up", "replace": {"fields": {"met": "met + 50"}}, "weight": {"multiply": ["where(met > 60, 2, 0.5)"]}}
    stages = [
        flow.stage("Cut", "hep.selection.cutflow", selection=["x >= 0"]),
        flow.stage("H", "hep.hist", axes=[{"name": "h", "source": "met", "type": "regular", "bins": BINS}]),
    ]
    outcome = flow.write(stages, data=samples.write(), systematics={"variations": [up]}).run(chunk_size=chunk)
    table = outcome.products["Cut", "cutflow"].variations["up"]
    for dataset in SIZES:
        assert table[dataset][-1].sumw_out == each(dataset, lambda e: np.where(e["met"] + 50 > 60, 2, 0.5)).sum()


@pytest.mark.slow
@pytest.mark.parametrize("factor", [False, True])
@pytest.mark.parametrize("chunk", [5, 1000])
def test_a_field_that_is_overwritten_for_one_dataset_is_read_for_the_others(flow, samples, factor, chunk):
    """`met` is overwritten for `a` by what varies; the others have it from their files, also where it is a factor."""
    variation = {**SHIFT, "weight": {"multiply": ["where(met > 60, 2, 0.5)"]}} if factor else SHIFT
    stages = [
        flow.stage("Ht", "hep.define", variables=[{"name": "ht", "expr": "sum(Jet_pt)"}]),
        {**flow.stage("Met", "hep.define", variables=[{"name": "met", "expr": "sum(Jet_pt) / 4"}]), "applies_to": {"datasets": ["a"]}},
        flow.stage("H", "hep.hist", axes=[{"name": "h", "source": "ht" if factor else "met + 0 * ht", "type": "regular", "bins": BINS}]),
    ]  # fmt: skip
    outcome = flow.write(stages, data=samples.write(), systematics={"variations": [variation]}).run(chunk_size=chunk)
    assert outcome.status == "complete", outcome.error
    histogram = outcome.products["H", "hist"].hist[{"variation": "up"}]
    expected = np.zeros(BINS["nbins"])
    for dataset in SIZES:
        ht = each(dataset, lambda e: total(e, 2))
        met = ht / 4 if dataset == "a" else each(dataset, lambda e: e["met"])
        weight = np.where(met > 60, 2, 0.5) if factor else np.ones(len(met))
        expected += np.histogram(ht if factor else met, BINS["nbins"], (0, 256), weights=weight)[0]
        expected[-1] -= weight[(ht if factor else met) == 256].sum()  # the upper edge is in the overflow
    assert histogram.values().tolist() == expected.tolist()
