"""Ops receive files as paths: through every modifier, in their own copy of the parameters, and beside bound products."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

OPS = Path(__file__).parents[2] / "file_ops.py"


@pytest.fixture
def flow(flow):
    shutil.copyfile(OPS, flow.folder / "file_ops.py")
    (flow.folder / "table.json").write_text('{"scale": 2}')
    return flow


def run(flow, stages, small_files):
    flow.write(stages, [small_files / "b.root"], use={"modules": ["file_ops.py"]})
    outcome = flow.run()
    assert outcome.status == "complete", outcome.summary["failures"]
    return outcome.products


MODIFIERS = [
    "diagnostics",
    "profile",
    {"kind": "profile", "what": "memory"},
    {"kind": "cuda.jit", "target": "cpu"},
    {"kind": "gpu.preload", "on_missing": "cpu"},
]


@pytest.mark.slow
@pytest.mark.parametrize("modifiers", [[], *([one] for one in MODIFIERS), MODIFIERS], ids=str)
def test_modifiers_pass_files_on(flow, small_files, modifiers):
    stages = [
        flow.stage("S", "file.scale", [], table="table.json"),
        flow.stage("N", "file.nested", [], by_name={"a": {"file": "table.json"}}),
        flow.stage("T", "hep.hist", ["N"], axes=[{"name": "s", "source": "scaled", "bins": [0, 1000]}]),
    ]
    for stage in stages[:2]:
        stage["execution"] = {"modifiers": modifiers}
    assert run(flow, stages, small_files)["S", "sums"] == [[80, "table.json"]]


def test_a_product_can_be_bound_to_a_file(flow, small_files):
    stages = [
        flow.stage("Train", "file.scale", [], table="table.json"),
        flow.stage("Bound", "file.model", [], bind=("Train", "sums", "weights")),
        flow.stage("Named", "file.model", [], weights="table.json"),
        flow.stage("None", "file.model", []),
    ]
    found = run(flow, stages, small_files)
    kinds = {stage: found[stage, "sums"][0] for stage in ("Bound", "Named", "None")}
    assert kinds == {"Bound": "list", "Named": "PosixPath", "None": "NoneType"}
