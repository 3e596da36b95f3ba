"""Weights of cutflows that are no finite numbers: counted, and in no sum."""

import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.ops.cutflow import cutflow
from fasthep_parsl.ops.products import merge_cutflows
from fasthep_parsl.ops.stream import Events


def table(weight, w, where="host"):
    events = Events({"x": np.arange(float(len(w))), "w": w}, len(w))
    if where == "gpu":
        events = events.on_gpu(["x", "w"])
    _, found = cutflow(events, selection={"a": ["x > 0"], "b": {"cuts": ["x > 1"], "from": "a"}}, weight_expr=weight)
    return found


@pytest.mark.parametrize("where", ["host", "gpu"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_of_one_event(bad, where):
    with fake_cupy.installed():
        found = table("w", np.array([1.0, 2.0, bad, 4.0]), where)
    assert found.nan == 1
    a, b = found.rows[""]
    assert (a.n_in, a.n_out, a.sumw_in, a.sumw_out, a.sumw2_out) == (4, 3, 7, 6, 20)
    assert (b.n_in, b.n_out, b.sumw_in, b.sumw_out) == (3, 2, 6, 4)
    assert merge_cutflows(found, found).nan == 2


def test_written():
    for events in (3, 0):
        found = table("nan", np.ones(events))
        assert found.nan == events
        assert [row.sumw_out for row in found.rows[""]] == [0, 0]


def test_sums_beyond_double_precision_are_no_failed_weights():
    found = table("w", np.array([1e308, 1e308, 1e308]))
    assert found.nan == 0
    assert found.rows[""][0].sumw_in == np.inf
