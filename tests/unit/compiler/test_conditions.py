"""Stages and fields that apply to some datasets: what is planned, and what is refused."""

from __future__ import annotations

import io
import json

import awkward as ak
import hist as hist_of
import numpy as np
import pytest
import uhi.io.json
import uproot
from rich.console import Console

from fasthep_parsl.cli.plan import _tables
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.input_model import FieldSpec
from fasthep_parsl.workflow.stage_model import Stage

STAGES = "analysis.stages"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """``mc.root`` has ``w`` and ``met``, ``data.root`` has ``run`` and ``puppi``; both have ``x``, and ``z`` in two kinds."""
    folder = tmp_path_factory.mktemp("conditions")
    x = np.arange(10.0)
    with uproot.recreate(folder / "mc.root") as file:
        file.mktree("Events", {"x": "f8", "w": "f4", "met": "f4", "z": "f8", "k": "i8"})
        file["Events"].extend(
            {"x": x, "w": (x + 1).astype("f4"), "met": x.astype("f4") + 1, "z": x, "k": x.astype("i8")}
        )
    with uproot.recreate(folder / "data.root") as file:
        file.mktree("Events", {"x": "f8", "run": "i4", "puppi": "f4", "z": "var * float64", "k": "i8"})
        z = ak.Array([[v] for v in x[:6]])
        columns = {
            "x": x[:6],
            "run": x[:6].astype("i4"),
            "puppi": x[:6].astype("f4") + 2,
            "z": z,
            "k": x[:6].astype("i8"),
        }
        file["Events"].extend(columns)
    return folder


def hist(name, source, applies=None, **more):
    axes = [{"name": "x", "source": source, "bins": [0, 5, 10, 20]}]
    stage = {"id": name, "op": "hep.hist", "params": {"axes": axes, "dataset_axis": True, **more}}
    return {**stage, **({"applies_to": applies} if applies is not None else {})}


def define(name, output, expr, applies=None):
    stage = {"id": name, "op": "hep.define", "params": {"variables": [{"name": output, "expr": expr}]}}
    return {**stage, **({"applies_to": applies} if applies is not None else {})}


def write(flow, files, stages, datasets=None, **sections):
    """Write a workflow with the dataset ``mc`` of era 2016 and the dataset ``data`` of era 2018."""
    own = [
        {"name": "mc", "files": [str(files / "mc.root")], "eventtype": "mc", "era": 2016, "xsec": 2.5, "nbins": 4},
        {"name": "data", "files": [str(files / "data.root")], "eventtype": "data", "era": "2018", "nbins": 4},
    ]
    return flow.write(stages, data={"datasets": datasets or own}, **sections)


def complaints(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    assert all(item.where is not None for item in caught.value.problems)
    return [(item.code, item.key, item.message, str(item.hint)) for item in caught.value.problems]


def counts(flow, stage):
    """Return dataset → entries of the histogram of a stage, with underflow and overflow."""
    content = json.loads((flow.folder / "run" / "results" / stage / "hist.json").read_text())
    axis = content["axes"][1]
    values = np.reshape(content["storage"]["values"], (5, -1))
    return {name: values[:, number].tolist() for number, name in enumerate(axis["categories"])}


MC = {"eventtype": "mc"}


@pytest.mark.parametrize(
    "condition",
    ["mc", {"eventtype": "mc"}, {"datasets": "mc"}, {"datasets": ["m*"]}, {"eras": 2016}, {"eras": ["2016", 2016]},
     {"eventtype": "mc", "eras": [2016]}],
)  # fmt: skip
def test_branches_of_some_datasets_are_read_by_stages_that_apply_to_them(flow, files, condition):
    plan = write(flow, files, [hist("X", "x"), hist("W", "w", condition)]).compile()
    assert {stage.id: stage.datasets for stage in plan.stages} == {"X": None, "W": ("mc",)}
    assert plan.segments[0].columns == ("w", "x")
    assert plan.segments[0].unread == {"data": ("w",)}
    assert [dataset.era for dataset in plan.datasets] == ["2016", "2018"]


def test_a_variation_applies_to_an_event_type_as_text(flow, files):
    up = {"name": "up", "applies_to": "mc", "weight": {"multiply": ["1.05"]}}
    plan = write(flow, files, [hist("X", "x")], systematics={"variations": [up]}).compile()
    assert [(item.name, item.datasets) for item in plan.variations] == [("up", ("mc",))]


@pytest.mark.parametrize("condition", [{}, None, {"eventtype": None}, {"eras": [2016, 2018]}, {"datasets": "*"}])
def test_a_condition_that_all_datasets_fulfil_is_none(flow, files, condition):
    plan = write(flow, files, [{**hist("X", "x"), "applies_to": condition}]).compile()
    assert plan.stages[0].datasets is None
    assert plan.segments[0].unread == {}


def test_a_branch_that_a_dataset_lacks_is_refused_with_the_datasets_and_a_condition(flow, files):
    ((code, key, message, hint),) = complaints(write(flow, files, [hist("W", "w")]))
    assert (code, key) == ("E136", f"{STAGES}[0].params.axes[0].source")
    assert message == "branch `w` is missing in data.root; mc.root has it. It is missing in dataset `data`"
    assert hint == "write `applies_to: {eventtype: mc}` at this stage, or give it a `default` in `fields`"


def test_the_same_if_another_stage_has_a_condition(flow, files):
    ((code, key, message, hint),) = complaints(write(flow, files, [hist("W", "w"), hist("V", "w", MC)]))
    assert (code, key) == ("E150", f"{STAGES}[0].params.axes[0].source")
    assert message == "field `w` is missing for dataset `data`"
    assert hint == "write `applies_to: {eventtype: mc}` at this stage, or give it a `default` in `fields`"


def test_a_field_of_a_skipped_stage_is_missing_where_it_is_skipped(flow, files):
    stages = [define("D", "y", "w * 2", MC), hist("Y", "y"), hist("Good", "y", MC)]
    ((code, key, message, hint),) = complaints(write(flow, files, stages))
    assert (code, key) == ("E150", f"{STAGES}[1].params.axes[0].source")
    assert message == "field `y` is missing for dataset `data`: stage `D`, which writes it, does not apply there"
    assert hint == "write `applies_to: {eventtype: mc}` at this stage, or write it there, too"


def test_a_stage_per_eventtype_may_write_one_field(flow, files):
    stages = [define("M", "y", "w * 2", MC), define("D", "y", "x", {"eventtype": "data"}), hist("Y", "y")]
    plan = write(flow, files, stages).compile()
    assert plan.segments[0].unread == {"mc": ("x",), "data": ("w",)}


def test_a_field_that_files_have_where_its_stage_is_skipped_is_read_there(flow, files):
    stages = [hist("X", "x"), define("D", "run", "w * 2", MC), hist("Run", "run")]
    plan = write(flow, files, stages).compile()
    assert plan.segments[0].columns == ("run", "w", "x")
    assert plan.segments[0].unread == {"mc": ("run",), "data": ("w",)}


def test_misspelt_fields_are_told_once(flow, files):
    found = complaints(write(flow, files, [hist("X", "xx"), hist("W", "ww", MC)]))
    assert [message for _, _, message, _ in found] == ["unknown field `xx`", "unknown field `ww`"]


def test_a_list_here_and_a_number_there_is_refused_if_one_stage_reads_both(flow, files):
    stages = [hist("Z", "z"), hist("M", "z", MC), hist("D", "z", {"datasets": ["data"]})]
    found = complaints(write(flow, files, stages))
    assert [key for _, key, _, _ in found] == [f"{STAGES}[0].params"]
    assert found[0][2] == "field `z` is one value per event for dataset `mc`, but a list per event for dataset `data`"
    assert write(flow, files, stages[1:]).compile()


@pytest.mark.parametrize(
    ("condition", "place", "message", "hint"),
    [
        ({"datasets": ["mcc"]}, ".datasets[0]", "no dataset `mcc`", "mc"),
        ({"datasets": "z*"}, ".datasets", "no dataset `z*`", "datasets: data, mc"),
        ({"eras": [2017]}, ".eras[0]", "no dataset has the era `2017`", "2016"),
        ({"eventtype": "simulation"}, ".eventtype", "is not allowed", "mc"),
        ({"era": 2016}, ".era", "unknown key `era`", "eras"),
        ("mcc", "", "`data` or `mc`, got text `mcc`", "datasets: [mcc]"),
    ],
)
def test_wrong_conditions_of_stages_and_fields(flow, files, condition, place, message, hint):
    write(flow, files, [{**hist("X", "x"), "applies_to": condition}])
    ((_, key, told, advice),) = complaints(flow)
    assert key == f"{STAGES}[0].applies_to{place}"
    assert message in told
    assert hint in advice
    write(flow, files, [hist("X", "x")], fields={"y": {"branch": "x", "applies_to": condition}})
    ((_, key, told, _),) = complaints(flow)
    assert key == f"fields.y.applies_to{place}"
    assert message in told


def test_a_stage_that_applies_to_no_dataset_is_left_out_with_a_warning(flow, files):
    none = {"eventtype": "data", "eras": [2016]}
    stages = [define("N", "y", "w", none), hist("X", "x"), hist("Y", "y", none)]
    plan = write(flow, files, stages).compile()
    assert [(stage.id, stage.input, stage.needs) for stage in plan.stages] == [("X", "", ())]
    assert [text for text in plan.warnings if "applies to no dataset" in text] == [
        "stage `N` applies to no dataset, and is left out",
        "stage `Y` applies to no dataset, and is left out",
    ]
    ((code, key, message, _),) = complaints(write(flow, files, stages[2:]))
    assert (code, key, message) == ("E106", f"{STAGES}[0].applies_to", "no stage applies to any dataset")


# --- fields with conditions -----------------------------------------------------------------------------

MET = {2016: "met", "2018": "puppi"}


@pytest.mark.parametrize("branch", [MET, {"mc": "met", "data": "puppi"}, {"data": "puppi", 2018: "run", 2016: "met"}])
def test_a_branch_for_each_era_or_dataset(flow, files, branch):
    result = write(flow, files, [hist("Met", "met")], fields={"met": {"branch": branch}})
    plan = flow.compile()
    assert [dataset.aliases for dataset in plan.datasets] == [{}, {"met": "puppi"}]
    result = flow.run(chunk_size=3)
    assert result.exit_code == 0
    data, mc = (np.histogram(v, [0, 5, 10, 20])[0] for v in (np.arange(6) + 2, np.arange(10) + 1))
    assert counts(flow, "Met") == {"data": [0, *data, 0], "mc": [0, *mc, 0]}


def test_an_era_without_a_branch_is_refused_where_the_field_is_read(flow, files):
    fields = {"m": {"branch": {2016: "met"}}}
    assert write(flow, files, [hist("X", "x"), hist("M", "m", MC)], fields=fields).compile()
    ((code, key, message, hint),) = complaints(write(flow, files, [hist("M", "m")], fields=fields))
    assert (code, key) == ("E136", f"{STAGES}[0].params.axes[0].source")
    assert message == "field `m` has no branch for dataset `data` (era `2018`)"
    assert hint == "add `2018: …` to `fields.m.branch`"


def test_branches_are_looked_for_in_the_files_of_their_datasets(flow, files):
    write(flow, files, [hist("M", "m")], fields={"m": {"branch": {2016: "met", 2018: "pupi"}, "default": 0}})
    ((code, key, message, hint),) = complaints(flow)
    assert (code, key) == ("E136", "fields.m.branch.2018")
    assert message == "no branch `pupi` in the input files of dataset `data`"
    assert "puppi" in hint


def test_keys_that_are_neither_eras_nor_datasets(flow, files):
    fields = {"m": {"branch": {2016: "met", "2017": "met", "dat": "puppi", 2018: "puppi"}}}
    found = complaints(write(flow, files, [hist("M", "m")], fields=fields))
    assert [key for _, key, _, _ in found] == ["fields.m.branch.2017", "fields.m.branch.dat"]
    assert "`2017` is neither the era of a dataset nor the name of one" in found[0][2]
    assert "data" in found[1][3]


def test_the_default_of_a_field_that_does_not_apply_is_not_read(flow, files):
    fields = {"gen": {"branch": "k", "applies_to": MC, "default": 100}}
    plan = write(flow, files, [hist("G", "gen")], fields=fields).compile()
    assert plan.datasets[1].aliases == {"gen": ""}
    assert flow.run().exit_code == 0
    assert counts(flow, "G") == {"data": [0, 0, 0, 0, 6], "mc": [0, 5, 5, 0, 0]}


def test_where_a_field_applies_its_branch_must_exist(flow, files):
    fields = {"gen": {"branch": "w", "applies_to": {"eras": [2016, 2018]}, "default": 1}}
    ((code, _, message, hint),) = complaints(write(flow, files, [hist("G", "gen")], fields=fields))
    assert code == "E136"
    assert "branch `w` is missing in data.root" in message
    assert "only for datasets to which the field does not apply" in hint


def test_a_field_that_does_not_apply_is_no_field(flow, files):
    fields = {"gen": {"branch": "k", "applies_to": MC}}
    assert write(flow, files, [hist("G", "gen", MC)], fields=fields).compile()
    ((code, _, message, hint),) = complaints(write(flow, files, [hist("G", "gen")], fields=fields))
    assert (code, message) == ("E136", "field `gen` does not apply to dataset `data`")
    assert "the same `applies_to`" in hint


def test_fields_in_other_places_of_two_kinds_are_refused(flow, files):
    fields = {"m": {"branch": {2016: "x", 2018: "z"}}}
    ((code, key, message, _),) = complaints(write(flow, files, [hist("M", "m")], fields=fields))
    assert (code, key) == ("E136", "fields.m.branch")
    assert "is one number per event, but a list of numbers per event in data.root" in message


# --- eras and facts -------------------------------------------------------------------------------------


def test_an_era_of_the_defaults(flow, files):
    datasets = [
        {"name": "a", "files": [str(files / "mc.root")]},
        {"name": "b", "files": [str(files / "data.root")], "era": "B"},
    ]
    write(flow, files, [hist("X", "x + where(dataset.era == '2016', 100, 0)", {"eras": 2016})])
    content = json.loads(flow.path.read_text())
    content["data"] = {"defaults": {"era": 2016}, "datasets": datasets}
    flow.path.write_text(json.dumps(content))
    plan = flow.compile()
    assert [dataset.era for dataset in plan.datasets] == ["2016", "B"]
    assert plan.stages[0].datasets == ("a",)


def test_two_eras_are_refused(flow, files):
    datasets = [{"name": "a", "files": [str(files / "mc.root")], "era": 2016, "meta": {"era": 2017}}]
    ((code, key, message, _),) = complaints(write(flow, files, [hist("X", "x")], datasets))
    assert (code, key) == ("E106", "data.datasets[0].era")
    assert message == "dataset `a` has the era `2016`, and `2017` in `meta`"


def test_facts_are_needed_only_where_the_stage_applies(flow, files):
    assert write(flow, files, [hist("X", "x * dataset.xsec", MC)]).compile()
    ((code, _, message, _),) = complaints(write(flow, files, [hist("X", "x * dataset.xsec")]))
    assert code == "E152"
    assert "dataset `data`" in message


def test_an_era_is_text(flow, files):
    ((code, key, message, hint),) = complaints(write(flow, files, [hist("X", "where(dataset.era == 2016, x, 0)")]))
    assert (code, key) == ("E106", f"{STAGES}[0].params.axes[0].source")
    assert message == "an era is text, and is never equal to the number 2016"
    assert hint == 'write `dataset.era == "2016"`'


# --- what is not read, and inputs of others -------------------------------------------------------------


def test_what_does_not_apply_is_not_read(flow, files, monkeypatch):
    """Also if the file has it: `k` is in both files."""
    from fasthep_parsl.worker import reading

    seen = {}
    read = reading.read_fields

    def spy(opened, source, columns, start, stop):
        seen.setdefault(opened.path.rsplit("/", 1)[-1], set()).update(columns)
        return read(opened, source, columns, start, stop)

    monkeypatch.setattr(reading, "read_fields", spy)
    write(flow, files, [hist("X", "x"), hist("K", "k + w", MC), hist("R", "run", {"eras": 2018})])
    assert flow.run(chunk_size=4).exit_code == 0
    assert seen == {"mc.root": {"x", "k", "w"}, "data.root": {"x", "run"}}
    assert counts(flow, "K")["data"] == [0] * 5
    assert counts(flow, "K")["mc"] == [0, 2, 3, 5, 0]


def test_several_pools_and_what_a_dataset_lacks(flow, files):
    other = {"execution": {"require": "other"}}
    stages = [define("D", "y", "w * 2", MC), {**hist("X", "x"), **other}, {**hist("Y", "y", MC), **other}]
    stages.insert(1, {"id": "S", "op": "hep.select", "params": {"selection": ["x >= 0"]}})
    write(flow, files, stages)
    for chunk in (1, None):
        assert flow.run(chunk_size=chunk, mode="force").exit_code == 0
        assert counts(flow, "X") == {"data": [0, 5, 1, 0, 0], "mc": [0, 5, 5, 0, 0]}
        assert counts(flow, "Y") == {"data": [0] * 5, "mc": [0, 2, 2, 5, 1]}


def test_the_case_of_the_upstream_spelling(flow, real_data):
    datasets = [
        {"name": "mc", "files": [str(real_data / "NanoAODv5_sample.root")], "eventtype": "mc"},
        {"name": "data", "files": [str(real_data / "nano_tt_v12.root")], "eventtype": "data"},
    ]
    axis = {"name": "x", "type": "regular", "bins": {"nbins": 10, "low": -5, "high": 5}}
    stages = [
        {"id": "Met", "op": "hep.hist", "params": {"axes": [{**axis, "source": "MET_pt"}]}},
        {"id": "Gen", "op": "hep.hist", "params": {"axes": [{**axis, "source": "genWeight"}]}, "applies_to": MC},
    ]
    flow.write(stages, data={"datasets": datasets}, version="1.0")
    assert flow.run().exit_code == 0
    gen, met = (
        sum(json.loads((flow.folder / "run" / "results" / name / "hist.json").read_text())["storage"]["values"])
        for name in ("Gen", "Met")
    )
    entries = [uproot.open(item["files"][0])["Events"].num_entries for item in datasets]
    assert (gen, met) == (entries[0], sum(entries))


def test_the_schema_of_workflows_allows_every_spelling():
    fastjsonschema = pytest.importorskip("fastjsonschema")
    stage = fastjsonschema.compile(Stage.model_json_schema(by_alias=True))
    for condition in (
        None,
        {},
        MC,
        {"datasets": "a"},
        {"datasets": ["a", 1]},
        {"eras": 2016},
        {"eras": ["2016", 2017]},
    ):
        stage({"op": "hep.hist", "applies_to": condition})
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        stage({"op": "hep.hist", "applies_to": {"eventtype": "simulation"}})
    field = fastjsonschema.compile(FieldSpec.model_json_schema(by_alias=True))
    for branch in ("x", {"2016": "a", "dy": "b"}):
        field({"branch": branch, "applies_to": MC, "default": 1})
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        field({"branch": ["a"]})


def test_branches_of_weights_that_do_not_vary_for_a_dataset_are_not_read(flow, files):
    varied = {"name": "k_up", "weight": {"multiply": ["k"]}, "applies_to": MC}
    shared = {"name": "x_up", "weight": {"multiply": ["x"]}}
    cut = {"id": "Cut", "op": "hep.select", "params": {"selection": ["x > 1"]}}
    stages = [cut, hist("X", "x", storage="double")]
    flow = write(flow, files, stages, systematics={"variations": [varied, shared]})
    plan = flow.compile()
    assert plan.segments[0].columns == ("k", "x")
    assert plan.segments[0].unread == {"data": ("k",)}
    assert flow.run().exit_code == 0
    text = (flow.folder / "run" / "results" / "X" / "hist.json").read_text()
    made = hist_of.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
    x = np.arange(2.0, 10)

    def total(dataset, variation):
        return made[{"dataset": dataset, "variation": variation}].sum(flow=True)

    assert [total("mc", name) for name in ("nominal", "k_up", "x_up")] == [8, x.sum(), x.sum()]
    assert [total("data", name) for name in ("nominal", "k_up", "x_up")] == [4, 4, x[:4].sum()]


def test_the_plan_shows_the_datasets_of_stages(flow, files):
    def rows(*stages):
        out = io.StringIO()
        _tables(write(flow, files, list(stages)).compile(), Console(file=out, width=160), [])
        lines = [line.split() for line in out.getvalue().splitlines()]
        start = next(number for number, line in enumerate(lines) if line[:2] == ["stage", "op"])
        return [(line[0], line[-1]) for line in lines[start : start + 1 + len(stages)]]

    assert rows(hist("X", "x"), hist("W", "w", MC)) == [("stage", "datasets"), ("X", "all"), ("W", "mc")]
    assert rows(hist("X", "x")) == [("stage", "after"), ("X", "source")]
