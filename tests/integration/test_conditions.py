"""Data and simulation in one workflow: branches that only simulation has, stages that apply to a part, a branch per era."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import uproot

import fasthep_parsl as fp

EDGES = [0, 20, 40, 60, 80, 100]
USER_OPS = """
from fasthep_parsl import op

@op("custom.count", reads=["met"], product="n", scope="dataset", merge=lambda a, b: {**a, **b})
def count(events, *, context):
    return {context.dataset.name: sum(len(chunk) for chunk in events)}

@op("custom.sum", reads=["met"], product="n", scope="workflow", merge=lambda a, b: a)
def add(events):
    return sum(float(chunk.met.sum()) for chunk in events)
"""
WORKFLOW = """
version: "1.0"
use: {modules: [user_ops.py]}
data:
  datasets:
    - {name: run, files: [run_*.root], eventtype: data, era: 2018}
    - {name: dy, files: [dy_*.root], era: 2016, scale: 2}
    - {name: tt, files: [tt_*.root], era: 2018, scale: 3}
sources: {events: {tree: Events}}
fields:
  met: {branch: {2016: MET_pt, 2018: PuppiMET_pt}}
  gen: {branch: genWeight, applies_to: {eventtype: mc}, default: 1}
analysis:
  stages:
    - {id: Lumi, op: hep.select, params: {selection: ["run % 2 == 0"]}, applies_to: {eventtype: data}}
    - id: Truth
      op: hep.define
      applies_to: {eventtype: mc}
      params: {variables: [{name: true_pt, expr: "GenMET_pt * {dataset.scale}"}]}
    - {id: Good, op: hep.select, params: {selection: [met > 10]}, execution: {require: POOL}}
    - {id: Met, op: hep.hist, params: {dataset_axis: true, weight_expr: gen, axes: [{name: m, source: met, bins: EDGES}]}}
    - id: Gen
      op: hep.hist
      applies_to: {datasets: [dy, tt]}
      params: {dataset_axis: true, axes: [{name: m, source: true_pt, bins: EDGES}]}
    - {id: Late, op: hep.hist, applies_to: {eras: 2018}, params: {axes: [{name: m, source: met, bins: EDGES}]}}
    - {id: Flow, op: hep.selection.cutflow, params: {selection: [met > 30]}}
    - {id: PerDataset, op: custom.count, applies_to: {eventtype: mc}, execution: {require: OTHER}}
    - {id: Whole, op: custom.sum, applies_to: {eventtype: mc}}
execution:
  backend: BACKEND
  pools: {default: {workers: 2}, other: {workers: 1}}
"""


def write_files(folder: Path) -> dict[str, list[dict[str, np.ndarray]]]:
    """Write two files per dataset. Data lack what was generated; each era has its own missing energy."""
    rng = np.random.default_rng(5)
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for name, met in (("run", "PuppiMET_pt"), ("dy", "MET_pt"), ("tt", "PuppiMET_pt")):
        for number, size in enumerate((40, 23)):
            columns = {met: rng.uniform(0, 100, size).astype("f4")}
            if name == "run":
                columns["run"] = rng.integers(0, 10, size).astype("i4")
                columns["genWeight"] = np.full(size, 1e6, "f4")  # nobody may read it
            else:
                columns |= {"GenMET_pt": rng.uniform(0, 40, size), "genWeight": rng.choice([-1.0, 2.0], size)}
            with uproot.recreate(folder / f"{name}_{number}.root") as file:
                file.mktree("Events", {key: value.dtype for key, value in columns.items()})
                for part in np.array_split(np.arange(size), 3):
                    file["Events"].extend({key: value[part] for key, value in columns.items()})
            found.setdefault(name, []).append(columns)
    return found


def expected(files: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, object]:
    """Compute the results with plain loops."""
    met: dict[str, list[float]] = {name: [0.0] * 5 for name in files}
    gen: dict[str, list[float]] = {name: [0.0] * 5 for name in ("dy", "tt")}
    late, passed, counts, total = [0.0] * 5, 0, {"dy": 0, "tt": 0}, 0.0
    for name, parts in files.items():
        for part in parts:
            values = part["MET_pt" if name == "dy" else "PuppiMET_pt"]
            for i, value in enumerate(values):
                if name == "run" and part["run"][i] % 2:
                    continue
                if not value > 10:
                    continue
                met[name][int(value // 20)] += 1 if name == "run" else part["genWeight"][i]
                passed += value > 30
                if name != "dy":
                    late[int(value // 20)] += 1
                if name != "run":
                    counts[name] += int(value > 30)  # after the cutflow
                    total += float(value) * (value > 30)
                    true = part["GenMET_pt"][i] * {"dy": 2, "tt": 3}[name]
                    if true < 100:
                        gen[name][int(true // 20)] += 1
    return {"Met": met, "Gen": gen, "Late": late, "passed": passed, "PerDataset": counts, "Whole": total}


def histogram(folder: Path, stage: str) -> tuple[list[str], np.ndarray]:
    content = json.loads((folder / "results" / stage / "hist.json").read_text())
    names = content["axes"][1]["categories"] if len(content["axes"]) > 1 else [""]
    values = content["storage"]["values"]
    values = [v["value"] for v in values] if values and isinstance(values[0], dict) else values
    return names, np.reshape(values, (7, -1))[1:-1]


def run(folder: Path, backend: str, pool: str, chunk: int | None) -> Path:
    text = WORKFLOW.replace("BACKEND", backend).replace("EDGES", str(EDGES))
    text = text.replace("POOL", pool).replace("OTHER", "other")
    (folder / "user_ops.py").write_text(USER_OPS)
    (folder / "flow.yaml").write_text(text)
    out = folder / "out"
    result = fp.run(folder / "flow.yaml", site="local", outdir=out, plots=False, chunk_size=chunk)
    assert result.exit_code == 0
    return out


@pytest.mark.parametrize(
    ("backend", "pool", "chunk"),
    [("local", "default", None), ("local", "default", 1), ("local", "other", 7), ("parsl", "other", None)],
)
def test_data_and_simulation_in_one_workflow(tmp_path, backend, pool, chunk):
    files = write_files(tmp_path)
    wanted = expected(files)
    out = run(tmp_path, backend, pool, chunk)
    names, values = histogram(out, "Met")
    for name, counts in wanted["Met"].items():
        assert values[:, names.index(name)].tolist() == pytest.approx(counts, rel=1e-12), name
    names, values = histogram(out, "Gen")
    for name in ("dy", "tt"):
        assert values[:, names.index(name)].tolist() == wanted["Gen"][name], name
    assert values.sum() == sum(map(sum, wanted["Gen"].values()))
    assert histogram(out, "Late")[1][:, 0].tolist() == wanted["Late"]
    assert json.loads((out / "results" / "PerDataset" / "n.json").read_text()) == wanted["PerDataset"]
    assert json.loads((out / "results" / "Whole" / "n.json").read_text()) == pytest.approx(wanted["Whole"], rel=1e-6)
    stages = json.loads((out / "run.json").read_text())["stages"]
    sizes = {name: sum(len(next(iter(part.values()))) for part in parts) for name, parts in files.items()}
    assert stages["Lumi"]["events_in"] == sizes["run"]
    assert stages["Truth"]["events_in"] == sizes["dy"] + sizes["tt"]
