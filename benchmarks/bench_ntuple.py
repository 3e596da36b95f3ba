"""The dimuon analysis of RNTuples against that of trees with the same events: CPU seconds of all processes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setting import CHUNK, BenchmarkError, Options, Row, data_folder, dimuon_workflow, middle, run_workflow, workspace


def as_ntuples(trees: Path) -> Path:
    """Return a folder with the events of `trees` as RNTuples, with equal clusters; written once."""
    import uproot

    folder = trees.with_name(f"{trees.name}-ntuples")
    if folder.exists():
        return folder
    print(f"converting to {folder}", file=sys.stderr)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for path in sorted(trees.glob("*.root")):
        with uproot.open(path) as file, uproot.recreate(partial / path.name, compression=uproot.ZSTD(1)) as out:
            ntuple = None
            for events in file["Events"].iterate(step_size=CHUNK):
                if ntuple is None:
                    ntuple = out.mkrntuple("Events", events)
                else:
                    ntuple.extend(events)
    return partial.rename(folder)


def _results(run: Path) -> dict[str, str]:
    return {str(path.relative_to(run)): path.read_text() for path in sorted((run / "results").rglob("*.json"))}


def _pair(events: int, options: Options) -> tuple[float, float]:
    """Return median CPU seconds of RNTuples and of trees; runs alternate, results must be equal."""
    trees = data_folder(events, options.triggers)
    folders = {"trees": trees, "ntuples": as_ntuples(trees)}
    used: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(options.repeats):
        with workspace() as folder:
            for name, data in folders.items():
                (folder / name).mkdir()
                workflow = dimuon_workflow(folder / name, data)
                chunk = ("--chunk-size", str(CHUNK))
                used[name].append(run_workflow(workflow, folder / name / "run", *chunk, "--no-plots").cpu)
            if _results(folder / "trees" / "run") != _results(folder / "ntuples" / "run"):
                raise BenchmarkError("results of trees and RNTuples differ")
    return middle(used["ntuples"]), middle(used["trees"])


def ntuple(options: Options) -> list[Row]:
    """Marginal cost per event, and the cost of a whole run."""
    ours_small, trees_small = _pair(options.small, options)
    ours, trees = _pair(options.events, options)
    extra = (options.events - options.small) / 1e6
    slope, trees_slope = (ours - ours_small) / extra, (trees - trees_small) / extra
    millions = options.events / 1e6
    return [
        Row("dimuon on RNTuples, per event", slope, "µs CPU", slope / trees_slope, 1.0, reference=trees_slope),
        Row(f"dimuon on RNTuples, {millions:g} M events", ours, "s CPU", ours / trees, 1.0, reference=trees),
    ]
