"""Facts of datasets in parameters: ``{dataset.key}``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.ops.dataset_parameters import depends_on_dataset, facts_in, for_dataset

FACTS = {"name": "dy", "xsec": 2.5, "era": "2016", "n": 3, "yes": True, "edges": [0, 1], "none": None}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{dataset.xsec}", 2.5),
        ("{dataset.edges}", [0, 1]),
        ("{dataset.none}", None),
        ("sf_{dataset.era}.json", "sf_2016.json"),
        ("x * {dataset.n} + {dataset.xsec}", "x * 3 + 2.5"),
        ("{dataset.yes}!", "true!"),
        ({"a": ["{dataset.n}", 1], "b": {"c": "{dataset.name}"}}, {"a": [3, 1], "b": {"c": "dy"}}),
        ({"dataset.n": None}, 3),  # without quotes, YAML reads a mapping
        ("{dataset}-{partition}", "{dataset}-{partition}"),
        ("dataset.xsec {x} { dataset.n }", "dataset.xsec {x} { dataset.n }"),
        (5, 5),
    ],
)
def test_facts_become_values(written, found):
    assert for_dataset(written, FACTS) == found
    assert depends_on_dataset(written) == (for_dataset(written, FACTS) != written)


def test_facts_are_found_with_their_places():
    written = {"a": ["x", "{dataset.x}/{dataset.y}"], "b": {"dataset.z": None}}
    assert list(facts_in(written)) == [(("a", 1), "x"), (("a", 1), "y"), (("b",), "z")]


@pytest.mark.parametrize(("text", "error"), [("{dataset.foo}", KeyError), ("a {dataset.edges}", TypeError)])
def test_what_cannot_be_replaced(text, error):
    with pytest.raises(error):
        for_dataset(text, FACTS)


# --- in workflows ---------------------------------------------------------------------------------------

EXPR = "analysis.stages[0].params.variables[0].expr"


@pytest.fixture
def write(flow):
    for name, size in (("a", 10), ("b", 6)):
        with uproot.recreate(flow.folder / f"{name}.root") as file:
            file.mktree("Events", {"x": "f8"})
            file["Events"].extend({"x": np.arange(float(size))})

    def write(*stages, **more):
        own = {"a": {"factor": 2, "edges": [0, 5, 10], "era": 2016}, "b": {"factor": 0.5, "edges": [0, 5, 10]}}
        datasets = [
            {
                "name": name,
                "files": [f"{name}.root"],
                "meta": {k: v for k, v in {**facts, **more.get(name, {})}.items() if k != "era"},
            }
            | ({"era": facts["era"]} if "era" in facts else {})
            for name, facts in own.items()
        ]
        return flow.write(list(stages), data={"datasets": datasets})

    return write


def define(expr, **more):
    return {"id": "D", "op": "hep.define", "params": {"variables": [{"name": "y", "expr": expr}]}, **more}


def hist(source="y", bins=(0, 5, 10, 20), **more):
    axes = [{"name": "x", "source": source, "bins": list(bins) if isinstance(bins, tuple) else bins}]
    return {"id": "H", "op": "hep.hist", "params": {"axes": axes, "dataset_axis": True}, **more}


def values(flow):
    content = json.loads((flow.folder / "run" / "results" / "H" / "hist.json").read_text())
    rows = len(content["axes"][0]["edges"]) + 1
    return np.reshape(content["storage"]["values"], (rows, -1))[:, : len(content["axes"][1]["categories"])].tolist()


def complaints(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    return [(item.code, item.key, item.message, str(item.hint)) for item in caught.value.problems]


@pytest.mark.parametrize("chunk", [1, None])
def test_each_dataset_has_its_own_parameters(write, flow, chunk):
    write(define("x * {dataset.factor}"), hist(bins="{dataset.edges}"))
    assert flow.run(chunk_size=chunk).exit_code == 0
    a, b = np.arange(10) * 2, np.arange(6) * 0.5
    expected = [np.histogram(v, [-1e9, 0, 5, 10, 1e9])[0].tolist() for v in (a, b)]
    assert values(flow) == np.transpose(expected).tolist()


def test_mistakes_name_their_datasets(write, flow):
    write(define("x * {dataset.factor}"), hist(bins="{dataset.edges}"), b={"edges": [5, 1], "factor": ")"})
    found = {key: message for _, key, message, _ in complaints(flow)}
    assert any("(dataset `b`)" in message for message in found.values()), found
    assert not any("dataset `a`" in message for message in found.values()), found


def test_facts_that_are_missing(write, flow):
    write(define("x * {dataset.factr}"), hist(source="x", bins="{dataset.era}"))
    (code, key, message, hint), (_, other, told, advice) = complaints(flow)
    assert (code, key, message) == ("E152", EXPR, "no `factr` in datasets `a` and `b`")
    assert "factor" in hint
    assert (other, told) == ("analysis.stages[1].params.axes[0].bins", "no `era` in dataset `b`")
    assert "`era: …`" in advice


def test_only_datasets_to_which_the_stage_applies_need_facts(write, flow):
    condition = {"applies_to": {"datasets": ["a"]}}
    plan = write(define("x * {dataset.only}", **condition), hist(**condition), a={"only": 3}).compile()
    assert plan.stages[0].params["variables"][0]["expr"] == "x * {dataset.only}"


def test_a_list_within_a_text_is_refused(write, flow):
    write(define("x * {dataset.edges}"), hist())
    assert (found := complaints(flow))[0][:3] == (
        "E106", EXPR, "`edges` of datasets `a` and `b` is neither a text nor a number",
    ), found  # fmt: skip


def test_names_of_written_files_have_their_own_placeholders(write, flow):
    stage = {"id": "W", "op": "hep.write", "params": {"path": "out/{dataset.name}", "format": "root", "fields": ["x"]}}
    ((code, key, message, hint),) = complaints(write(stage))
    assert (code, key) == ("E106", "analysis.stages[0].params.path")
    assert "`{dataset.name}` cannot be used in `path`" in message
    assert "{dataset}" in hint


USERS = """
from pathlib import Path
from fasthep_parsl import InputFile, op

@op("custom.scaled", reads=["x"], writes=["y"])
def scaled(events, *, file: InputFile):
    return {"y": events.x * float(Path(file).read_text())}

@op("custom.all", reads=["x"], product="n", scope="workflow")
def everything(events, *, label: str):
    return label
"""


def test_each_dataset_has_its_own_files(write, flow):
    (flow.folder / "own_ops.py").write_text(USERS)
    (flow.folder / "sf_2.txt").write_text("2")
    (flow.folder / "sf_0.5.txt").write_text("0.5")
    write({"id": "D", "op": "custom.scaled", "params": {"file": "sf_{dataset.factor}.txt"}}, hist())
    content = json.loads(flow.path.read_text())
    content["use"] = {"modules": ["own_ops.py"]}
    flow.path.write_text(json.dumps(content))
    plan = flow.compile()
    assert {(file.name, file.uses[0].text) for file in plan.parameter_files} == {
        ("sf_2.txt", "sf_2.txt"), ("sf_0.5.txt", "sf_0.5.txt"),
    }  # fmt: skip
    assert flow.run().exit_code == 0
    expected = [np.histogram(v, [-1e9, 0, 5, 10, 20, 1e9])[0].tolist() for v in (np.arange(10) * 2, np.arange(6) * 0.5)]
    assert values(flow) == np.transpose(expected).tolist()
    (flow.folder / "sf_0.5.txt").unlink()
    ((code, key, message, _),) = complaints(flow)
    assert (code, key) == ("E113", "analysis.stages[0].params.file")
    assert message == "`file`: no such file: `sf_0.5.txt` (dataset `b`)"


def test_a_stage_that_sees_all_datasets_has_no_facts_of_one(write, flow):
    (flow.folder / "own_ops.py").write_text(USERS)
    write({"id": "A", "op": "custom.all", "params": {"label": "{dataset.factor}"}})
    content = json.loads(flow.path.read_text())
    content["use"] = {"modules": ["own_ops.py"]}
    flow.path.write_text(json.dumps(content))
    ((code, key, message, _),) = complaints(flow)
    assert (code, key) == ("E106", "analysis.stages[0].params.label")
    assert "sees the events of all datasets at once" in message


@pytest.mark.parametrize(
    ("axis", "key"),
    [
        ({"bins": "{dataset.edges}"}, "axes[0].bins"),
        ({"bins": {"nbins": "{dataset.n}", "low": 0, "high": 1}}, "axes[0].bins.nbins"),
        ({"name": "{dataset.name}", "source": "x", "bins": [0, 1]}, "axes[0].name"),
    ],
)
def test_bins_that_differ_between_datasets_are_refused(write, flow, axis, key):
    facts = {"a": {"edges": [0, 1], "n": 2}, "b": {"edges": [0, 2], "n": 3}}
    stage = {"id": "H", "op": "hep.hist", "params": {"axes": [{"name": "x", **axis}]}}
    write(stage)
    content = json.loads(flow.path.read_text())
    for dataset in content["data"]["datasets"]:
        dataset.setdefault("meta", {}).update(facts[dataset["name"]])
    flow.path.write_text(json.dumps(content))
    ((code, place, message, hint),) = complaints(flow)
    assert (code, place) == ("E106", f"analysis.stages[0].params.{key}")
    assert message == "`axes` of histogram `H` differs between the datasets `a` and `b`"
    assert "applies_to" in hint
    for dataset in content["data"]["datasets"]:
        dataset["meta"].update(facts["a"])
    flow.path.write_text(json.dumps(content))
    if "name" not in axis:
        flow.compile()
