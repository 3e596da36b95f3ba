"""Modifiers around each other, from stages and from pools; on resume; and what is refused."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

import probe_modifiers
from fasthep_parsl import registry
from fasthep_parsl.driver import api
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.worker import runner
from fasthep_parsl.worker.runner import run_task


@pytest.fixture(autouse=True)
def trace(monkeypatch):
    """A modifier `probe.trace`, registered as an installed package would register its own."""
    point = EntryPoint("probe.trace", "probe_modifiers:Trace", "fasthep_parsl.modifiers")
    monkeypatch.setitem(registry._table("modifiers"), "probe.trace", point)
    yield
    registry.load.cache_clear()


def traced(name, **params):
    return {"kind": "probe.trace", "name": name, **params}


def with_modifiers(stage, *modifiers):
    return {**stage, "execution": {**stage.get("execution", {}), "modifiers": list(modifiers)}}


def pools(*modifiers):
    default = {"workers": 2, "modifiers": list(modifiers)}
    return {"backend": "local", "pools": {"default": default, "other": {"workers": 1}}}


def read(flow, name):
    return json.loads((flow.folder / "run" / name).read_text())


def test_they_are_entered_in_the_order_given(flow, small_files):
    log = flow.folder / "log.txt"
    inner = [traced("first", log=str(log)), "diagnostics", "profile", traced("last", log=str(log))]
    stage = with_modifiers(flow.stage("Sum", "probe.sum", []), *inner)
    outcome = flow.write([stage], [small_files / "b.root"]).run()
    assert outcome.products["Sum", "sum"] == sum(range(100, 140))
    assert log.read_text().splitlines() == ["first in Sum default", "last in Sum default", "last out", "first out"]
    assert read(flow, "diagnostics/diagnostics.json")["stages"]["Sum"]["calls"] == 1
    assert read(flow, "profile/profile.json")["stages"]["Sum"]["time"]["calls"] == 1
    assert read(flow, "probe.trace/calls.json") == {"Sum": {"calls": 2}}


def test_who_notes_late_is_asked_once_the_pass_is_over(flow, small_files, long_passes):
    log = flow.folder / "log.txt"
    first = with_modifiers(
        flow.stage("All", "hep.select", [], selection=["x >= 0"]), traced("a", log=str(log), late=True)
    )
    bad = with_modifiers(flow.stage("Bad", "probe.fail", ["All"], at=[130]), traced("b", log=str(log), late=True))
    stages = [first, bad, flow.stage("Sum", "probe.sum", ["Bad"])]
    outcome = flow.write(stages, [small_files / "b.root"]).run(chunk_size=10)
    assert outcome.summary["partitions"]["failed"] == 1
    lines = [line.split()[:2] for line in log.read_text().splitlines()]
    enter, over = [["a", "in"], ["a", "out"], ["b", "in"]], [["b", "out"], ["a", "told"], ["b", "told"]]
    passes = [enter, [*enter, *over], enter, [*enter, *over], enter]  # all, half, half, one partition, the bad one
    assert lines == [line for each in passes for line in each]


def test_one_outside_counts_what_those_inside_take(flow, small_files):
    slow = {"kind": "profile", "what": "memory"}
    stages = [
        with_modifiers(flow.stage("A", "probe.sum", []), "diagnostics", traced("x", add=5)),
        with_modifiers(flow.stage("B", "probe.sum", []), "profile", slow),
    ]
    outcome = flow.write(stages, [small_files / "b.root"]).run()
    assert outcome.products["A", "sum"] == outcome.products["B", "sum"] + 5
    assert set(read(flow, "profile/profile.json")["stages"]["B"]) == {"time", "memory"}


def test_those_of_the_pool_are_outside(flow, small_files):
    log = str(flow.folder / "log.txt")
    stages = [
        with_modifiers(flow.stage("Sum", "probe.sum", []), traced("stage", log=log)),
        with_modifiers(flow.stage("Far", "probe.sum", [], "other"), traced("far", log=log)),
    ]
    flow.write(stages, [small_files / "b.root"], execution=pools(traced("pool", log=log)))
    plan = flow.compile()
    assert [m.params["name"] for m in plan.stage("Sum").modifiers] == ["pool", "stage"]
    assert [m.params["name"] for m in plan.stage("Far").modifiers] == ["far"]
    flow.run(plan)
    lines = (flow.folder / "log.txt").read_text().splitlines()
    near = [line for line in lines if "far" not in line]
    assert near == ["pool in Sum default", "stage in Sum default", "stage out", "pool out"]


def test_a_site_can_ask_for_them(flow, small_files):
    site = flow.folder / "mine.yaml"
    site.write_text("extends: local\nmeta: {description: d}\npools: {default: {modifiers: [profile]}}\n")
    flow.write([with_modifiers(flow.stage("Sum", "probe.sum", []), "diagnostics")], [small_files / "b.root"])
    plan = api.compile_plan(flow.path, str(site))
    assert [m.kind for m in plan.stage("Sum").modifiers] == ["profile", "diagnostics"]


def test_equal_ones_of_pool_and_stage_count_once(flow, small_files):
    flame = {"kind": "profile", "what": "flame"}
    stage = with_modifiers(flow.stage("Sum", "probe.sum", []), "diagnostics", "profile", flame)
    flow.write([stage], [small_files / "b.root"], execution=pools({"name": "diagnostics"}, "profile"))
    plan = flow.compile()
    assert [m.kind for m in plan.stage("Sum").modifiers] == ["diagnostics", "profile", "profile"]
    flow.run(plan)
    assert read(flow, "diagnostics/diagnostics.json")["stages"]["Sum"]["events_in"] == 40
    assert read(flow, "diagnostics/diagnostics.json")["read"]["events"] == 40


def test_without_modifiers_the_op_itself_is_called(flow, small_files):
    from fasthep_parsl.worker.program import Program

    flow.write([flow.stage("Some", "hep.select", [], selection=["x > 3"])], [small_files / "b.root"])
    outcome = flow.run()
    program = Program(flow.compile(), flow.folder / "run")
    (step,) = program.steps(program.plan.segments[0])
    assert step.call is step.op.call
    assert program.modifiers._readers_of(program.plan.segments[0]) == []
    assert "notes" not in (flow.folder / "run" / "events.jsonl").read_text()
    assert outcome.status == "complete"


@pytest.mark.slow
def test_notes_of_before_and_after_an_interrupt_are_joined(flow, small_files, monkeypatch):
    stages = [
        with_modifiers(flow.stage("Some", "hep.select", [], selection=["x > 3"]), "diagnostics", "profile"),
        flow.stage("Sum", "probe.sum", ["Some"]),
    ]
    flow.write(stages, [small_files / "a.root", small_files / "b.root"])
    plan = flow.compile(chunk_size=2).model_copy(update={"pass_size": 1})
    left = iter(range(2))

    def limited(task):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return run_task(task)

    with monkeypatch.context() as patch:
        patch.setattr("fasthep_parsl.worker.entry.run_task", limited)
        outcome = flow.run(plan)
    assert outcome.status == "interrupted"
    before = read(flow, "diagnostics/diagnostics.json")
    assert 0 < before["stages"]["Some"]["events_in"] < 140
    outcome = flow.run(plan, "resume")
    assert outcome.status == "complete"
    after = read(flow, "diagnostics/diagnostics.json")
    assert after["stages"]["Some"]["events_in"] == after["read"]["events"] == 140
    assert after["stages"]["Some"]["events_out"] == 136
    assert after["stages"]["Some"]["fields_in"]["x"]["entries"] == 140
    assert after["read"]["bytes"] == outcome.summary["bytes_read"]
    times = read(flow, "profile/profile.json")["stages"]
    assert times["Some"]["time"]["calls"] == outcome.summary["stages"]["Some"]["calls"] == 72
    assert times["read"]["time"]["calls"] == outcome.summary["other"]["read"]["calls"]


def test_force_removes_what_modifiers_have_written(flow, small_files):
    stage = flow.stage("Sum", "probe.sum", [])
    flow.write([with_modifiers(stage, "diagnostics")], [small_files / "b.root"]).run()
    assert (flow.folder / "run" / "diagnostics").is_dir()
    flow.write([stage], [small_files / "b.root"]).run(mode="force")
    assert not (flow.folder / "run" / "diagnostics").exists()


def test_notes_that_cannot_be_written_are_a_warning(flow, small_files):
    stage = with_modifiers(flow.stage("Sum", "probe.sum", []), traced("x"))
    plan = flow.write([stage], [small_files / "a.root"]).compile(chunk_size=1).model_copy(update={"pass_size": 1})
    outcome = flow.run(plan)
    assert outcome.status == "complete"
    assert outcome.summary["warnings"] == ["notes of modifier `probe.trace` could not be written: too many calls"]


WORKFLOW = """\
version: "1.0"
data: {{datasets: [{{name: a, files: [{file}]}}]}}
sources: {{events: {{kind: root_tree, tree: Events}}}}
analysis:
  stages:
    - id: Some
      op: hep.select
      params: {{selection: [x > 3]}}
      execution:
        modifiers:
          - {stage}
execution:
  pools:
    default:
      modifiers:
        - {pool}
    idle:
      modifiers: [{idle}]
"""
STAGE_LINE, POOL_LINE, IDLE_LINE = 11, 16, 18
BAD = {
    "diagnostic": ("E110", "unknown modifier `diagnostic`", "diagnostics"),
    "{name: profil}": ("E110", "unknown modifier `profil`", "profile"),
    "{kind: profile, whta: time}": ("E102", "whta", "what"),
    "{kind: profile, what: tiem}": ("E106", "tiem", "time"),
    "{kind: profile, what: flame, rate: fast}": ("E105", "fast", ""),
    "{kind: profile, what: flame, rate: 0}": ("E106", "`rate`: must be at least", ""),
    "{kind: diagnostics, fields: 3}": ("E105", "3", ""),
    "{name: profile, params: {what: [time]}}": ("E106", "what", "time"),
    "{name: profile, what: time}": (None, "what", "params"),
    "{name: profile, params: time}": (None, "params", ""),
    "7": (None, "7", ""),
}


@pytest.mark.parametrize("where", ["stage", "pool", "idle"])
@pytest.mark.parametrize(("text", "expected"), BAD.items(), ids=BAD)
def test_a_mistake_is_shown_where_it_is(flow, small_files, text, expected, where):
    places = {"stage": "diagnostics", "pool": "profile", "idle": "profile", where: text}
    flow.path.write_text(WORKFLOW.format(file=small_files / "a.root", **places))
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    (problem,) = caught.value.problems
    code, said, hint = expected
    assert problem.where.line == {"stage": STAGE_LINE, "pool": POOL_LINE, "idle": IDLE_LINE}[where]
    assert code in (None, problem.code)
    assert said in problem.message
    assert hint in (str(problem.hint) or "")


def test_a_mistake_in_the_spelling_of_upstream_is_shown_on_its_own_line(flow, small_files):
    spelling = "name: profile\n            params:\n              what: tiem"
    text = WORKFLOW.format(file=small_files / "a.root", stage=spelling, pool="profile", idle="profile")
    flow.path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    (problem,) = caught.value.problems
    assert (problem.where.line, problem.code) == (STAGE_LINE + 2, "E106")


def test_all_mistakes_are_shown_at_once_and_those_of_a_pool_once(flow, small_files):
    """The pool's is met by both stages."""
    text = WORKFLOW.format(file=small_files / "a.root", stage="{kind: profile, rate: -1}", pool="nothing", idle="none")
    more = "    - {id: More, op: hep.select, params: {selection: [x > 5]}}\n"
    flow.path.write_text(text.replace("execution:\n  pools", f"{more}execution:\n  pools"))
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    assert [p.where.line for p in caught.value.problems] == [STAGE_LINE, POOL_LINE + 1, IDLE_LINE + 1]


def test_what_is_no_array_is_counted_by_its_entries(flow, small_files):
    stages = [
        with_modifiers(flow.stage("Odd", "probe.list", []), "diagnostics"),
        with_modifiers(flow.stage("Sum", "probe.sum", ["Odd"]), "diagnostics"),
    ]
    outcome = flow.write(stages, [small_files / "b.root"]).run(chunk_size=10)
    assert outcome.status == "complete"
    found = read(flow, "diagnostics/diagnostics.json")["stages"]["Odd"]["fields_out"]
    assert found == {"odd": {"entries": 40, "none": 0, "nan": 0}}


def test_a_modifier_that_fails_to_note_late_costs_no_event(flow, small_files, monkeypatch, long_passes):
    later = probe_modifiers.Trace._later
    monkeypatch.setattr(probe_modifiers.Trace, "_later", lambda self: {"b": later}[self.name](self))
    stage = with_modifiers(flow.stage("Sum", "probe.sum", []), traced("a", late=True))
    kept = with_modifiers(flow.stage("Two", "probe.sum", []), traced("b", late=True))
    flow.write([stage, kept], [small_files / "b.root"])
    plan = flow.compile(chunk_size=10)
    with pytest.warns(UserWarning, match=r"probe.trace of stage Sum could not inspect a pass: KeyError"):
        outcome = flow.run(plan)
    assert outcome.status == "complete"
    assert read(flow, "probe.trace/calls.json") == {"Two": {"calls": 1}}


def test_reading_is_noted_once_for_all_stages_of_a_segment(flow, small_files):
    stages = [
        with_modifiers(flow.stage("A", "probe.sum", []), {"kind": "diagnostics", "fields": False}, "profile"),
        with_modifiers(flow.stage("B", "probe.sum", []), {"kind": "profile", "what": "flame"}, "diagnostics"),
    ]
    flow.write(stages, [small_files / "b.root"]).run()
    assert read(flow, "diagnostics/diagnostics.json")["read"]["events"] == 40
    assert read(flow, "profile/profile.json")["stages"]["read"]["time"]["events"] == 40


def test_notes_of_a_task_that_was_broken_off_are_forgotten(flow, small_files, monkeypatch):
    stage = with_modifiers(flow.stage("Sum", "probe.sum", []), "diagnostics")
    flow.write([stage], [small_files / "b.root"])
    accept, broken = runner._TaskRun._accept, []

    def once(self, *arguments):
        if not broken:
            broken.append(True)
            raise MemoryError("no memory left to keep what a pass yields")
        accept(self, *arguments)

    monkeypatch.setattr(runner._TaskRun, "_accept", once)
    outcome = flow.run()
    assert outcome.status == "complete"
    assert read(flow, "diagnostics/diagnostics.json")["stages"]["Sum"]["events_in"] == 40


def test_a_call_that_failed_counts_not_and_one_done_again_counts_alone(flow, small_files):
    flag = flow.folder / "flag"
    stages = [
        with_modifiers(flow.stage("Bad", "probe.fail", [], at=[105], once=str(flag)), "diagnostics"),
        with_modifiers(flow.stage("All", "probe.all", ["Bad"]), "diagnostics"),
        with_modifiers(flow.stage("None", "probe.all_or_none", [], once=str(flag)), "diagnostics"),
    ]
    flow.write(stages, [small_files / "b.root"])
    plan = flow.compile(chunk_size=10)
    assert flow.run(plan).status == "partial"
    found = read(flow, "diagnostics/diagnostics.json")["stages"]
    assert found["All"]["events_in"] == 30
    assert "None" not in found
    flag.touch()
    assert flow.run(plan, mode="resume").status == "complete"
    found = read(flow, "diagnostics/diagnostics.json")
    assert {name: row["events_in"] for name, row in found["stages"].items()} == {"Bad": 40, "All": 40, "None": 40}
    assert found["read"]["events"] == 80  # the source was read for two segments


def test_an_op_that_stops_early_is_counted_so_far(flow, small_files):
    stages = [with_modifiers(flow.stage("First", "probe.first", []), "diagnostics")]
    flow.write(stages, [small_files / "a.root", small_files / "b.root"]).run()
    assert read(flow, "diagnostics/diagnostics.json")["stages"]["First"]["events_in"] == 100
