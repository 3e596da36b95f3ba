"""Write the demo data: distribute the events over files, generate them, and publish the files when all are complete."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from fasthep_parsl.demo.checks import MANIFEST, PARTIAL, check_arguments, check_folder, own_files, unwritable
from fasthep_parsl.demo.recipes import RECIPES, Like, Recipe
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.ops.arrays import ak, np

CLUSTER_EVENTS: Final = 100_000
"""Number of events generated and written at once, which is the cluster size of the files."""

COMPRESSION_LEVEL: Final = 1
"""Level of zstd. Level 3 makes files 5 % smaller, but writing 15 % slower."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file to write: events ``[first, last)`` of a dataset; `before` is the number of events of earlier datasets."""

    name: str
    dataset: str
    before: int
    first: int
    last: int
    norm: float


def write_demo_data(
    directory: str | Path,
    events: int,
    *,
    like: Like = "dimuon",
    seed: int = 1,
    datasets: Mapping[str, float] | None = None,
    file_events: int = 500_000,
    triggers: int = 0,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write NanoAOD-like files ``<dataset>_<number>.root`` with a tree ``Events``.

    The same seed gives the same events with any number of threads. Files appear when they are complete.

    Parameters
    ----------
    directory : path
        Created if missing. Files in it are replaced only if an earlier call wrote them.
    events : int
        Number of events in all datasets together.
    like : "dimuon" or "agc"
        Analysis for which data are written. ``dimuon``: datasets ``data``, ``dy``, ``ttbar`` and ``zz``; ``genWeight`` of
        simulated events is normalised to ``data``, and some weights are negative. ``agc``: the samples of the Analysis
        Grand Challenge, ``ttbar_nominal``, ``ttbar_scaledown`` …, ``wjets``, its ``corrections.json``, and models for its
        classifier.
    seed : int
        Seed of the random numbers, 0 or larger.
    datasets : mapping of str to float, optional
        Dataset → its share of the events; default: all datasets of the recipe, with its shares.
    file_events : int
        Maximum number of events per file.
    triggers : int
        Number of additional trigger paths ``HLT_Path000`` …, which never fire. They make files as wide as real ones
        (about 1500 branches), so that opening them takes as long.
    threads : int, optional
        Number of files to write at the same time; default: one per core. Each needs about 150 MB.
    progress : callable, optional
        Called with the number of events of each cluster that has been written.

    Returns
    -------
    list of Path
        The ROOT files, in the order of `datasets`, then other files.

    Raises
    ------
    ConfigError
        A number is too small, a dataset or `like` is unknown, or the directory has other files or cannot be written.
    """
    if like not in RECIPES:
        message = f"no demo data are like `{like}`"
        raise ConfigError(Problem("E171", message, hint=suggest(like, RECIPES, what="analyses"), name=like))
    recipe = RECIPES[like]
    shares = dict(recipe.shares if datasets is None else datasets)
    numbers = {
        "events": (events, 1, "try 4000"),
        "seed": (seed, 0, "give a whole number from 0 on"),
        "file_events": (file_events, 1, "500000 is usual"),
        "triggers": (triggers, 0, "0 is usual"),
        "threads": (1 if threads is None else threads, 1, "leave it out to use all cores"),
    }
    check_arguments(numbers, shares, recipe.shares)
    folder = Path(directory)
    check_folder(folder)
    files = _distribute(events, shares, file_events, recipe)
    report = progress or (lambda _: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        with ThreadPoolExecutor(threads or min(len(os.sched_getaffinity(0)), 8)) as pool:
            jobs = [
                pool.submit(_write_file, partial / file.name, recipe, file, seed, triggers, report) for file in files
            ]
            for job in jobs:
                job.result()
        try:
            for name, document in recipe.documents.items():
                (partial / name).write_text(json.dumps(document(), indent=1) + "\n")
            names = [*(file.name for file in files), *recipe.documents]
            return _publish(folder, partial, names, {"like": like, "events": events, "seed": seed})
        except OSError as error:
            raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _distribute(events: int, shares: Mapping[str, float], file_events: int, recipe: Recipe) -> list[_File]:
    """Distribute the events over datasets and files. Each event is in exactly one file."""
    edges = np.rint(np.cumsum([0.0, *shares.values()]) / sum(shares.values()) * events).astype(int)
    sizes = {name: int(size) for name, size in zip(shares, np.diff(edges), strict=True) if size}
    norms = recipe.norms(sizes)
    files: list[_File] = []
    before = 0
    for dataset, size in sizes.items():
        count = -(-size // file_events)
        cuts = [size * number // count for number in range(count + 1)]
        files += [
            _File(f"{dataset}_{number:03d}.root", dataset, before, first, last, norms[dataset])
            for number, (first, last) in enumerate(pairwise(cuts))
        ]
        before += size
    return files


def _write_file(
    path: Path, recipe: Recipe, file: _File, seed: int, triggers: int, progress: Callable[[int], None]
) -> None:
    written = _written(path, recipe, file, seed, triggers)
    while True:
        try:
            size = next(written)
        except StopIteration:
            return
        except OSError as error:
            raise unwritable(path.parents[1], error) from error
        progress(size)  # an error of the caller's is not one of the disk


def _written(path: Path, recipe: Recipe, file: _File, seed: int, triggers: int) -> Iterator[int]:
    """Write a file and yield the number of events after each cluster."""
    import uproot

    types: dict[str, Any] = {name: np.dtype(kind) for name, kind in recipe.branches.items()}
    types |= {
        name: ak.types.from_datashape(f"var * {{{_record(fields)}}}", highlevel=False)
        for name, fields in recipe.collections.items()
    }
    silent = [f"HLT_Path{number:03d}" for number in range(triggers)]
    types |= dict.fromkeys(silent, np.dtype(bool))
    with uproot.recreate(path, compression=uproot.ZSTD(COMPRESSION_LEVEL)) as output:
        tree = output.mktree("Events", types, title="Events", counter_name=lambda name: f"n{name}")
        for first in range(file.first, file.last, CLUSTER_EVENTS):
            size = min(CLUSTER_EVENTS, file.last - first)
            tree.extend(_draw(recipe, file, first, size, seed) | dict.fromkeys(silent, np.zeros(size, bool)))
            yield size


def _record(fields: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}": {kind}' for name, kind in fields.items())


def _draw(recipe: Recipe, file: _File, first: int, size: int, seed: int) -> dict[str, Any]:
    """Generate events `first` to ``first + size`` of a dataset. They depend only on these numbers and the seed."""
    rng = np.random.Generator(np.random.SFC64([seed, zlib.crc32(file.dataset.encode()), first]))
    return recipe.draw(rng, file.dataset, size, file.before + first, file.norm)


def _publish(folder: Path, partial: Path, names: list[str], facts: Mapping[str, int | str]) -> list[Path]:
    """Move complete files into place. At any time, the manifest lists at least the files that are there."""
    stale = sorted(set(own_files(folder) or ()) - {MANIFEST} - set(names))
    _write_manifest(folder, partial, [*names, *stale], facts)
    for name in names:
        (partial / name).replace(folder / name)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    for rest in folder.glob(f"{PARTIAL}*"):  # of calls that were killed
        if rest.name != partial.name:  # not the paths: mkdtemp returns an absolute one from Python 3.12 on
            shutil.rmtree(rest, ignore_errors=True)
    _write_manifest(folder, partial, names, facts)
    return [folder / name for name in names]


def _write_manifest(folder: Path, partial: Path, names: list[str], facts: Mapping[str, int | str]) -> None:
    temporary = partial / MANIFEST
    temporary.write_text(json.dumps({"made_by": "fasthep-parsl demo-data", **facts, "files": names}, indent=1) + "\n")
    temporary.replace(folder / MANIFEST)
