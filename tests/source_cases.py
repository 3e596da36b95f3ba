"""Examples of files for the contract tests of sources: parameters and a file for each, built-in ones made here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

import kind_examples
from fasthep_parsl import registry
from fasthep_parsl.interfaces import OpenInput

EVENTS, CLUSTER = 120, 40
NUMBERS = {"root_tree": 2}
"""Source → number of its examples, where it is not 1."""


@dataclass(frozen=True)
class Example:
    """A file that a source can read, and the parameters to read it."""

    source: str
    path: Path
    params: dict[str, Any]

    def open(self, path: Path | None = None) -> OpenInput:
        """Open the file, or another one with the same parameters."""
        return registry.load("sources", self.source)(**self.params).open(str(path or self.path))


def events() -> ak.Array:
    """Numbers, booleans, text, lists of two collections, and a record."""
    number = np.arange(EVENTS)
    muons, jets = number % 4, (number * 7) % 3
    return ak.zip(
        {
            "run": np.full(EVENTS, 1, np.uint32),
            "event": number.astype(np.uint64),
            "weight": (number * 0.25).astype(np.float32),
            "good": number % 3 == 0,
            "nMuon": muons.astype(np.uint32),
            "Muon_pt": _lists(muons, np.float32),
            "Muon_charge": _lists(muons, np.int32),
            "Jet_mass": _lists(jets, np.float64),
            "word": ak.Array([f"w{n}" * (n % 3) for n in number]),
        },
        depth_limit=1,
    )


def _lists(counts: np.ndarray, dtype: type) -> ak.Array:
    return ak.unflatten(np.arange(counts.sum()).astype(dtype), counts)


def write_tree(path: Path, name: str = "Events", found: ak.Array | None = None) -> Path:
    """Write events as a TTree; lists have a counter each."""
    import uproot

    found = events() if found is None else found
    with uproot.recreate(path) as file:
        muon = {field.removeprefix("Muon_"): found[field] for field in found.fields if field.startswith("Muon_")}
        columns = {field: found[field] for field in found.fields if field != "nMuon" and not field.startswith("Muon_")}
        columns |= {"Muon": ak.zip(muon)} if muon else {}  # branches with one counter
        tree = file.mktree(name, {key: _tree_type(column) for key, column in columns.items()})
        for start in range(0, len(found), CLUSTER):
            tree.extend({key: column[start : start + CLUSTER] for key, column in columns.items()})
    return path


def _tree_type(column: ak.Array) -> Any:
    return "string" if column.layout.parameter("__array__") == "string" else ak.type(column).content


def write_ntuple(path: Path, name: str = "Events", found: ak.Array | None = None) -> Path:
    """Write events as an RNTuple."""
    import uproot

    found = events() if found is None else found
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple(name, found[:CLUSTER])
        for start in range(CLUSTER, len(found), CLUSTER):
            ntuple.extend(found[start : start + CLUSTER])
    return path


def write_parquet(path: Path) -> Path:
    """Write events as Parquet."""
    ak.to_parquet(events(), path, row_group_size=CLUSTER)
    return path


def examples(folder: Path) -> dict[str, list[Example]]:
    """Return source → examples of its files, written to `folder`."""
    tree = {"tree": "Events"}
    found = {
        "root_tree": [
            Example("root_tree", write_tree(folder / "tree.root"), tree),
            Example("root_tree", write_ntuple(folder / "ntuple.root"), tree),
        ],
        "parquet": [Example("parquet", write_parquet(folder / "events.parquet"), {})],
    }
    base = Path(os.environ.get("FASTHEP_EXAMPLES", "")).parent
    for name, given in kind_examples.given("sources").items():
        found[name] = [Example(name, base / given["file"], given.get("params", {}))]
    return found
