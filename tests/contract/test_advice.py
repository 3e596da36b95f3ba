"""Advice names what the reader can type: arguments in Python, options on the command line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fasthep_parsl as fp
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.errors import OPTIONS, Advice, ConfigError, Location, on_command_line, suggest

PACKAGE = Path(fp.__file__).parent
OPTION = re.compile(r"(?<![\w-])--(outdir|force|resume|set|limit|chunk-size|site|explain)\b")
ONLY_ON_THE_COMMAND_LINE = {
    "driver/api.py": "it writes the command that gives a plan",
    "driver/cleanup.py": "`cleanup`",
    "driver/job_scripts.py": "`plan --scripts`",
    "driver/packed_environments.py": "`env pack`",
    "driver/site_checks/draft.py": "`sites new`",
    "driver/site_checks/live.py": "`sites check`",
    "errors.py": "the spellings",
    "report/verdict.py": "it writes the command that finishes a run",
    "workflow/overrides.py": "the name of the layer",
    "compiler/modifiers.py": "the name of the layer",
}
"""Modules with texts that only the command line shows."""
SKIPPED = ("cli/", "error_codes", "first_workflow/", "demo/")
TREES = {
    name: ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if not (name := str(path.relative_to(PACKAGE))).startswith(SKIPPED)
}


def documentation(tree):
    """Return the ids of strings that are statements: docstrings."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


@pytest.mark.parametrize("name", TREES)
def test_texts_do_not_name_options_of_the_command_line(name):
    skipped = documentation(TREES[name])
    found = [
        node.value
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
        and OPTION.search(node.value)
    ]  # fmt: skip
    assert found == [] or name in ONLY_ON_THE_COMMAND_LINE, "use Advice"


def advised():
    """Yield the text of each `Advice` in the code."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Advice":
                yield from (part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))


def test_each_advice_is_spelled_for_both_readers():
    texts = [text for text in advised() if "{" in text]
    assert len(texts) > 10
    for text in texts:
        made = Advice(text, ("a.b=1",), ("one", "two"))
        assert not OPTION.search(str(made)), text
        assert "mode=" not in made.on_command_line
        assert "overrides" not in made.on_command_line
        assert "{" not in str(made) + made.on_command_line
        if set(re.findall(r"\{(\w+)\}", text)) & {*OPTIONS, "settings"}:
            assert str(made) != made.on_command_line


def test_settings_are_quoted_where_a_shell_needs_it():
    made = Advice("use {settings}", ("a=1", "b={c: 2}"))
    assert str(made) == "use overrides=['a=1', 'b={c: 2}']"
    assert made.on_command_line == "use --set a=1 --set 'b={c: 2}'"
    assert on_command_line("plain") == "plain"
    assert on_command_line(suggest("x", ["y"])) == "known: y"


def test_a_setting_is_a_place_that_both_know():
    assert str(Location("--set a.b", 1, 7)) == "overrides, `a.b`"
    assert str(Location("w.yaml", 2, 7)) == "w.yaml:2:7"


MISTAKES = {
    "a run that is there": ({}, [], "mode='force' replaces it", "--force replaces it"),
    "a setting without =": ({"overrides": ["pools"]}, ["--set", "pools"], "overrides=['pools", "write `--set pools"),
    "nothing to resume": (
        {"mode": "resume", "outdir": "other"}, ["--resume", "--outdir", "other"], "omit mode='resume'", "omit --resume"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_the_same_mistake_on_both_edges(name, flow, small_files, capsys, monkeypatch):
    monkeypatch.chdir(flow.folder)
    flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"])
    for folder in ("run", "other"):
        (flow.folder / folder).mkdir()
        (flow.folder / folder / ("plan.json" if folder == "run" else "x")).write_text("{}")
    options, words, in_python, on_the_command_line = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        fp.run(flow.path, **{"outdir": "run", **options})
    assert in_python in str(caught.value)
    assert "--" not in str(caught.value)
    assert invoke(["run", str(flow.path), *words]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert on_the_command_line in shown
    assert "mode=" not in shown
