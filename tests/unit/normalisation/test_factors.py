"""Factors are luminosity × cross-section / sum of exactly what was processed, or refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

RUNS = {"tree": "Runs", "branch": "genEventSumw"}


def paths(nano):
    return [str(path) for path in nano]


def run_json(flow):
    return json.loads((flow.folder / "run" / "run.json").read_text())


@pytest.mark.parametrize("chunk", [1, 7, None])
@pytest.mark.parametrize("way", [None, RUNS, {"expr": "genWeight"}, "events", 1234.5])
def test_the_factor_is_exact_for_every_way_and_chunk(norm, nano, way, chunk):
    data = {"luminosity": "36.3 /fb", **({"sum_of_weights": way} if way else {})}
    flow = norm(data, mc={"files": paths(nano), "xsec": "6.2 nb"})
    outcome = flow.run(chunk_size=chunk)
    assert outcome.exit_code == 0, outcome.error
    every = np.concatenate(list(nano.values()))
    total = {"events": len(every), 1234.5: 1234.5}.get(way if not isinstance(way, dict) else None, math.fsum(every))
    found = run_json(flow)["normalisation"]["datasets"]["mc"]
    assert found["factor"] == pytest.approx(36300 * 6200 / total, rel=1e-12)
    assert found["sum"] == pytest.approx(total, rel=1e-12)
    assert found["luminosity"] == 36300
    assert found["xsec"] == 6200
