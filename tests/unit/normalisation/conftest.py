"""Files and workflows with normalisation."""

from __future__ import annotations

import json

import pytest

from normalisation_cases import weights_of, write_nano


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
    """Return a function that writes a workflow with normalisation: `data`, stages and datasets."""

    def write(data, stages=None, **datasets):
        cuts = flow.stage("H", "hep.selection.cutflow", selection=["x % 2 == 0"], weight_expr="genWeight")
        flow.write(stages or [cuts])
        content = json.loads(flow.path.read_text())
        content["data"] = {**data, "datasets": [{"name": name, **more} for name, more in datasets.items()]}
        flow.path.write_text(json.dumps(content))
        return flow

    return write
