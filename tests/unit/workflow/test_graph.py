from dataclasses import dataclass

import pytest

from fasthep_parsl.workflow.graph import order_stages
from fasthep_parsl.workflow.stage_model import Stage


@dataclass
class Op:
    stream: bool
    product: str | None


OPS = {"stream": Op(True, None), "hist": Op(False, "hist"), "both": Op(True, "cutflow")}


def order(*stages):
    made = [Stage.model_validate({"op": "stream", **stage}) for stage in stages]
    return order_stages(made, {stage.id: OPS[stage.op] for stage in made if stage.op in OPS})


def shape(result):
    assert not result.problems, result.problems
    return {item.stage.id: (item.needs, item.input) for item in result.stages}


def codes(result):
    assert not result.stages
    return [(p.code, p.key) for p in result.problems]


def test_a_stage_follows_the_last_one_with_a_stream():
    result = order({"id": "A"}, {"id": "H", "op": "hist"}, {"id": "B", "op": "both"}, {"id": "G", "op": "hist"})
    assert shape(result) == {"A": ((), ""), "H": (("A",), "A"), "B": (("A",), "A"), "G": (("B",), "B")}


def test_no_needs_means_the_stream_of_the_source():
    result = order({"id": "A"}, {"id": "B", "needs": []}, {"id": "H", "op": "hist"})
    assert shape(result) == {"A": ((), ""), "B": ((), ""), "H": (("B",), "B")}


def test_a_stage_that_needs_a_product_takes_the_stream_it_was_made_from():
    result = order({"id": "A"}, {"id": "H", "op": "hist"}, {"id": "B"}, {"id": "T", "needs": ["H"]})
    assert shape(result)["T"] == (("H",), "A")


def test_the_most_downstream_of_several_streams_is_read():
    result = order(
        {"id": "A"}, {"id": "B"}, {"id": "H", "op": "hist", "needs": ["A"]}, {"id": "C", "needs": ["A", "H", "B"]}
    )
    assert shape(result)["C"] == (("A", "H", "B"), "B")


def test_two_selections_cannot_be_read_at_once():
    result = order(
        {"id": "A"}, {"id": "B", "needs": ["A"]}, {"id": "C", "needs": ["A"]}, {"id": "D", "needs": ["B", "C"]}
    )
    assert codes(result) == [("E123", "analysis.stages[3].needs")]
    assert "`B` and `C`" in result.problems[0].message


def test_a_bound_product_orders_but_does_not_choose_the_stream():
    bind = [{"node": "H", "port": "hist", "as": "x"}]
    result = order(
        {"id": "A"},
        {"id": "B", "needs": []},
        {"id": "H", "op": "hist", "needs": ["A"]},
        {"id": "C", "needs": ["B"], "from": bind},
    )
    assert shape(result)["C"] == (("B", "H"), "B")
    result = order({"id": "A"}, {"id": "H", "op": "hist"}, {"id": "B"}, {"id": "C", "from": bind})
    assert shape(result)["C"] == (("H", "B"), "B")
    result = order({"id": "A"}, {"id": "H", "op": "hist"}, {"id": "B"}, {"id": "C", "needs": [], "from": bind})
    assert shape(result)["C"] == (("H",), "A")


def test_stages_may_stand_in_any_order():
    result = order(
        {"id": "C", "needs": ["B"]}, {"id": "B", "needs": ["A"]}, {"id": "A", "needs": []}, {"id": "D", "needs": []}
    )
    assert list(shape(result)) == ["A", "B", "C", "D"] or list(shape(result)).index("A") < 2
    positions = {item.stage.id: n for n, item in enumerate(result.stages)}
    assert positions["A"] < positions["B"] < positions["C"]
    assert [item.index for item in result.stages if item.stage.id == "A"] == [2]


def test_every_mistake_is_found():
    result = order(
        {"id": "A"},
        {"id": "A"},
        {"id": "Select", "needs": ["Select"]},
        {"id": "T", "needs": ["Selekt", "Zzz"]},
        {
            "id": "U",
            "op": "hist",
            "from": [{"node": "V", "port": "hist", "as": "x"}, {"node": "A", "port": "hist", "as": "y"}],
        },
        {"id": "V", "op": "both", "from": [{"node": "U", "port": "hst", "as": "x"}]},
    )
    assert codes(result) == [
        ("E120", "analysis.stages[1].id"),
        ("E122", "analysis.stages[2].needs[0]"),
        ("E121", "analysis.stages[3].needs[0]"),
        ("E121", "analysis.stages[3].needs[1]"),
        ("E124", "analysis.stages[4].from[0].port"),
        ("E124", "analysis.stages[4].from[1].port"),
        ("E124", "analysis.stages[5].from[0].port"),
        ("E122", "analysis.stages[4].from"),
    ]
    hints = [str(p.hint) for p in result.problems]
    assert hints[2] == "did you mean `Select`?"
    assert hints[6] == "did you mean `hist`?"


@pytest.mark.parametrize("size", [2, 3, 50])
def test_a_circle_is_shown_once(size):
    names = [f"S{n}" for n in range(size)]
    result = order(*({"id": name, "needs": [names[(n + 1) % size]]} for n, name in enumerate(names)))
    assert codes(result) == [("E122", "analysis.stages[0].needs")]
    assert " → ".join([*names, names[0]]) in result.problems[0].message


def test_a_long_chain_is_no_problem():
    assert len(order(*({"id": f"S{n}"} for n in range(2000))).stages) == 2000


def test_an_unknown_op_is_not_reported_here():
    bind = [{"node": "X", "port": "anything", "as": "x"}]
    assert shape(order({"id": "X", "op": "unknown"}, {"id": "Y", "from": bind}))["Y"] == (("X",), "X")
