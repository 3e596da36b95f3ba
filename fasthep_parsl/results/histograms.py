"""Write histograms as UHI JSON, and all of them to one ROOT file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.names import file_name
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.products import Histogram

METADATA_KEY = "fasthep_{}"
"""Keys in the UHI metadata for ``title``, ``none``, ``nan`` and ``extent``; UHI allows no mapping there."""
EXTENT = "extent"
"""Name of the text in ROOT files that says which events they are of, if not of all."""


def as_histogram(product: Any) -> Histogram | None:
    """Return `product` as a `Histogram` if it is one or is a bare ``hist.Hist``, else None."""
    if isinstance(product, Histogram):
        return product
    is_hist = hasattr(product, "axes") and hasattr(product, "_to_uhi_")
    return Histogram(product) if is_hist else None


def dataset_axis(hist: Any, datasets: Sequence[DatasetInfo]) -> int | None:
    """Return the position of the axis whose categories are datasets, or None.

    It is an axis named ``dataset``, or one whose categories are all names of datasets.
    """
    known = {dataset.name for dataset in datasets}
    for position, axis in enumerate(hist.axes):
        categories = categories_of(axis)
        if categories is None or not all(isinstance(category, str) for category in categories):
            continue
        if axis.name == "dataset" or (categories and known.issuperset(categories)):
            return position
    return None


def categories_of(axis: Any) -> list[Any] | None:
    """Return the categories of an axis with names or integers as bins, None for other axes."""
    return list(axis) if type(axis).__name__ in ("StrCategory", "IntCategory") else None


def write_json(histogram: Histogram, path: Path, extent: str = "") -> Path:
    """Write `histogram` as UHI JSON, with its title and the counts of missing values in the metadata (`METADATA_KEY`).

    `extent` says which events it is of, if not of all.
    """
    import uhi.io.json

    content = uhi.io.json.default(histogram.hist)
    own = {"title": histogram.title, "none": histogram.none, "nan": histogram.nan}
    own |= {EXTENT: extent} if extent else {}
    content["metadata"] = {
        **content.get("metadata", {}),
        **{METADATA_KEY.format(key): value for key, value in own.items()},
    }
    return write_text(path, json_text(content, default=uhi.io.json.default) + "\n")


def write_root(
    histograms: Mapping[str, Histogram], path: Path, datasets: Sequence[DatasetInfo], extent: str = ""
) -> Path:
    """Write all histograms to one ROOT file.

    Parameters
    ----------
    histograms : mapping
        Name in the file → histogram. A histogram with a dataset axis becomes a folder with one TH1/2/3 per dataset;
        `file_name` gives the name. Regions are folders around it. Of systematic variations only the nominal content is
        written: a TH1 costs a millisecond, and templates are the ROOT files for fits.
    path : Path
        The file; replaced if it exists.
    datasets : sequence of DatasetInfo
        Datasets of the run.
    extent : str
        Which events the histograms are of, if not of all: in their titles, and in the text `EXTENT` of the file.
    """
    import numpy as np
    import uproot

    # uproot computes the mean of infinite bins, which is invalid
    with np.errstate(invalid="ignore"), atomic(path) as draft, uproot.recreate(draft) as file:
        if extent:
            file[EXTENT] = extent
        for name, histogram in histograms.items():
            title = f"{histogram.title} ({extent})".lstrip() if extent else histogram.title
            for key, hist in _singles(name, histogram, datasets):
                writable = _for_root(hist, title)
                if writable is not None:
                    file[key] = writable
    return path


def _singles(name: str, histogram: Histogram, datasets: Sequence[DatasetInfo]) -> Iterator[tuple[str, Any]]:
    """Yield key and nominal histogram for each region and dataset."""
    for region, every in slices(histogram.hist, histogram.region_axis):
        hist = every[{histogram.variation_axis: NOMINAL}] if histogram.variation_axis else every
        folder = f"{name}/{region}" if region else name
        position = dataset_axis(hist, datasets)
        if position is None or hist.ndim == 1:  # the dataset axis is the only one
            yield folder, hist
            continue
        for number, dataset in enumerate(hist.axes[position]):
            yield f"{folder}/{file_name(str(dataset))}", hist[{position: number}]


def slices(hist: Any, axis: str) -> Iterator[tuple[str, Any]]:
    """Yield each category of an axis with the histogram there; an empty name and the histogram if `axis` is empty."""
    if not axis:
        yield "", hist
        return
    position = [each.name for each in hist.axes].index(axis)
    for number, category in enumerate(hist.axes[position]):
        yield str(category), hist[{position: number}]


def _for_root(hist: Any, title: str) -> Any:
    """Return `hist` in a form that ROOT has a class for, else None."""
    import boost_histogram as bh

    if not 1 <= hist.ndim <= 3:
        return None
    if hist.storage_type is bh.storage.Int64:  # ROOT has no TH1 of 64-bit integers before 6.32
        counts = hist.view(flow=True)
        hist = type(hist)(*hist.axes, storage=bh.storage.Double())
        hist[...] = counts
    named = hist.copy(deep=False)
    named.title = title
    return named
