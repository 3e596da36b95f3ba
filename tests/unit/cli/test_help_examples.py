"""The examples at the end of help texts: every command has some, all can be parsed, and those that start nothing run."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
import typer

from fasthep_parsl.cli.app import app
from fasthep_parsl.cli.help_examples import EXAMPLES
from fasthep_parsl.cli.main import invoke

PROGRAM = typer.main.get_command(app)
LINES = sorted({line for examples in EXAMPLES.values() for line in examples})
NOT_RUN = re.compile(
    r"run |plot |report |cleanup |credentials|env |demo-data demo/agc|.*--live|sites init|init$|init data/\*"
)
"""Examples that need a run, an environment, a batch system, a proxy, or minutes."""


def commands(command, path=""):
    """Yield the path of every command and group, and the command."""
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{path} {name}".strip())


def arguments(line):
    """Return the arguments of an example without a pipe or a redirection."""
    return shlex.split(re.split(r" [|>] ", line)[0])


@pytest.mark.parametrize("path", [path for path, _ in commands(PROGRAM)])
def test_every_help_ends_with_its_examples(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke([*path.split(), "--help"]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.rstrip("\n").splitlines()]
    lines = [f"fasthep-parsl {line}" for line in EXAMPLES[path]]
    assert shown[-len(lines) - 1 :] == ["Examples:", *lines]
    assert 2 <= len(lines) <= 4
    assert all(line.startswith(path) for line in EXAMPLES[path][:1])


def test_no_examples_are_of_a_command_that_does_not_exist():
    assert set(EXAMPLES) == {path for path, _ in commands(PROGRAM)}


@pytest.mark.parametrize("line", LINES)
def test_an_example_can_be_parsed(line):
    context = PROGRAM.make_context("fasthep-parsl", arguments(line))
    command, rest = PROGRAM, [*context._protected_args, *context.args]
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]
    assert rest == []


def test_a_wrong_example_cannot_be_parsed():
    with pytest.raises(Exception, match="--no-such-option"):
        test_an_example_can_be_parsed("plan analysis.yaml --no-such-option")


@pytest.mark.parametrize("line", [line for line in LINES if not NOT_RUN.match(line)])
def test_an_example_works(line, tmp_path, demo_data, monkeypatch, capsys):
    shutil.copytree(demo_data, tmp_path / "data")
    (tmp_path / "analysis.yaml").write_text(
        'version: "1.0"\ndata: {datasets: [{name: dy, files: [data/dy_*.root]}]}\n'
        "sources: {events: {kind: root_tree, tree: Events}}\n"
        "analysis: {stages: [{id: Sel, op: hep.select, params: {selection: [nMuon >= 2]}}]}\n"
        "execution: {pools: {default: {workers: 1, resources: {cpus: 1, memory: 1GB}}}}\n"
    )
    (tmp_path / "mine.yaml").write_text("extends: generic_slurm\nmeta: {description: mine}\n")
    monkeypatch.chdir(tmp_path)
    more = ["--set", "execution.network.address=127.0.0.1"] if line.startswith("plan") and "lxplus" in line else []
    assert invoke([*arguments(line), *more]) == 0, "".join(capsys.readouterr())
