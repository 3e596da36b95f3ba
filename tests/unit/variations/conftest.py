"""Files with changed branches: what a variation must equal."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

SIZES = {"a": [23, 11], "b": [17], "data": [13]}
"""Dataset → events in each of its files."""


def events_of(seed, size):
    """Return events with jets whose values are small fractions: sums of them are exact."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 5, size)
    total = int(counts.sum())
    pt = random.integers(8, 400, total) / 4
    phi = random.integers(-24, 24, total) / 8
    eta = random.integers(-20, 20, total) / 8
    return {
        "x": np.arange(size) + 1000 * seed,
        "met": (random.integers(0, 400, size) / 4).astype("f8"),
        "w": (random.integers(1, 16, size) / 8).astype("f8"),
        "Jet_pt": ak.unflatten(pt, counts),
        "Jet_eta": ak.unflatten(eta, counts),
        "Jet_phi": ak.unflatten(phi, counts),
    }


def write_events(path: Path, events):
    jets = ak.zip({"pt": events["Jet_pt"], "eta": events["Jet_eta"], "phi": events["Jet_phi"]})
    with uproot.recreate(path) as file:
        types = {"x": np.dtype("i8"), "met": np.dtype("f8"), "w": np.dtype("f8"), "Jet": jets.type.content}
        tree = file.mktree("Events", types, counter_name=lambda n: f"n{n}", field_name=lambda o, i: f"{o}_{i}")
        tree.extend({"x": events["x"], "met": events["met"], "w": events["w"], "Jet": jets})
    return path


class Samples:
    """Writes the datasets, with some branches changed in some of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name="nominal", change=None, datasets=SIZES):
        """Return the section `data`; `change` maps events to changed branches, in `datasets`."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        listed, seed = [], 0
        for dataset, sizes in SIZES.items():
            files = []
            for number, size in enumerate(sizes):
                seed += 1
                events = events_of(seed, size)
                if change is not None and dataset in datasets:
                    events |= change(events)
                files.append(str(write_events(folder / f"{dataset}{number}.root", events)))
            listed.append({"name": dataset, "files": files, "eventtype": "data" if dataset == "data" else "mc"})
        return {"datasets": listed}


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    return Samples(tmp_path_factory.mktemp("samples"))


def _histogram(product, variation, dataset):
    if not hasattr(product, "parts"):
        return product.hist[..., dataset].view(flow=True).tolist()
    if dataset not in product.parts:  # the variation does not apply to it
        return None
    hist = product.parts[dataset].hist
    names = [axis.name for axis in hist.axes]
    if names[-1] != "variation@":
        return hist.view(flow=True).tolist()
    known = list(hist.axes[-1])
    return hist[..., variation if variation in known else "nominal"].view(flow=True).tolist()


def _numbers(product, variation, datasets):
    """Return the numbers of a product; of histograms and cutflows those of some datasets."""
    if hasattr(product, "hist") or hasattr(product, "parts"):
        return [_histogram(product, variation, dataset) for dataset in datasets]
    if hasattr(product, "rows"):
        rows = product.variations.get(variation, {})
        return [rows.get(dataset, product.rows.get(dataset)) for dataset in datasets]
    return product if len(datasets) == len(SIZES) else None


@pytest.fixture(scope="session")
def in_variation():
    """Return stage → numbers in a variation: those of the copy if there is one."""

    def found(products, name="", datasets=tuple(SIZES)):
        return {
            stage: _numbers(products.get((f"{stage}@{name}", kind), product), name, datasets)
            for (stage, kind), product in products.items()
            if "@" not in stage
        }

    return found
