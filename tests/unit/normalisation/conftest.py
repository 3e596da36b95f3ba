"""Small files like NanoAOD: events with weights, and the tree `Runs` with their sums."""

from __future__ import annotations

import numpy as np
import pytest
import uproot


def write_nano(path, weights, runs=None, first=0, **more):
    """Write events with `weights`, in clusters of 10, and `Runs` with two entries whose sums are those of `runs`."""
    runs = weights if runs is None else runs
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events", {"x": "int64", "genWeight": "float64", **{name: v.dtype for name, v in more.items()}}
        )
        for start in range(0, len(weights), 10):
            part = slice(start, start + 10)
            x = np.arange(first, first + len(weights))
            tree.extend({"x": x[part], "genWeight": weights[part], **{name: v[part] for name, v in more.items()}})
        if runs is not False:
            halves = np.array_split(np.asarray(runs), 2)
            file.mktree(
                "Runs", {"genEventSumw": "float64", "genEventSumw2": "float64", "genEventCount": "int64"}
            ).extend(
                {
                    "genEventSumw": np.array([half.sum() for half in halves]),
                    "genEventSumw2": np.array([(half**2).sum() for half in halves]),
                    "genEventCount": np.array([len(half) for half in halves]),
                }
            )
    return path


def weights_of(number, seed):
    """Return weights of both signs, which do not cancel."""
    random = np.random.default_rng(seed)
    return random.normal(30, 5, number) * np.where(random.random(number) < 0.2, -1, 1)


@pytest.fixture(scope="session")
def nano(tmp_path_factory):
    """File → weights of its events: two with events, one without."""
    folder = tmp_path_factory.mktemp("nano")
    found = {}
    for number, size in enumerate((60, 45, 0)):
        weights = weights_of(size, number)
        path = write_nano(folder / f"{number}.root", weights, first=1000 * number)
        found[path] = weights
    return found


@pytest.fixture
def norm(flow):
    """Return a function that writes a workflow with normalisation: `data` and stages."""

    def write(data, stages=None, **datasets):
        flow.write(
            stages or [flow.stage("H", "hep.selection.cutflow", selection=["x % 2 == 0"], weight_expr="genWeight")]
        )
        import json

        content = json.loads(flow.path.read_text())
        content["data"] = {**data, "datasets": [{"name": name, **more} for name, more in datasets.items()]}
        flow.path.write_text(json.dumps(content))
        return flow

    return write
