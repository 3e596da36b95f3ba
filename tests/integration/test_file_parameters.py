"""Ops read corrections from files that the workflow names: with every backend, after moves, and never edited ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

OPS = """
import json, os
from functools import lru_cache
from pathlib import Path

import numpy as np
from fasthep_parsl import InputFile, InputFolder, op


@lru_cache
def corrections(path):
    content = json.loads(path.read_text())["corrections"][0]["data"]
    return np.asarray(content["edges"]), np.asarray(content["content"])


@op("sf.weight", reads=["x"], product="sums", merge=lambda a, b: {"w": a["w"] + b["w"], "n": a["n"] + b["n"]},
    per_partition=True)
def weight(events, *, tables: dict[str, InputFile], model: InputFolder | None = None, spoil: str = ""):
    x = np.asarray(events.x)
    if os.environ.get("FAIL") and 60 in x:
        raise RuntimeError("later")
    total = np.ones(len(x))
    for name, table in tables.items():
        edges, content = corrections(table)
        total = total * content[np.clip(np.searchsorted(edges, x, "right") - 1, 0, len(content) - 1)]
    if model is not None:
        total = total + float((model / "variables" / "bias.txt").read_text())
    if spoil:  # what was read is no longer there for others
        for name in ("muon/sf.json", "jet/sf.json", "model/variables/bias.txt"):
            Path(spoil, name).write_text("spoilt")
    return {"w": float(total.sum()), "n": len(x)}
"""
EDGES, MUON, JET, BIAS = [0, 50, 100, 150, 200], [1, 2, 3, 4], [0.5, 1, 1.5, 2], 0.25
TABLES = {"muon": "muon/sf.json", "jet": "jet/sf.json"}


def write_table(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"nodetype": "binning", "input": "x", "edges": EDGES, "content": content, "flow": "clamp"}
    path.write_text(json.dumps({"schema_version": 2, "corrections": [{"name": "sf", "version": 1, "data": data}]}))


def expected(jet=JET):
    return {"w": sum(MUON[x // 50] * jet[x // 50] + BIAS for x in range(200)), "n": 200}


def write_flow(folder, counted, backend, **params):
    content = {
        "version": "1.0",
        "use": {"modules": ["sf_ops.py"]},
        "data": {"datasets": [{"name": "d", "files": [str(counted)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {
            "stages": [{"id": "W", "op": "sf.weight", "params": {"tables": TABLES, "model": "model", **params}}]
        },
        "execution": {"backend": backend, "strategy": "local", "pools": {"default": {"workers": 2}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML


@pytest.fixture(params=["local", "parsl"])
def analysis(request, tmp_path, counted):
    """A folder with a workflow, its ops, two tables of one name, and a model."""
    (tmp_path / "sf_ops.py").write_text(OPS)
    write_table(tmp_path / "muon" / "sf.json", MUON)
    write_table(tmp_path / "jet" / "sf.json", JET)
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "variables" / "bias.txt").write_text(str(BIAS))
    write_flow(tmp_path, counted, request.param)
    return tmp_path, request.param


def run(folder, *options, **environment):
    """Run from elsewhere: nothing is found because of the current folder."""
    command = [sys.executable, "-P", "-m", "fasthep_parsl", "run", str(folder / "flow.yaml"), "--no-plots", "-q"]
    done = subprocess.run(
        [*command, "--outdir", str(folder / "run"), "--chunk-size", "25", *options],
        check=False,
        cwd="/",
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    return done.returncode, " ".join(done.stdout.split())


def product(folder):
    return json.loads((folder / "run" / "results" / "W" / "sums.json").read_text())


def test_ops_read_the_files_and_the_run_says_which(analysis):
    folder, _ = analysis
    code, said = run(folder)
    assert code == 0, said
    assert product(folder) == expected()
    files = json.loads((folder / "run" / "run.json").read_text())["parameter_files"]
    assert [(file["name"], file["uses"]) for file in files] == [
        ("sf.json", ["W.tables.muon"]),
        ("sf.json", ["W.tables.jet"]),
        ("model", ["W.model"]),
    ]
    assert [file["path"] for file in files[:2]] == [str(folder / "muon" / "sf.json"), str(folder / "jet" / "sf.json")]


def test_files_that_are_edited_while_the_run_goes_on(analysis, counted):
    """Other partitions and other workers read what the plan has seen."""
    folder, backend = analysis
    write_flow(folder, counted, backend, spoil=str(folder))
    code, said = run(folder)
    assert code == 0, said
    assert (folder / "jet" / "sf.json").read_text() == "spoilt"
    assert product(folder) == expected()


def test_resume_notices_an_edit_and_no_move(analysis, counted):
    folder, backend = analysis
    code, said = run(folder, FAIL="1")
    assert code == 3, said
    jet = folder / "jet" / "sf.json"
    times = jet.stat()
    write_table(jet, [0.5, 1, 1.5, 3])  # of the same size
    os.utime(jet, ns=(times.st_atime_ns, times.st_mtime_ns))
    code, said = run(folder, "--resume")
    assert code == 2
    assert "contains another run: sf.json changed" in said
    write_table(jet, JET)
    jet.parent.rename(folder / "jets")
    write_flow(folder, counted, backend, tables={"muon": "muon/sf.json", "jet": "jets/sf.json"})
    code, said = run(folder, "--resume")
    assert code == 0, said
    assert product(folder) == expected()
    write_table(folder / "jets" / "sf.json", [0.5, 1, 1.5, 3])
    assert run(folder, "--force")[0] == 0
    assert product(folder) == expected(jet=[0.5, 1, 1.5, 3])


def test_a_copy_that_is_damaged_is_written_again(analysis):
    folder, _ = analysis
    assert run(folder, FAIL="1")[0] == 3
    for copy in (folder / "run" / "code" / "files").rglob("sf.json"):
        copy.chmod(0o644)
        copy.write_text("{}")
    code, said = run(folder, "--resume")  # the driver writes it again
    assert code == 0, said
    assert product(folder) == expected()


def test_a_misspelt_file_starts_nothing(analysis, counted):
    folder, backend = analysis
    write_flow(folder, counted, backend, tables={"muon": "muon/sf.jsn"})
    code, said = run(folder)
    assert code == 2
    assert "error[E113]" in said
    assert "flow.yaml:1:" in said
    assert "did you mean `sf.json`?" in said
    assert not (folder / "run").exists()
