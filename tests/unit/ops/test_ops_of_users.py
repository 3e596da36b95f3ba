"""Ops from analysis modules: their expressions are checked like those of built-in ops, and a model is passed as it is."""

from __future__ import annotations

import pytest

import fasthep_parsl.ops
from fasthep_parsl.errors import ConfigError

EXPRESSIONS = """\
from fasthep_parsl.ops import Effects, analyse_expression, analyse_selection, expression, op, selection_mask

def analyse(params, schema):
    found = analyse_expression(params.expr, ("expr",), schema)
    reads, _, problems = analyse_selection(params.selection, schema)
    return Effects({**reads, **found.reads}, {params.output: found.shape}, (*found.problems, *problems))

@op("my.where", analyse=analyse)
def where(events, *, expr: str, selection: list[str], output: str, context=None):
    values = expression(expr)(events, context)
    return {output: values * selection_mask(selection, events, context)}
"""
MODEL = """\
from typing import Any
from pydantic import BaseModel, ConfigDict
from fasthep_parsl.ops import op

class Scale(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    factors: list[int]
    total: Any

@op("my.scale", params=Scale, reads=["x"], writes=["y"])
def scale(events, *, params: Scale):
    product = 1
    while params.factors:
        product *= params.factors.pop()
    assert isinstance(params, Scale)
    return {"y": events.x * product + params.total}
"""


@pytest.fixture
def stages(flow, small_files):
    def write(name, code, *stages):
        (flow.folder / f"{name}.py").write_text(code)
        return flow.write(list(stages), [small_files / "a.root"], use={"modules": ["probe_ops.py", f"{name}.py"]})

    return write


def test_an_op_that_takes_expressions(stages, flow):
    params = {"expr": "2 * sum(Jet_pt)", "selection": ["x < 10", "nJet > 0"], "output": "twice"}
    first = flow.stage("Where", "my.where", [], **params)
    plan = stages("where_ops", EXPRESSIONS, first, flow.stage("Sum", "probe.sum", field="twice")).compile()
    assert set(plan.stages[0].reads) == {"x", "nJet", "Jet_pt"}
    outcome = flow.run(plan)
    assert outcome.status == "complete", outcome.summary["failures"]
    # jets of event x have pt 0.5, 1.5 … in order; the first ten events have 9 of them
    assert outcome.products["Sum", "sum"] == 2 * sum(n + 0.5 for n in range(9))


def test_its_mistakes_are_found_before_the_run(stages, flow):
    params = {"expr": "Jet_ptt", "selection": ["x <", "Jet_pt > 1"], "output": "y"}
    with pytest.raises(ConfigError) as error:
        stages("wrong_ops", EXPRESSIONS, flow.stage("Where", "my.where", [], **params)).compile()
    found = {problem.key for problem in error.value.problems}
    assert found == {f"analysis.stages[0].params.{key}" for key in ("expr", "selection[0]", "selection[1]")}


def test_an_op_with_a_model_receives_it(stages, flow):
    total = flow.stage("Total", "probe.sum", [])
    scale = flow.stage("Scale", "my.scale", [], bind=("Total", "sum", "total"), factors=[2, 5])
    check = flow.stage("Check", "probe.sum", ["Scale"], field="y")
    plan = stages("scale_ops", MODEL, total, scale, check).compile(chunk_size=25)
    # each call has its own copy of the parameters, and the product of the other stage
    sum_of_x = sum(range(100))
    assert flow.run(plan).products["Check", "sum"] == 10 * sum_of_x + 100 * sum_of_x


CONTEXT = """\
from fasthep_parsl.ops import op

def facts(context):
    told = (context.stage, context.dataset.name, context.dataset.meta.get("xsec"), [d.name for d in context.datasets])
    return {context.partition: (*told, context.outdir.is_dir(), context.outdir.name)}

@op("my.each", product="facts", merge=lambda a, b: {**a, **b}, per_partition=True)
def each(events, *, context):
    return facts(context)

@op("my.dataset", scope="dataset", product="facts", reads=["x"])
def dataset(chunks, *, context):
    return {"events": sum(len(chunk) for chunk in chunks), **facts(context)}

@op("my.once", scope="workflow", product="facts")
def once(*, context):
    return facts(context)
"""


@pytest.mark.slow
def test_what_an_op_learns_from_its_context(flow, small_files):
    (flow.folder / "context_ops.py").write_text(CONTEXT)
    stages = [flow.stage("Each", "my.each", []), flow.stage("Set", "my.dataset", []), flow.stage("Once", "my.once", [])]
    flow.write(
        stages,
        use={"modules": ["probe_ops.py", "context_ops.py"]},
        data={"datasets": [{"name": "a", "files": [str(small_files / "a.root")], "meta": {"xsec": 2.5}},
                           {"name": "b", "files": [str(small_files / "b.root")]}]},
    )  # fmt: skip
    outcome = flow.run(chunk_size=50)
    assert outcome.status == "complete", outcome.summary["failures"]
    names = ["a", "b"]
    each = outcome.products["Each", "facts"]
    assert sorted(each) == ["a-000000", "a-000001", "b-000002"]
    assert each["a-000001"] == ("Each", "a", 2.5, names, True, "Each")
    assert each["b-000002"] == ("Each", "b", None, names, True, "Each")
    sets = outcome.products["Set", "facts"]
    assert [(name, sets[name].pop("events")) for name in names] == [("a", 100), ("b", 40)]
    assert [list(found.values()) for found in sets.values()] == [
        [("Set", "a", 2.5, names, True, "Set")],
        [("Set", "b", None, names, True, "Set")],
    ]
    assert list(outcome.products["Once", "facts"].values()) == [("Once", "", None, names, True, "Once")]


def test_what_is_public_can_be_imported():
    for name in fasthep_parsl.ops.__all__:
        assert getattr(fasthep_parsl.ops, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'analyze_expression'"):
        fasthep_parsl.ops.analyze_expression  # noqa: B018
