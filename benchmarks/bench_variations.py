"""CPU of the dimuon analysis with systematic variations, compared with the nominal one.

`weights`: every histogram has 50 variations of its weight. `objects`: the momenta of the muons vary 20 times, so that the
selection of muons, the pairs and the histograms are computed again. The share of these stages is measured in the nominal
run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from setting import CHUNK, BenchmarkError, Options, Row, data_folder, dimuon_workflow, middle, run_workflow, workspace

WEIGHTS, OBJECTS = 50, 20


def _with_weights(content: dict[str, Any]) -> None:
    """Give all histograms a weight with 50 variations, up and down of 25 factors, made after the last selection."""
    factors: dict[str, Any] = {"generator": "weight"}
    for number in range(WEIGHTS // 2):
        size = 0.001 * (number + 1)
        sides = {side: f"1 {sign} {size} * (PV_npvsGood > 20)" for side, sign in (("up", "+"), ("down", "-"))}
        factors[f"factor_{number}"] = {"nominal": "1.0", **sides}
    stage = {"id": "Weight", "op": "hep.weight", "params": {"output": "event_weight", "factors": factors}}
    stages = content["analysis"]["stages"]
    first = next(number for number, each in enumerate(stages) if each["op"] == "hep.hist")
    for each in stages[first:]:
        each["needs"] = ["Weight"]
        each["params"]["weight_expr"] = "event_weight"
    stages.insert(first, stage)


def _with_objects(content: dict[str, Any]) -> None:
    """Scale the momenta of all muons, 20 times."""
    content["systematics"] = {
        "variations": [
            {"name": f"scale_{n}", "replace": {"fields": {"Muon_pt": f"Muon_pt * {1 + 0.001 * (n + 1)}"}}}
            for n in range(OBJECTS)
        ]
    }


def _changed(folder: Path, nominal: Path, name: str, change: Any) -> Path:
    content = yaml.safe_load(nominal.read_text())
    change(content)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _cpu_of_stages(outdir: Path) -> float:
    """Return the CPU seconds of all stages of a run: each of them depends on the muons."""
    run = json.loads((outdir / "run.json").read_text())
    return float(sum(row["cpu_seconds"] for row in run["stages"].values()))


def variations(options: Options) -> list[Row]:
    """Measure all workflows in turn, and compare their medians."""
    data = data_folder(options.events, options.triggers)
    cpu: dict[str, list[float]] = {"nominal": [], "weights": [], "objects": []}
    shares = []
    with workspace() as folder:
        nominal = dimuon_workflow(folder, data)
        paths = {
            "nominal": nominal,
            "weights": _changed(folder, nominal, "weights", _with_weights),
            "objects": _changed(folder, nominal, "objects", _with_objects),
        }
        for number in range(options.repeats):
            for name, path in paths.items():
                outdir = folder / f"{name}-{number}"
                usage = run_workflow(path, outdir, "--chunk-size", str(CHUNK), "--no-plots")
                cpu[name].append(usage.cpu)
                if name == "nominal":
                    shares.append(_cpu_of_stages(outdir) / usage.cpu)
                if number == 0:
                    _check(outdir, name)
    base, share = middle(cpu["nominal"]), middle(shares)
    weights, objects = middle(cpu["weights"]), middle(cpu["objects"])
    millions = options.events / 1e6
    return [
        Row(f"dimuon, {millions:g} M events, {WEIGHTS} weights on every histogram", weights, "s CPU", weights / base,
            1.6, reference=base),
        Row(f"dimuon, {millions:g} M events, {OBJECTS} variations of muon momenta", objects, "s CPU", objects / base,
            1 + OBJECTS * share * 1.1, reference=base, note=f"affected stages: {share:.1%} of the nominal CPU"),
    ]  # fmt: skip


def _check(outdir: Path, name: str) -> None:
    """Every variation is there, and differs from the nominal content."""
    import numpy as np
    import uhi.io.json
    from hist import Hist

    expected = {"nominal": 0, "weights": WEIGHTS, "objects": OBJECTS}[name]
    text = (outdir / "results" / "DimuonMass" / "hist.json").read_text()
    found = Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
    names = list(found.axes["variation"]) if "variation" in [axis.name for axis in found.axes] else ["nominal"]
    if len(names) != 1 + expected:
        raise BenchmarkError(f"{name}: {len(names) - 1} variations instead of {expected}")
    contents = [found[{"variation": label}].values() for label in names[1:]]
    same = sum(np.array_equal(content, found[{"variation": "nominal"}].values()) for content in contents)
    if same:
        raise BenchmarkError(f"{name}: {same} variations are equal to the nominal histogram")
