"""CPU of ``hep.correction`` over that of correctionlib called on flat arrays that are ready.

The correction is a lepton scale factor: a category for the systematic variation, bins in pseudorapidity and transverse
momentum. It is computed per muon, nominal and up and down: once by the op on lists of float32, once by correctionlib on
the flat arrays of float64 that its documentation uses. Repetitions of both alternate.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from setting import BenchmarkError, Options, Row, workspace

EVENTS = 200_000
ROUNDS = 40
BAR = 1.2
SYSTEMATICS = ("nominal", "up", "down")


def corrections(_options: Options) -> list[Row]:
    """Compare the op with correctionlib."""
    import awkward as ak
    import correctionlib
    import numpy as np

    from fasthep_parsl.ops.corrections.correction import correction
    from fasthep_parsl.ops.stream import Events

    with workspace() as folder:
        path = folder / "corrections.json"
        path.write_text(json.dumps(_file()))
        random = np.random.default_rng(1)
        counts = random.poisson(2.0, EVENTS)
        pt = (random.exponential(30.0, counts.sum()) + 5).astype(np.float32)
        eta = random.uniform(-2.4, 2.4, counts.sum()).astype(np.float32)
        events = Events({"Muon_pt": ak.unflatten(pt, counts), "Muon_eta": ak.unflatten(eta, counts)}, EVENTS)
        params = correction.op.params(  # type: ignore[attr-defined]
            file=path, name="sf", inputs={"systematic": "nominal", "abseta": "abs(Muon_eta)", "pt": "Muon_pt"},
            output="sf", variations={"up": "up", "down": "down"},
        )  # fmt: skip
        evaluator = correctionlib.CorrectionSet.from_file(str(path))["sf"]
        flat_pt, flat_eta = pt.astype(np.float64), np.abs(eta).astype(np.float64)

        def ours() -> Any:
            return correction(events, params=params)

        def theirs() -> Any:
            return [evaluator.evaluate(name, flat_eta, flat_pt) for name in SYSTEMATICS]

        here = [ak.to_numpy(ak.flatten(ours()[column])) for column in ("sf", "sf@sf_up", "sf@sf_down")]
        if any(not np.array_equal(a, b) for a, b in zip(here, theirs(), strict=True)):
            raise BenchmarkError("hep.correction and correctionlib differ")
        spent = _alternating(ours, theirs)
    ratio = median(a / b for a, b in zip(*spent, strict=True))
    each = 1e9 / (3 * len(pt))
    note = f"per muon and variation, {EVENTS:,} events"
    return [
        Row(
            "hep.correction, over correctionlib on flat arrays",
            median(spent[0]) * each, "ns CPU", ratio, BAR, reference=median(spent[1]) * each, note=note,
        )
    ]  # fmt: skip


def _alternating(*calls: Callable[[], Any]) -> list[list[float]]:
    """Return the CPU seconds of each call in each round."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for row, call in zip(spent, calls, strict=True):
            began = time.process_time()
            call()
            row.append(time.process_time() - began)
    return spent


def _file() -> dict[str, Any]:
    edges = [[0.0, 0.9, 1.2, 2.1, 2.4], [5.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 120.0, "inf"]]
    number = 4 * 8

    def table(shift: float) -> dict[str, Any]:
        content = [0.9 + 0.003 * i + shift for i in range(number)]
        return {
            "nodetype": "multibinning", "inputs": ["abseta", "pt"], "edges": edges, "content": content, "flow": "clamp",
        }  # fmt: skip

    shifts = zip(SYSTEMATICS, (0.0, 0.02, -0.02), strict=True)
    data = {
        "nodetype": "category",
        "input": "systematic",
        "content": [{"key": name, "value": table(shift)} for name, shift in shifts],
    }
    inputs = [
        {"name": "systematic", "type": "string"},
        {"name": "abseta", "type": "real"},
        {"name": "pt", "type": "real"},
    ]
    output = {"name": "weight", "type": "real"}
    entry = {"name": "sf", "version": 1, "inputs": inputs, "output": output, "data": data}
    return {"schema_version": 2, "corrections": [entry]}
