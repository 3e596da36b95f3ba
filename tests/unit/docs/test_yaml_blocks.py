"""Every YAML block of the documentation is valid: workflows compile, parts of workflows have valid keys, profiles load."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError, Problem

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
BASE = {
    "version": "1.0",
    "data": {"datasets": [{"name": "dy", "files": ["data/dy_*.root"]}]},
    "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
    "analysis": {"stages": [{"id": "Selection", "op": "hep.select", "params": {"selection": ["nMuon >= 2"]}}]},
}
UNKNOWN = {"E110", "E114", "E121", "E131", "E132", "E136", "E141"}
"""Codes of what a part of a workflow cannot contain: the ops, stages, files, environments and GPUs that it names."""


def blocks() -> list[Any]:
    """Return all YAML blocks that are not files of a plug-in page, which other tests run."""
    found = []
    for page in sorted(PAGES):
        for number, match in enumerate(
            re.finditer(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        ):
            if not re.match(r"# [\w/]+\.yaml\b", match[1]):
                found.append(pytest.param(yaml.safe_load(match[1]), id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def is_profile(content: Any) -> bool:
    return isinstance(content, dict) and ("extends" in content or "worker_init" in content)


def workflow(content: Any) -> tuple[dict[str, Any], set[str]]:
    """Return a whole workflow with `content` in it, and the codes of problems that it may have."""
    if isinstance(content, list):
        if "op" in content[0]:
            stages = [*BASE["analysis"]["stages"], *content]
            return {**BASE, "analysis": {"stages": stages}}, UNKNOWN
        return {**BASE, "data": {"datasets": content}}, UNKNOWN
    if "gpu" in content:
        return {**BASE, "execution": {"pools": content}}, UNKNOWN
    if "use" in content:
        return {**BASE, **content}, {"E100", "E112"}
    return ({**BASE, **content}, set()) if "version" in content else ({**BASE, **content}, UNKNOWN)


def problems(path: Path) -> tuple[Problem, ...]:
    try:
        compile_plan(path, site="local")
    except ConfigError as error:
        return error.problems
    return ()


@pytest.fixture
def folder(tmp_path, demo_data, monkeypatch):
    shutil.copytree(demo_data, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("content", [block for block in blocks() if not is_profile(block.values[0])])
def test_a_workflow_or_a_part_of_one_is_valid(content, folder):
    found, allowed = workflow(content)
    path = folder / "analysis.yaml"
    path.write_text(json.dumps(found).replace("root://", f"{folder}/remote/"))  # no test needs a network
    assert [problem for problem in problems(path) if problem.code not in allowed] == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [block for block in blocks() if is_profile(block.values[0])])
def test_a_site_profile_is_valid(content, folder, capsys):
    path = folder / "mine.yaml"
    path.write_text(json.dumps({"extends": "generic_slurm", **content}))
    code = invoke(["sites", "check", str(path), "--set", "network.address=127.0.0.1"])
    output = capsys.readouterr()
    assert code == 0, output.out + output.err


def test_there_are_blocks_of_both_kinds():
    found = [is_profile(block.values[0]) for block in blocks()]
    assert found.count(True) > 15
    assert found.count(False) > 12
