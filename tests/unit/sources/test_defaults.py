"""Fields with a default: files without the branch get the default, other mistakes are reported."""

from __future__ import annotations

import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError


@pytest.fixture
def files(tmp_path):
    for name, columns in (("mc", {"x": np.arange(10), "w": np.full(10, 0.5)}), ("data", {"x": np.arange(5)})):
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file.mktree("Events", {key: value.dtype for key, value in columns.items()}).extend(columns)
    return {"mc": [tmp_path / "mc.root"], "data": [tmp_path / "data.root"]}


def stages(flow, weight="weight"):
    bins = {"nbins": 1, "low": -1, "high": 100}
    axes = [{"name": "x", "source": "x", "type": "regular", "bins": bins}]
    return [flow.stage("H", "hep.hist", [], axes=axes, weight_expr=weight, dataset_axis=True)]


def sums(outcome):
    hist = outcome.products["H", "hist"].hist
    return {name: float(hist[{"dataset": name}].sum().value) for name in ("mc", "data")}


@pytest.mark.parametrize("order", [("mc", "data"), ("data", "mc")])
def test_files_without_the_branch_get_the_default(flow, files, order):
    field = {"weight": {"stream": "events", "branch": "w", "default": 1}}
    found = {name: files[name] for name in order}
    outcome = flow.run(flow.write(stages(flow), datasets=found, fields=field).compile())
    assert sums(outcome) == {"mc": 5.0, "data": 5.0}
    assert not outcome.summary["warnings"]


def test_without_a_default_the_file_that_lacks_it_is_named(flow, files):
    with pytest.raises(ConfigError, match=r"data\.root"):
        flow.write(stages(flow), datasets=files, fields={"weight": {"stream": "events", "branch": "w"}}).compile()


def test_a_branch_that_no_file_has_is_warned_of(flow, files):
    field = {"weight": {"stream": "events", "branch": "wieght", "default": 2}}
    plan = flow.write(stages(flow), datasets=files, fields=field).compile()
    assert plan.warnings == ("field `weight`: no input file has branch `wieght`. It is 2 for all events",)
    assert sums(flow.run(plan)) == {"mc": 20.0, "data": 10.0}


def test_a_list_cannot_have_a_default(flow, files, small_files):
    field = {"weight": {"stream": "events", "branch": "Jet_pt", "default": 1}}
    found = {"small": [small_files / "a.root"], "data": files["data"]}
    with pytest.raises(ConfigError, match="list per event"):
        flow.write(stages(flow), datasets=found, fields=field).compile()
