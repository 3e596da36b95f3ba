"""Write all products of a run to its run directory."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, Histogram, in_order
from fasthep_parsl.results.cutflows import write_cutflow
from fasthep_parsl.results.generic import write_generic
from fasthep_parsl.results.histograms import as_histogram, write_json, write_root
from fasthep_parsl.worker.partials import load_products

ProductKey = tuple[str, str]
"""(stage id, product name)."""

_HEAVY = (
    "hist",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "mplhep",
)
log = logging.getLogger(__name__)


def preload() -> None:
    """Import the libraries of `write_plots` (about 2 s of CPU time); call it in a thread while workers compute."""
    for name in _HEAVY:
        importlib.import_module(name)
    from fasthep_parsl.results import plots

    plots.warm_up()


def write_results(
    products: Mapping[ProductKey, Any], run_dir: Path, *, datasets: Sequence[DatasetInfo], plots: bool = True
) -> list[Path]:
    """Write every product to `run_dir`; each file is written atomically.

    Parameters
    ----------
    products : mapping
        (stage id, product name) → merged product.
    run_dir : Path
        The run directory; gets ``results/`` and ``plots/``.
    datasets : sequence of DatasetInfo
        Datasets of the run, in the order of the plan.
    plots : bool
        Whether to draw histograms. A plot that cannot be drawn is logged and left out. Its numbers are in
        ``results/``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        The folder is not writable or the disk is full.
    """
    written = write_numbers(products, run_dir, datasets)
    return written + (write_plots(products, run_dir, datasets) if plots else [])


def write_numbers(products: Mapping[ProductKey, Any], run_dir: Path, datasets: Sequence[DatasetInfo]) -> list[Path]:
    """Write everything except plots; parameters as in `write_results`."""
    results = run_dir / "results"
    written: list[Path] = []
    for (stage, name), product in products.items():
        path = results / stage / f"{name}.json"
        histogram = as_histogram(product)
        if histogram is not None:
            written.append(write_json(histogram, path))
        elif isinstance(product, Cutflow):
            written += write_cutflow(product, path)
        else:
            written.append(write_generic(product, path))
    histograms = _histograms(products)
    if histograms:
        rooted = {name.replace(":", "/"): histogram for name, histogram in histograms.items()}
        written.append(write_root(rooted, results / "histograms.root", datasets))
    return written


def write_numbers_of(
    files: Sequence[str], names: Mapping[str, str], run_dir: Path, datasets: Sequence[DatasetInfo]
) -> list[Path]:
    """Read products from files and write them as `write_numbers` does; runs on a worker.

    Parameters
    ----------
    files : sequence of str
        Merged products of segments.
    names : mapping
        Stage id → name of its product.
    run_dir, datasets
        As in `write_results`.
    """
    return write_numbers(read_products(files, names, datasets), run_dir, datasets)


def read_products(
    files: Iterable[str], names: Mapping[str, str], datasets: Sequence[DatasetInfo]
) -> dict[ProductKey, Any]:
    """Read the merged products of segments, with the datasets of cutflows in the order of `datasets`.

    Parameters as in `write_numbers_of`.
    """
    order = [dataset.name for dataset in datasets]
    found = {(stage, names[stage]): p for file in files for stage, p in load_products(file).items()}
    return {key: in_order(p, order) if isinstance(p, Cutflow) else p for key, p in found.items()}


def write_plots(products: Mapping[ProductKey, Any], run_dir: Path, datasets: Sequence[DatasetInfo]) -> list[Path]:
    """Draw all histograms; parameters as in `write_results`."""
    histograms = _histograms(products)
    plots = {name.replace(":", "-"): histogram for name, histogram in histograms.items()}
    return _draw_all(plots, run_dir / "plots", datasets)


def _histograms(products: Mapping[ProductKey, Any]) -> dict[str, Histogram]:
    found = {key: as_histogram(product) for key, product in products.items()}
    histograms = {key: histogram for key, histogram in found.items() if histogram is not None}
    names = _short_names(histograms)
    return {names[key]: histogram for key, histogram in histograms.items()}


def _short_names(keys: Mapping[ProductKey, Any]) -> dict[ProductKey, str]:
    """Return ``<stage>`` for the only histogram of a stage, ``<stage>:<name>`` for one of several."""
    count = Counter(stage for stage, _ in keys)
    return {(stage, name): stage if count[stage] == 1 else f"{stage}:{name}" for stage, name in keys}


def _draw_all(histograms: Mapping[str, Histogram], folder: Path, datasets: Sequence[DatasetInfo]) -> list[Path]:
    from fasthep_parsl.results.plots import draw

    written = []
    for name, histogram in histograms.items():
        path = folder / f"{name}.png"
        try:
            draw(histogram, path, datasets, title=histogram.title)
        except OSError:
            raise
        except Exception as error:
            log.warning(
                "plot %s was not drawn (%s: %s); its numbers are in results/", path, type(error).__name__, error
            )
            log.debug("traceback of the plot", exc_info=True)
        else:
            written.append(path)
    return written
