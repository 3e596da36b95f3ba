"""Ops of analysis modules: neighbouring files are found, and broken declarations are reported."""

from __future__ import annotations

import pytest


def test_an_op_that_does_not_add_what_it_declares_is_blamed_itself(flow, small_files, tmp_path):
    (tmp_path / "forgetful_ops.py").write_text(
        "from fasthep_parsl import op\n"
        "@op('my.forgetful', reads=['x'], writes=['y', 'z'])\n"
        "def forgetful(events):\n"
        "    return {'y': events.x}\n"
    )
    modules = {"modules": ["probe_ops.py", "forgetful_ops.py"]}
    s = flow.stage
    stages = [s("F", "my.forgetful", []), s("Sum", "probe.sum", ["F"], field="z")]
    outcome = flow.run(flow.write(stages, [small_files / "b.root"], use=modules).compile())
    assert outcome.status == "failed"
    first = outcome.summary["failures"][0]
    assert first["stage"] == "F"
    assert "declares that it writes `z`" in first["message"]


HEAD = """\
import awkward as ak
import numpy as np

from fasthep_parsl import op

@op("my.odd", reads=["x", "Jet_pt"], writes=["y"])
def odd(events):
    return {result}

@op("my.both", reads=["x"], writes=["y"], stream=True, product="p", merge=lambda a, b: a + b)
def both(events):
    return {result}

@op("my.product", reads=["x"], product="p", merge=lambda a, b: a + b)
def product(events):
    return {result}
"""
COLUMNS = 'return a dict of columns, {"y": …}, or events, as in `return events[mask]`'
RESULTS = {
    "None": f"op `my.odd` returned None: {COLUMNS}",
    "3.5": f"op `my.odd` returned a float: {COLUMNS}",
    "events.x": f"op `my.odd` returned a bare array (of shape (40,)): {COLUMNS}",
    "events.Jet_pt": f"op `my.odd` returned a bare array (40 * var * float32): {COLUMNS}",
    "[events.x]": f"op `my.odd` returned a list: {COLUMNS}",
    "(events, 1)": f"op `my.odd` returned a tuple: {COLUMNS}",
    '{"y": 1}': "op `my.odd` returned an int as `y`: a column is an array of NumPy or awkward",
    '{"y": None}': "op `my.odd` returned None as `y`: a column is an array of NumPy or awkward",
    '{"y": np.float64(1)}': "op `my.odd` returned a single value as `y`: a column has one",
    '{"y": "text"}': "op `my.odd` returned a str as `y`: a column is an array",
    '{"y": np.array([{}] * len(events.x))}': "op `my.odd` returned an array of object as `y`",
    '{"y": [object()] * 40}': "op `my.odd` returned a list as `y` that is not a column",
    '{"y": events.x[:-1]}': "op `my.odd` returned 39 entries of `y` for 40 events: a column has one entry per event; to drop",
    '{"y": events.Jet_pt[1:]}': "op `my.odd` returned 39 entries of `y` for 40 events",
    '{1: events.x, "y": events.x}': "op `my.odd` returned a dict with the key 1: keys are names of fields",
    '{"z": events.x}': "op `my.odd` declares that it writes `y`, but did not return it",
    '{"y": events.x, "x": events.x * 0}': "op `my.odd` returned another `x`, which it does not declare to write: declare it,",
    "events": "op `my.odd` declares that it writes `y`, but did not return it",
}


@pytest.mark.slow
@pytest.mark.parametrize("result", RESULTS)
def test_what_an_op_should_return_is_said(flow, small_files, result):
    (flow.folder / "my_ops.py").write_text(HEAD.replace("{result}", result))
    stages = [flow.stage("Odd", "my.odd"), flow.stage("S", "probe.sum", field="y")]
    flow.write(stages, [small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    (failure,) = flow.run().summary["failures"]
    assert RESULTS[result] in failure["message"]
    assert (failure["stage"], failure["where"], failure["kind"]) == ("Odd", "my_ops.py:6", "user")


@pytest.mark.parametrize(
    ("op", "result", "said"),
    [
        ("my.product", "None", "returned None: return the product `p` that it declares"),
        ("my.both", "{}", "returned a dict: return (events, p)"),
        ("my.both", '({"y": events.x}, None)', "returned None: return the product `p`"),
        ("my.both", "(3, 4)", "returned an int: return a dict of columns"),
    ],
)
def test_what_a_product_should_be_is_said(flow, small_files, op, result, said):
    (flow.folder / "my_ops.py").write_text(HEAD.replace("{result}", result))
    flow.write([flow.stage("P", op)], [small_files / "b.root"], use={"modules": ["my_ops.py"]})
    (failure,) = flow.run().summary["failures"]
    assert said in failure["message"]
    assert failure["where"] == {"my.product": "my_ops.py:14", "my.both": "my_ops.py:10"}[op]


GOOD = {
    "numpy": "{'y': events.x}",
    "list": "{'y': [1.0] * len(events)}",
    "awkward": "{'y': ak.num(events.Jet_pt)}",
    "lists": "{'y': [[1], []] * (len(events) // 2)}",
    "masked": "{'y': np.ma.masked_greater(events.x, 110)}",
    "series": "{'y': type('Series', (), {'__array__': lambda s, dtype=None, copy=None: np.ones(40)})()}",
    "events": "events.with_columns({'y': events.x})",
    "record": "ak.with_field(events.to_awkward(), events.x, 'y')",
}
SUMS = {
    "numpy": 4780,
    "list": 40,
    "awkward": 40,
    "lists": 20,
    "masked": 1155,
    "series": 40,
    "events": 4780,
    "record": 4780,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOOD)
def test_what_an_op_may_return(flow, small_files, kind):
    (flow.folder / "my_ops.py").write_text(HEAD.replace("{result}", GOOD[kind]))
    stages = [
        flow.stage("Odd", "my.odd"),
        flow.stage("S", "probe.sum", field="y"),
        flow.stage("N", "probe.sum", field="nJet"),
    ]
    flow.write(stages, [small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    outcome = flow.run()
    assert outcome.status == "complete", outcome.summary["failures"]
    assert outcome.products["S", "sum"] == SUMS[kind]
    assert outcome.products["N", "sum"] == 40  # not declared by the op, but goes on


TOUCHES = {
    "attribute": "events.nJet",
    "item": "events['nJet']",
    "items": "events[['x', 'nJet']]",
    "later": "events[events.x > 3].nJet",
    "not in the file": "events.nJett",
    "misspelt": "events.Jet_ptt",
}


@pytest.mark.slow
@pytest.mark.parametrize("other", [True, False])
@pytest.mark.parametrize("touch", TOUCHES)
def test_an_undeclared_field_is_named(flow, small_files, touch, other):
    (flow.folder / "my_ops.py").write_text(HEAD.replace("{result}", f"{{'y': {TOUCHES[touch]}}}"))
    stages = [flow.stage("Odd", "my.odd")]
    stages += [flow.stage("N", "probe.sum", field="nJet")] if other else []  # then the field is there
    flow.write(stages, [small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    (failure,) = flow.run().summary["failures"]
    field = TOUCHES[touch].rpartition(".")[2] if "'" not in TOUCHES[touch] else "nJet"
    assert f"op `my.odd` reads `{field}`, which it does not declare" in failure["message"]
    assert f'write reads=["Jet_pt", "x", "{field}"] in @op(…)' in failure["message"]
    assert failure["where"] == "my_ops.py:8"


def test_an_op_sees_what_it_declares(flow, small_files):
    text = HEAD.replace(
        "{result}", "{'y': np.full(len(events), 100 * len(events.fields) + len(list(events)) + ('nJet' in events))}"
    )
    (flow.folder / "my_ops.py").write_text(text)
    stages = [
        flow.stage("Odd", "my.odd"),
        flow.stage("S", "probe.sum", field="y"),
        flow.stage("N", "probe.sum", field="nJet"),
    ]
    flow.write(stages, [small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    assert flow.run().products["S", "sum"] == 40 * 202


WHOLE = """\
from fasthep_parsl import op

@op("my.whole", reads=["x"], scope="workflow", product="p")
def whole(pieces):
    return sum(float(piece.{field}.sum()) for piece in pieces)
"""


def test_an_op_over_everything_sees_what_it_declares(flow, small_files):
    found = {}
    for field in ("x", "nJet"):
        (flow.folder / f"whole_{field}.py").write_text(WHOLE.replace("{field}", field))
        flow.write([flow.stage("W", "my.whole")], [small_files / "b.root"], use={"modules": [f"whole_{field}.py"]})
        found[field] = flow.run(mode="force")
    assert found["x"].products["W", "p"] == 4780
    (failure,) = found["nJet"].summary["failures"]
    assert "op `my.whole` reads `nJet`, which it does not declare" in failure["message"]
