import json

import pytest

from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.loader import load_workflow
from fasthep_parsl.workflow.model import Workflow

FULL = """\
version: 1.0
use: {modules: my_ops.py}
data:
  defaults: {eventtype: mc, meta: {lumi: 1}}
  datasets:
    - {name: dy, files: [data/dy_*.root, "root://host//path/dy.root"], meta: {xsec: 6077.22}}
    - {name: 2018, files: x.root, xsec: 3, nevents: 1e3}
sources:
  events: {kind: root_tree, tree: Events}
fields: {trigger: {stream: events, branch: HLT_IsoMu24}, mu: Muon_pt}
analysis:
  stages:
    - {id: Good, op: hep.define, params: {variables: [{name: good, expr: "Muon_pt > 20"}]}}
    - op: hep.selection.cutflow
    - id: Train
      op: custom.train
      needs: Good
      from: [{node: cutflow2, port: cutflow, as: table}]
      execution: {require: gpu, fallback: default, timeout: 30m, modifiers: [gpu.preload, {name: a, params: {x: 1}}, {kind: b, y: 2}]}
execution:
  backend: parsl
  strategy: {kind: slurm, queue: long}
  pools: {gpu: {workers: 2, resources: {cpus: 4, memory: 64GB, gpus: 1}}, wide: {resources: big, workers: auto}}
  resources: {big: {cpus: 8, walltime: 8h}}
  environment: shared
"""


@pytest.fixture
def load(tmp_path):
    def write(text):
        path = tmp_path / "w.yaml"
        path.write_text(text)
        return load_workflow(path)

    return write


@pytest.fixture
def refused(load):
    def write(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return caught.value.problems

    return write


def test_everything_that_a_workflow_can_say(load):
    workflow = load(FULL).workflow
    assert workflow.version == "1.0"
    assert workflow.use.modules == ("my_ops.py",)
    dy, other = workflow.data.datasets
    assert dy.meta == {"xsec": 6077.22}
    assert (other.name, other.files, other.xsec, other.nevents) == ("2018", ("x.root",), 3, 1000)
    assert workflow.fields["mu"].branch == "Muon_pt"
    good, cutflow, train = workflow.analysis.stages
    assert (good.needs, cutflow.id, train.needs) == (None, "cutflow2", ("Good",))
    assert train.inputs[0].to == "table"
    assert train.execution.timeout == 1800
    assert [(m.kind, m.params) for m in train.execution.modifiers] == [
        ("gpu.preload", {}),
        ("a", {"x": 1}),
        ("b", {"y": 2}),
    ]
    execution = workflow.execution
    assert (execution.strategy.kind, execution.strategy.params) == ("slurm", {"queue": "long"})
    assert execution.pools["gpu"].resources.memory == 64 * 10**9
    assert (execution.pools["wide"].resources, execution.pools["wide"].workers) == ("big", None)
    assert set(execution.pools) == {"default", "gpu", "wide"}
    assert execution.environment.kind == "shared"


def test_model_paths_are_document_paths(load):
    loaded = load(FULL)
    for number, stage in enumerate(loaded.workflow.analysis.stages):
        assert loaded.document.data["analysis"]["stages"][number]["op"] == stage.op
    assert loaded.document.marks.key(("analysis", "stages", 0, "params", "variables", 0, "expr")).line == 13


def test_datasets_by_name_and_from_the_top_level(load):
    text = FULL.replace("fields:", "datasets: {tt: {files: [tt.root]}, st: [st.root]}\nfields:")
    assert [d.name for d in load(text).workflow.data.datasets] == ["tt", "st", "dy", "2018"]


def test_profiles_of_fasthep_flow_are_a_warning(load):
    (warning,) = load(FULL.replace("my_ops.py}", "my_ops.py, profiles: [hep]}")).warnings
    assert (warning.code, warning.where.line) == ("W107", 2)


def one(old, new):
    assert old in FULL
    return FULL.replace(old, new, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "message", "hint"),
    [
        (one("execution:\n", "exection:\n"), "E102", "unknown key `exection`", "did you mean `execution`?"),
        (one("analysis:", "analsis:"), "E102", "unknown key `analsis`", "did you mean `analysis`?"),
        (one("tree: Events", "treee: Events"), "E102", "unknown key `treee`", "did you mean `tree`?"),
        (one("op: hep.define", "opp: hep.define"), "E102", "unknown key `opp`", "did you mean `op`?"),
        (one("require: gpu", "requires: gpu"), "E102", "unknown key `requires`", "did you mean `require`?"),
        (one("nevents: 1e3", "nevent: 1e3"), "E102", "unknown key `nevent`", "did you mean `nevents`"),
        (one("cpus: 4", "cpu: 4"), "E102", "unknown key `cpu`", "did you mean `cpus`?"),
        (one("gpu: {workers: 2, resources: {cpus: 4,", "gpu: {workers: 2, cpus: 4, resources: {"), "E102", "unknown key `cpus`", "`resources: {cpus: 4}`"),
        (one("as: table", "as: table, port: x"), "E103", "is twice", "remove"),
        (one("id: Good, op: hep.define", "id: Good"), "E104", "`op` is missing", "name of the operation"),
        (one("name: dy, ", ""), "E104", "`name` is missing", "unique name"),
        (one("as: table", ""), "E104", "`as` is missing", "parameter of this stage's op"),
        (one("kind: root_tree, tree: Events", "kind: root_tree"), "E104", "`tree` is missing", "tree: name of the TTree or RNTuple"),
        (one("kind: root_tree", "kind: roottree"), "E110", "unknown source `roottree`", "did you mean `root_tree`?"),
        (one("kind: root_tree", "kind: parquet"), "E102", "unknown key `tree`", "allowed: files, kind, stream_type"),
        (one("tree: Events}", "tree: Events}\n  more: {tree: T}"), "E107", "more than one source: `more`", "one workflow per source"),
        (one("stream: events", "stream: evnts"), "E106", "no source `evnts`", "did you mean `events`?"),
        (one("workers: 2", "workers: two"), "E105", "expected a whole number, got text `two`", "auto"),
        (one("workers: 2", "workers: true"), "E105", "expected a whole number, got `true`", "auto"),
        (one("workers: 2", "workers: 0"), "E106", "must be at least 1, got `0`", "number of workers"),
        (one("64GB", "64G"), "E105", "`G` is not a unit of memory", "did you mean `64GB`?"),
        (one("timeout: 30m", "timeout: 30q"), "E105", "`q` is not a unit of time", "units"),
        (one("version: 1.0", "version: 2.0"), "E105", "expected version `1.0`", "1.0"),
        (one("{id: Good, op", "{id: [Good], op"), "E105", "expected text, got a list", "unique name"),
        (one("params: {variables", "params: [x] #"), "E101", "", ""),
        (one("files: [data/dy_*.root, \"root://host//path/dy.root\"]", "files: {any: }"), "E106", "must not be empty", "same file"),
        (one("files: [data/dy_*.root, \"root://host//path/dy.root\"]", "files: [[{a: b}]]"), "E105", "expected text, got a mapping", ""),
        (one("strategy: {kind: slurm, queue: long}", "strategy: {queue: long}"), "E105", "`kind` is missing", "{kind: name"),
        (one("strategy: {kind: slurm, queue: long}", "strategy: [a]"), "E105", "expected a name, or a mapping", ""),
        (one("{name: a, params: {x: 1}}", "{name: a, parms: {x: 1}}"), "E105", "unknown key `parms`", "allowed: name, params"),
        (one("require: gpu,", "require: gpu, prefer: gpu,"), "E106", "both `require` and `prefer`", "remove one"),
        (FULL + "observers: []", "E107", "`observers` of fasthep-flow is not supported", "remove the section"),
        (one("  backend: parsl", "  config: {workers: 3}"), "E107", "`config` of fasthep-flow is not supported", "strategy"),
        (FULL + "systematics: {variations: [{name: up, anchor: W}]}", "E107", "`anchor` of fasthep-flow is not supported", "what stages read"),
        (FULL + "systematics: {variations: [{name: up, patch: {}}]}", "E107", "`patch` of fasthep-flow is not supported", "replace: {fields:"),
        (one("analysis:\n", "analysis: 3\nrest:\n"), "E105", "expected a mapping", ""),
    ],
)  # fmt: skip
def test_every_mistake_is_refused_with_code_place_and_hint(refused, text, code, message, hint):
    problems = refused(text)
    found = [p for p in problems if p.code == code and message in p.message and hint in str(p.hint)]
    assert found, problems
    assert found[0].where is not None
    assert code in CODES
    assert not any(word in p.message for p in problems for word in ("Input should", "pydantic", "model_type", "tuple"))


def test_a_misspelt_key_is_not_missing_too(refused):
    assert [p.code for p in refused(one("as: table", "ass: table"))] == ["E102"]
    assert [p.code for p in refused(one("analysis:", "analsis:"))] == ["E102"]


def test_all_mistakes_come_at_once_in_the_order_of_the_file(refused):
    text = (
        one("64GB", "64G").replace("tree: Events", "tre: Events").replace("timeout: 30m", "timeout: x")
        + "observers: {}\n"
    )
    problems = refused(text)
    assert [p.code for p in problems] == ["E102", "E105", "E105", "E107"]
    assert [p.where.line for p in problems] == sorted(p.where.line for p in problems)


@pytest.mark.parametrize(
    "text",
    ["a: 1", "data:\nsources:\nanalysis:\n", "data: []\nsources: []\nanalysis: []\nexecution: []\nuse: []\nfields: []"],
)
def test_half_empty_files_are_refused_in_words(refused, text):
    for problem in refused(text):
        assert problem.where is not None
        assert "expected" in problem.message or "missing" in problem.message or "unknown" in problem.message


def test_empty_sections_are_refused_where_they_stand(refused):
    text = "data: {datasets: []}\nsources: {e: {tree: t}}\nanalysis:\n  stages:\n"
    assert [(p.code, p.where.line) for p in refused(text)] == [("E104", 1), ("E104", 4)]


def test_the_schema_describes_every_field():
    schema = Workflow.model_json_schema()
    assert json.dumps(schema)
    for name, part in [("Workflow", schema), *schema["$defs"].items()]:
        for key, field in part.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"


def test_the_schema_accepts_what_the_loader_accepts():
    schema = Workflow.model_json_schema()
    parts = schema["$defs"]
    assert "include" in schema["properties"]
    assert parts["Stage"]["required"] == ["op"]
    assert parts["Dataset"]["additionalProperties"] is True
    assert {"type": "string"} in parts["Resource"]["properties"]["memory"]["anyOf"]
    assert {"type": "string"} in parts["Execution"]["properties"]["strategy"]["anyOf"]
    assert {"const": "auto", "type": "string"} in parts["PoolSpec"]["properties"]["workers"]["anyOf"]


@pytest.mark.parametrize(
    ("value", "hint"), [("dat", "`data`"), ("Data", "`data`"), ("MC", "`mc`"), ("collision", "allowed: data, mc")]
)
@pytest.mark.parametrize("where", ["defaults", "dataset"])
def test_a_type_of_events_is_data_or_mc(refused, value, hint, where):
    old, new = {
        "defaults": ("defaults: {eventtype: mc,", f"defaults: {{eventtype: {value},"),
        "dataset": ("{name: 2018,", f"{{name: 2018, eventtype: {value},"),
    }[where]
    assert old in FULL
    (problem,) = refused(FULL.replace(old, new))
    assert problem.code == "E106"
    assert hint in str(problem.hint)
