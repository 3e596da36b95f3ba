"""Input formats in whole runs: one that is registered by an entry point alone, and RNTuples in place of trees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

from integration.cluster_runs import differences, results

pytestmark = pytest.mark.integration
FAKE = Path(__file__).parent / "fake_source" / "fake_source.py"
METADATA = "Metadata-Version: 2.1\nName: fake-source\nVersion: 1.0\n"
EVENTS = 95


@pytest.fixture
def command(tmp_path):
    """Run a command where a package with the source ``lines`` is installed; return its exit code and output."""
    installed = tmp_path / "site-packages"
    info = installed / "fake_source-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(FAKE, installed)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[fasthep_parsl.sources]\nlines = fake_source:Lines\n")

    def run(*arguments, cwd=tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "fasthep_parsl", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(installed)},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


WORKFLOW = """
data: {datasets: [{name: toy, files: [a.txt, b.txt]}]}
sources:
  events: {kind: lines, separator: ";"}
analysis:
  stages:
    - {id: Kept, op: hep.selection.cutflow, params: {selection: {all: [charge > 0]}}}
    - {id: Mass, op: hep.hist, params: {axes: [{name: mass, source: mass, bins: {nbins: 10, low: 80, high: 100}}]}}
execution: {chunk_size: 20, pools: {default: {workers: 2}}}
"""


@pytest.fixture
def toy(tmp_path):
    """A workflow over two text files; returns it and all masses and charges."""
    random = np.random.default_rng(1)
    mass, charge = random.normal(90, 4, 2 * EVENTS), random.integers(-1, 2, 2 * EVENTS)
    for number, name in enumerate("ab"):
        part = slice(number * EVENTS, (number + 1) * EVENTS)
        rows = [f"{m!r};{c}" for m, c in zip(mass[part].tolist(), charge[part].tolist(), strict=True)]
        (tmp_path / f"{name}.txt").write_text("\n".join(["mass;charge", *rows]))
    (tmp_path / "toy.yaml").write_text(WORKFLOW)
    return tmp_path / "toy.yaml", mass, charge


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_an_analysis_of_a_registered_format_runs_to_the_end(command, toy, backend, tmp_path):
    flow, mass, charge = toy
    code, output = command("run", flow, "--backend", backend, "--outdir", tmp_path / "run", "--no-plots")
    assert code == 0, output
    found = results(tmp_path / "run")
    kept = mass[charge > 0]
    values = found["Mass/hist.json"]["storage"]["values"]
    expected = np.histogram(kept, bins=10, range=(80, 100))[0].tolist()
    assert values[1:-1] == expected
    assert sum(values) == len(kept)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["source"]["kind"], plan["source"]["params"]) == ("lines", {"separator": ";"})
    assert [file["edges"] for file in plan["datasets"][0]["files"]] == [[0, 20, 40, 60, 80, EVENTS]] * 2
    assert "fake_source" in plan["software"]


def test_its_fields_are_checked_and_in_the_schema(command, toy):
    flow, _, _ = toy
    flow.write_text(WORKFLOW.replace("separator: ", "seperator: "))
    code, output = command("plan", flow)
    assert code == 2
    assert "error[E102]: unknown key `seperator` in `sources.events`" in output
    assert "toy.yaml:4:25" in output
    assert "did you mean `separator`?" in output
    flow.write_text(WORKFLOW.replace("kind: lines", "kind: line"))
    code, output = command("plan", flow)
    assert code == 2
    assert "error[E110]: unknown source `line`" in output
    assert "toy.yaml:4:18" in output
    assert "did you mean `lines`?" in output
    code, output = command("schema")
    assert code == 0
    kinds = {item["properties"]["kind"]["const"]: item for item in json.loads(output)["$defs"]["SourceSpec"]["anyOf"]}
    assert {"lines", "root_tree", "parquet"} <= kinds.keys()
    assert "separator" in kinds["lines"]["properties"]
    assert [name for name, item in kinds.items() if "default" in item["properties"]["kind"]] == ["root_tree"]
    assert [name for name, item in kinds.items() if "kind" not in item["required"]] == ["root_tree"]
    assert kinds["root_tree"]["required"] == []  # datasets can have trees
    assert not kinds["parquet"]["additionalProperties"]


def test_all_files_failing_alike_point_at_the_field_that_is_wrong(command, toy):
    flow, _, _ = toy
    flow.write_text(WORKFLOW.replace(' separator: ";"', ' separator: "|"'))
    code, output = command("plan", flow)
    assert code == 2
    assert "(all 2 input files)" in output
    assert "(sources.events.separator)" in output


def test_the_dimuon_analysis_of_rntuples_has_the_results_of_trees(command, checkout):
    code, output = command(
        "run", "configs/dimuon.yaml", "--outdir", "trees", "--no-plots", "--backend", "local", cwd=checkout
    )
    assert code == 0, output
    for path in (checkout / "demo" / "data").glob("*.root"):
        with uproot.open(path) as file:
            events = file["Events"].arrays()
        with uproot.recreate(path) as file:
            file.mkrntuple("Events", events[:300]).extend(events[300:])
        with uproot.open(path) as file:
            assert file.classnames() == {"Events;1": "ROOT::RNTuple"}
    code, output = command(
        "run", "configs/dimuon.yaml", "--outdir", "ntuples", "--no-plots", "--chunk-size", "150", cwd=checkout
    )
    assert code == 0, output
    found, expected = results(checkout / "ntuples"), results(checkout / "trees")
    assert len(expected) > 5
    assert found.keys() == expected.keys()
    assert differences(found, expected) == []
