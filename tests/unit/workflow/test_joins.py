"""Section `joins`: spellings of fasthep-flow, and every mistake with its place and hint."""

from __future__ import annotations

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.loader import load_workflow

FLOW = """\
data: {datasets: [{name: dy, files: [dy.root]}]}
sources:
  main: {kind: root_tree, tree: Events}
  extra: {kind: root_tree, tree: dir/Extra, files: "../friends/{name}"}
  table: {kind: parquet, files: "{stem}.parquet"}
joins:
  events:
    kind: zip
    inputs:
      - main
      - {source: extra, prefix: ex, by: [run, event]}
      - {source: table, prefix: tab}
primary_stream: events
fields:
  a: {stream: events, branch: ex.x}
  b: {stream: extra, branch: x}
  c: {stream: main, branch: y}
  d: z
analysis: {stages: [{id: A, op: hep.define}]}
"""


def load(folder, text):
    path = folder / "w.yaml"
    path.write_text(text)
    return load_workflow(path)


def test_fields_of_a_source_are_fields_of_the_join(tmp_path):
    loaded = load(tmp_path, FLOW)
    workflow = loaded.workflow
    assert workflow.source_name == "main"
    first, second, third = workflow.joins["events"].inputs
    assert [item.prefix_or_name for item in (first, second, third)] == ["main", "ex", "tab"]
    assert second.by == {"run": "run", "event": "event"}
    assert {name: (spec.stream, spec.branch) for name, spec in workflow.fields.items()} == {
        "a": ("events", "ex.x"),
        "b": ("events", "ex.x"),
        "c": ("events", "main.y"),
        "d": (None, "z"),
    }
    assert not loaded.warnings
    assert workflow.sources["extra"].files == "../friends/{name}"
    assert workflow.sources["extra"].params == {"tree": "dir/Extra"}


def test_warnings_of_fasthep_flow_are_errors(tmp_path):
    loaded = load(tmp_path, FLOW.replace("kind: zip", "kind: zip\n    on_mismatch: warn"))
    assert [(item.code, item.key) for item in loaded.warnings] == [("W107", "joins.events.on_mismatch")]
    assert loaded.workflow.joins["events"].on_mismatch == "error"


def test_keys_may_have_other_names(tmp_path):
    loaded = load(tmp_path, FLOW.replace("by: [run, event]", "by: {event: evt}"))
    assert loaded.workflow.joins["events"].inputs[1].by == {"event": "evt"}
    loaded = load(tmp_path, FLOW.replace("by: [run, event]", "by: event, on_mismatch: missing"))
    assert loaded.workflow.joins["events"].inputs[1].by == {"event": "event"}


JOINS = FLOW[FLOW.index("joins:") : FLOW.index("fields:")]
PLAIN = FLOW[FLOW.index("fields:") : FLOW.index("analysis:")]


@pytest.mark.parametrize(
    ("old", "new", "code", "key", "message", "hint"),
    [
        (JOINS + PLAIN, "", "E107", "sources.extra", "more than one source: `extra`", "joins: {events: {inputs: [main, extra]}}"),
        ("- main\n", "- mian\n", "E106", "joins.events.inputs[0]", "no source `mian`", "did you mean `main`?"),
        ("source: extra", "source: exta", "E106", "joins.events.inputs[1].source", "no source `exta`", "did you mean `extra`?"),
        ("      - {source: table, prefix: tab}\n", "", "E107", "sources.table", "source `table` is not in the join `events`", "joins.events.inputs"),
        ("source: table, ", "source: events, ", "E107", "joins.events.inputs[2].source", "`events` is a join: joins cannot be joined", "one join"),
        ("primary_stream", "  more: {inputs: [main, table]}\nprimary_stream", "E107", "joins.more", "more than one join: `more`", "one join"),
        ("source: table, prefix: tab", "source: extra, prefix: tab", "E106", "joins.events.inputs[2].source", "source `extra` is twice", "remove"),
        ("prefix: tab", "prefix: ex", "E106", "joins.events.inputs[2].prefix", "prefix `ex` is that of source `extra`", "another"),
        ("prefix: tab", "prefix: dataset", "E106", "joins.events.inputs[2].prefix", "prefix `dataset` is that of facts of datasets", "another"),
        ("  events:\n    kind", "  main:\n    kind", "E106", "joins.main", "`main` is a source and a join", "rename"),
        ("primary_stream: events", "primary_stream: extra", "E106", "primary_stream", "`extra` is a source of the join `events`", "primary_stream: events"),
        ("primary_stream: events", "primary_stream: evnts", "E106", "primary_stream", "no source `evnts`", "did you mean `events`?"),
        ("stream: extra", "stream: extr", "E106", "fields.b.stream", "no source `extr`", "did you mean `extra`?"),
        ("prefix: tab", "on_mismatch: missing", "E106", "joins.events.inputs[2].on_mismatch", "`missing` needs keys", "by: [run"),
        ("- main\n", "- {source: main, by: [event]}\n", "E106", "joins.events.inputs[0].by", "source `main` is the first one", "added"),
        ("tree: Events}", "tree: Events, files: '{name}'}", "E106", "sources.main.files", "source `main` is that of the events", "data.datasets"),
        ("{name}", "{nam}", "E106", "sources.extra.files", "unknown placeholder `{nam}`", "did you mean `name`?"),
        ("{name}", "*.root", "E106", "sources.extra.files", "is a pattern", "{stem}"),
        ("kind: zip", "kind: zap", "E106", "joins.events.kind", "zap", "zip"),
        ("kind: zip", "on_mismatch: skip", "E106", "joins.events.on_mismatch", "skip", "missing"),
        ("by: [run, event]", "by: [[run]]", "E105", "joins.events.inputs[1].by", "expected names of branches", "by: [run"),
        ("prefix: tab", "prefx: tab", "E102", "joins.events.inputs[2].prefx", "unknown key `prefx`", "did you mean `prefix`?"),
        ("tree: dir/Extra, ", "", "E104", "sources.extra.tree", "`tree` is missing", "name of the TTree"),
        ("kind: parquet", "kind: parqet", "E110", "sources.table.kind", "unknown source `parqet`", "did you mean `parquet`?"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place_and_a_hint(tmp_path, old, new, code, key, message, hint):
    assert old in FLOW
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FLOW.replace(old, new, 1))
    found = [p for p in caught.value.problems if p.code == code and message in p.message and hint in str(p.hint)]
    assert found, caught.value.problems
    assert found[0].key == key or not key
    assert found[0].where is not None


def test_missing_values_need_keys_somewhere(tmp_path):
    text = FLOW.replace("kind: zip", "on_mismatch: missing")
    assert load(tmp_path, text).workflow.join.on_mismatch == "missing"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text.replace(", by: [run, event]", ""))
    assert [(p.key, p.message[:19]) for p in caught.value.problems] == [
        ("joins.events.on_mismatch", "`missing` needs key")
    ]


def test_one_source_is_not_given_files_of_its_own(tmp_path):
    text = FLOW.replace(JOINS + PLAIN, "").replace(FLOW[FLOW.index("  extra") : FLOW.index("joins:")], "")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text.replace("tree: Events}", "tree: Events, files: x.root}"))
    assert [p.key for p in caught.value.problems] == ["sources.main.files"]
