"""Messages are for people: no code reads them, and other words change nothing but the words."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import fasthep_parsl
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.driver.site_checks.sample import sample_site
from fasthep_parsl.errors import ConfigError, Problem, Suggestion
from fasthep_parsl.interfaces import InputFileError, OpProblem
from fasthep_parsl.ops.expressions import ExpressionError
from fasthep_parsl.resources import validation
from fasthep_parsl.resources.units import UnitError

PACKAGE = Path(fasthep_parsl.__file__).parent
TEXTS = {"message", "hint", "headline", "question", "listing", "warning", "warnings", "why", "lacking", "reason"}
"""Attributes with text for people."""
HARMLESS = {"append", "extend", "get", "items", "join", "keys", "splitlines", "values"}
"""Methods that do not look into a text (or are those of the containers that hold texts)."""
OUTPUT_OF_COMMANDS = {
    "blocks/scaling_policy.py",
    "interfaces/scheduler_commands.py",
    "strategies/lsf.py",
    "strategies/pbs.py",
    "strategies/slurm/commands.py",
}
"""Modules that read the output of the commands of batch systems, which is text."""


def is_text(node):
    return (isinstance(node, ast.Attribute) and node.attr in TEXTS) or (
        isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == "msg"
    )  # fmt: skip


def is_space(node):
    return isinstance(node, ast.Constant) and str(node.value).isspace()


def readings(tree):
    """Yield the places where a program looks into a text that is meant for people."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            lines = node.func.attr == "split" and all(is_space(argument) for argument in node.args)
            asked = is_text(node.func.value) and node.func.attr not in HARMLESS and not lines
            matched = (
                isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and any(map(is_text, node.args))
            )
            if asked or matched:
                yield node
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            words = any(isinstance(part, ast.Constant) for side in sides for part in ast.walk(side))
            within = any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops)
            if any(map(is_text, sides)) and (words or within):
                yield node
        elif isinstance(node, ast.Subscript) and is_text(node.value) and isinstance(node.slice, ast.Slice):
            yield node


@pytest.mark.parametrize(
    "text",
    [
        'item.message.split("`")[1]',
        'item.hint.startswith("did you mean")',
        '"pyarrow" in header.hint',
        're.match("unknown field", wrong.message)',
        'check.reason == "is missing"',
        "detail['msg'].lower()",
        "item.message[4:]",
    ],
)
def test_looking_into_a_text_is_found(text):
    assert list(readings(ast.parse(text)))


@pytest.mark.parametrize("name", sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")))
def test_no_code_looks_into_messages(name):
    found = [ast.unparse(node) for node in readings(ast.parse((PACKAGE / name).read_text()))]
    assert bool(found) == (name in OUTPUT_OF_COMMANDS), found


# --- other words ----------------------------------------------------------------------------------------------

HEAD = """\
version: "1.0"
data: {datasets: [{name: dy, files: [%(files)s]}]}
sources: {events: {kind: root_tree, tree: %(tree)s}}
"""
GOOD = {"files": "dy_*.root", "tree": "Events"}
WORKFLOWS = {
    "a misspelt key, missing under its right name": (GOOD, "analysis:\n  stages:\n  - {idd: A, opp: hep.define}\n"),
    "unknown fields after a stage with a mistake": (
        GOOD,
        """\
analysis:
  stages:
  - {id: Good, op: hep.select_objects, params: {collection: Muon, output: GoodMuon, selectoin: ["pt > 5"]}}
  - {id: Later, op: hep.define, params: {variables: [{name: n, expr: num(GoodMuon_pt)}, {name: m, expr: MET_ptt}]}}
  - {id: Other, op: hep.define, params: {variables: [{name: o, expr: "MET_pt + Muon_pt[Jet_pt > 3]"}]}}
""",
    ),
    "a keep that lacks fields": (
        GOOD,
        """\
analysis:
  stages:
  - {id: Good, op: hep.select_objects,
     params: {collection: Muon, output: GoodMuon, selection: ["pt > 5"], keep: [pt]}}
  - {id: Later, op: hep.define, params: {variables: [{name: n, expr: num(GoodMuon_eta)}, {name: o, expr: MET_ppt}]}}
""",
    ),
    "a tree that no file has": (
        {**GOOD, "tree": "Evnts"},
        "analysis: {stages: [{id: A, op: hep.define, params: {variables: [{name: a, expr: MET_pt}]}}]}\n",
    ),
    "stages in a circle": (
        GOOD,
        """\
analysis:
  stages:
  - {id: A, op: hep.define, needs: [B], params: {variables: [{name: a, expr: MET_ptt}]}}
  - {id: B, op: hep.define, needs: [A], params: {variables: [{name: b, expr: zzzzzz}]}}
""",
    ),
    "kinds, units and labels": (
        GOOD,
        """\
analysis: {stages: [{id: A, op: hep.defin, execution: {require: gpuu, timeout: soon, modifiers: [{knd: profile}]}}]}
execution:
  backend: parsel
  strategy: {knd: local}
  pools: {gpu: {workers: many, resources: {memroy: 4 GiBB}}, b: {resources: clas}}
  scaling: {idle: never}
""",
    ),
    "other kinds": (
        GOOD,
        """\
analysis: {stages: [{id: A, op: hep.defin, params: {variables: []}, execution: {require: gpuu, modifiers: [profil]}}]}
execution:
  backend: parsel
  environment: imag
  pools: {gpu: {resources: {gpus: 1}}, b: {resources: clas}}
""",
    ),
}
SITE = """\
extends: generic_slurm
requires: {strategy.account: the project to charge, scratch: a folder on the disk of a node}
queues:
  short: {node: {cpus: 8, memory: 32GB}, walltime: 4h}
pools:
  huge: {resources: {cpus: 64}, modifiers: [profil]}
  long: {resources: {walltime: 2d}}
  lost: {queue: shrt}
"""


def reworded(text):
    """Return `text` in words that nobody has written: different texts stay different."""
    return text[::-1] if isinstance(text, str) else text


@pytest.fixture
def reword(monkeypatch):
    """Write all messages and hints backwards."""

    def patch():
        for kind, names in (
            (Problem, ("message", "hint")),
            (OpProblem, ("message", "hint")),
            (ExpressionError, ("message", "hint")),
            (InputFileError, ("message", "hint")),
            (UnitError, ("message", "hint")),
        ):
            monkeypatch.setattr(kind, "__init__", backwards(kind.__init__, names))
        for name in ("question", "listing"):
            plain = getattr(Suggestion, name).fget
            monkeypatch.setattr(
                Suggestion, name, property(functools.partial(lambda read, self: reworded(read(self)), plain))
            )
        plain = validation.PydanticCustomError
        monkeypatch.setattr(
            validation,
            "PydanticCustomError",
            lambda kind, text, context: plain(kind, text, {**context, "message": reworded(context["message"])}),
        )

    return patch


def backwards(init, names):
    code = init.__code__
    arguments = code.co_varnames[1 : code.co_argcount]

    @functools.wraps(init)
    def changed(self, *args, **keywords):
        given = dict(zip(arguments, args, strict=False)) | keywords
        init(self, **{key: reworded(value) if key in names else value for key, value in given.items()})

    return changed


def found(path):
    with pytest.raises(ConfigError) as caught:
        compile_plan(path, cache=False)
    return [(item.code, item.key, item.where, item.name, item.suggestions) for item in caught.value.problems], [
        item.message for item in caught.value.problems
    ]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_other_words_give_the_same_problems_at_the_same_places(name, demo_data, tmp_path, reword):
    facts, rest = WORKFLOWS[name]
    path = tmp_path / "w.yaml"
    path.write_text(HEAD % {**facts, "files": f"{demo_data}/{facts['files']}"} + rest)
    problems, messages = found(path)
    reword()
    again, others = found(path)
    assert again == problems
    assert others != messages


def test_other_words_change_no_check_of_a_site(tmp_path, reword):
    path = tmp_path / "mine.yaml"
    path.write_text(SITE)
    before = sample_site(str(path))
    reword()
    after = sample_site(str(path))
    assert [(check.what, check.ok, check.missing) for check in after.checks] == [
        (check.what, check.ok, check.missing) for check in before.checks
    ]
    assert sum(check.missing for check in before.checks) == 2
    assert {check.what for check in before.checks if not check.ok} >= {"pool huge", "pool long", "pool lost"}
    assert [check.found for check in after.checks] != [check.found for check in before.checks]
    assert "pool `" not in "".join(check.found for check in before.checks if check.what.startswith("pool "))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_does_not_exist_is_named_as_a_value(name, demo_data, tmp_path):
    facts, rest = WORKFLOWS[name]
    path = tmp_path / "w.yaml"
    path.write_text(HEAD % {**facts, "files": f"{demo_data}/{facts['files']}"} + rest)
    with pytest.raises(ConfigError) as caught:
        compile_plan(path, cache=False)
    for problem in caught.value.problems:
        if problem.code in {"E102", "E104", "E110", "E140", "E142", "E150"}:
            assert problem.name
        if problem.suggestions and problem.name:
            assert problem.name not in problem.suggestions
