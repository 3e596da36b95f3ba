"""A modifier of another package has the same possibilities as the built-in ones; the package names none of its own."""

from __future__ import annotations

import ast
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import fasthep_parsl
import probe_modifiers
from fasthep_parsl import registry
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import READ

PACKAGE = Path(fasthep_parsl.__file__).parent


@pytest.fixture(autouse=True)
def foreign(monkeypatch):
    """Modifiers registered as an installed package would register them."""
    for name, place in (("their.gpu", "Accelerated"), ("their.wrong", "NoModifier")):
        point = EntryPoint(name, f"probe_modifiers:{place}", "fasthep_parsl.modifiers")
        monkeypatch.setitem(registry._table("modifiers"), name, point)
    yield
    registry.load.cache_clear()


@pytest.fixture
def planned(flow, small_files):
    def planned(*modifiers, pool=()):
        stages = [flow.stage("Sum", "probe.sum", []), flow.stage("More", "probe.sum", [])]
        stages[0]["execution"] = {"modifiers": list(modifiers)}
        pools = {"default": {"workers": 1, "modifiers": list(pool)}}
        return flow.write(stages, [small_files / "b.root"], execution={"backend": "local", "pools": pools}).compile()

    return planned


def theirs(**params):
    return {"kind": "their.gpu", "emulate": True, **params}


def problem_of(planned, *modifiers, **more):
    with pytest.raises(ConfigError) as failure:
        planned(*modifiers, **more)
    (problem,) = failure.value.problems
    return problem


def test_one_that_needs_a_gpu_is_refused_on_a_pool_without_and_names_its_own_remedy(planned):
    problem = problem_of(planned, theirs(emulate=False))
    assert problem.code == "E180"
    assert str(problem.hint) == "no pool of this site has GPUs; to run without a GPU, write `emulate: true`"
    assert planned(theirs())


def test_fields_that_it_names_must_exist(planned):
    problem = problem_of(planned, theirs(columns=["x", "Moun_pt"]))
    assert (problem.code, problem.message) == ("E150", "unknown field `Moun_pt`")
    assert problem.key == "analysis.stages[0].execution.modifiers[0].columns[1]"


def test_its_identity_decides_which_one_a_stage_has(planned):
    plan = planned(theirs(level=2), pool=[theirs(), theirs(device="b")])
    assert [m.params for m in plan.stages[0].modifiers] == [
        {"emulate": True, "level": 2},
        {"emulate": True, "device": "b"},
    ]
    problem = problem_of(planned, theirs(), theirs(level=1))
    assert (problem.code, "with the same `device`" in problem.message) == ("E106", True)


def test_it_notes_calls_readings_and_stages_and_has_a_default_file(planned, flow):
    plan = planned(theirs())
    assert flow.run(plan).status == "complete"
    notes = json.loads((flow.folder / "run" / "their.gpu" / "notes.json").read_text())
    assert notes["Sum"] == {"calls": 1, "stages": 1}
    assert notes["More"] == {"stages": 1}  # a stage without it
    assert notes[READ] == {"read": 40}


def test_it_is_wrapped_once_per_worker_and_stage(planned, flow, monkeypatch):
    wrapped = []
    wrap = probe_modifiers.Accelerated.wrap
    monkeypatch.setattr(
        probe_modifiers.Accelerated, "wrap", lambda self, call: wrapped.append(call.stage) or wrap(self, call)
    )
    plan = planned(theirs(), pool=[theirs(device="b")]).model_copy(update={"pass_size": 1})
    assert flow.run(plan).status == "complete"
    assert sorted(wrapped) == ["More", "Sum", "Sum"]


def test_what_is_not_a_modifier_is_refused(planned):
    problem = problem_of(planned, "their.wrong")
    assert (problem.code, problem.message) == ("E111", "`their.wrong` is not a modifier")


@pytest.mark.slow
def test_no_module_names_a_built_in_modifier_but_its_own():
    names = set(registry.names("modifiers")) - {"profile", "their.gpu", "their.wrong"}  # sites have profiles, too
    assert {"gpu.preload", "cuda.jit", "diagnostics"} <= names
    places = []
    for path in PACKAGE.rglob("*.py"):
        if not path.is_relative_to(PACKAGE / "modifiers"):
            tree = ast.parse(path.read_text())
            documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
            places += [
                (path, node.lineno) for node in constants if node.value in names and id(node) not in documentation
            ]
    assert not places
