"""Each wrong example of an error code gives that code, and each right one does not."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
BASE = {
    "version": 'version: "1.0"\n',
    "data": "data: {datasets: [{name: dy, files: [data/dy_*.root]}]}\n",
    "sources": "sources: {events: {kind: root_tree, tree: Events}}\n",
    "analysis": "analysis: {stages: [{id: Selection, op: hep.select, params: {selection: [nMuon >= 2]}}]}\n",
}
PROFILE = "extends: generic_slurm\nmeta: {description: mine}\n"
EXAMPLES = [
    pytest.param(code, kind, id=f"{code}-{kind}")
    for code, entry in CODES.items()
    for kind in ("wrong", "right")
    if getattr(entry, kind)
]


def whole(fragment: str) -> str:
    """A workflow with the sections of a fragment, and those that it lacks."""
    return fragment + "".join(text for key, text in BASE.items() if not re.search(rf"^{key}:", fragment, re.MULTILINE))


def codes_of_workflow(fragment: str) -> set[str]:
    Path("analysis.yaml").write_text(whole(fragment))
    try:
        compile_plan("analysis.yaml", site="local")
    except ConfigError as error:
        return {item.code for item in error.problems}
    return set()


def codes_of_profile(fragment: str) -> set[str]:
    Path("mine.yaml").write_text(PROFILE + fragment)
    Path("analysis.yaml").write_text(whole(""))
    try:
        compile_plan("analysis.yaml", site="mine.yaml", overrides=["network.address=127.0.0.1"])
    except ConfigError as error:
        return {item.code for item in error.problems}
    return set()


def codes_of_command(line: str, capsys) -> set[str]:
    Path("analysis.yaml").write_text(whole("execution: {backend: local}\n"))
    program, *arguments = shlex.split(line)
    assert program == "fasthep-parsl"
    code = invoke(arguments)
    shown = "".join(capsys.readouterr())
    found = set(re.findall(r"\[([EW]\d{3})\]", shown))
    assert bool(found) == (code != 0), shown
    return found


@pytest.fixture
def folder(tmp_path, demo_data, monkeypatch):
    shutil.copytree(demo_data, tmp_path / "data")
    (tmp_path / "data" / "notes.txt").touch()
    (tmp_path / "golden.json").write_text('{"1": [[1, 100000]]}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("code", "kind"), EXAMPLES)
def test_an_example_gives_its_code_or_none(code, kind, folder, capsys):
    entry = CODES[code]
    text = getattr(entry, kind)
    if entry.form == "command":
        found = codes_of_command(text, capsys)
    else:
        found = codes_of_workflow(text) if entry.form == "workflow" else codes_of_profile(text)
    assert found == ({code} if kind == "wrong" else set())


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_text_and_a_page(code):
    entry = CODES[code]
    assert entry.meaning
    assert entry.meaning[-1] != "."
    assert entry.cause.endswith((".", "?"))
    assert (DOCS / f"{entry.page}.md").is_file()
    assert bool(entry.right) <= bool(entry.wrong)


def test_most_codes_have_an_example():
    assert sum(bool(entry.wrong) for entry in CODES.values()) > 50
