"""Write all products of a run to its run directory."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import write_text
from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, Histogram, in_order
from fasthep_parsl.results.assembled import RAW, ResultRecipe, assemble
from fasthep_parsl.results.cutflows import write_cutflow
from fasthep_parsl.results.families import Named, ProductKey
from fasthep_parsl.results.generic import write_generic
from fasthep_parsl.results.histograms import as_histogram, write_json, write_root
from fasthep_parsl.results.plot_recipe import PlotRecipe
from fasthep_parsl.results.result_plots import ResultPlot, result_plots, short_names
from fasthep_parsl.worker.partials import load_products

_HEAVY = (
    "hist",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "mplhep",
)
EXTENT_FILE = "extent.txt"
log = logging.getLogger(__name__)


def preload() -> None:
    """Import the libraries of `write_plots` (about 2 s of CPU time); call it in a thread while workers compute."""
    for name in _HEAVY:
        importlib.import_module(name)
    from fasthep_parsl.results import plots

    plots.warm_up()


def write_results(
    products: Mapping[ProductKey, Any],
    run_dir: Path,
    *,
    datasets: Sequence[DatasetInfo] = (),
    plots: bool = True,
    recipe: ResultRecipe | None = None,
) -> list[Path]:
    """Write every product to `run_dir`; each file is written atomically.

    Parameters
    ----------
    products : mapping
        (stage id, product name) → merged product, copies of stages too.
    run_dir : Path
        The run directory; gets ``results/`` and ``plots/``.
    datasets : sequence of DatasetInfo
        Datasets of the run, in the order of the plan, if there is no recipe.
    plots : bool
        Whether to draw histograms. A plot that cannot be drawn is logged and left out. Its numbers are in
        ``results/``.
    recipe : ResultRecipe, optional
        How products become results; default: each product is a result.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        The folder is not writable or the disk is full.
    """
    recipe = recipe or ResultRecipe(tuple(datasets))
    results = assemble(products, recipe)
    written = write_numbers(results, run_dir, recipe.datasets, recipe.extent)
    return written + (write_plots(results, run_dir / "plots", recipe.plots(results)) if plots else [])


def write_numbers(
    results: Mapping[ProductKey, Any], run_dir: Path, datasets: Sequence[DatasetInfo], extent: str = ""
) -> list[Path]:
    """Write everything except plots.

    Parameters
    ----------
    results : mapping
        (stage of the workflow, name) → result; see `assemble`.
    run_dir : Path
        The run directory.
    datasets : sequence of DatasetInfo
        Datasets of the run.
    extent : str
        Which events the results are of, if not of all. Every file of a known form says so, and `EXTENT_FILE` for the
        others.
    """
    folder = run_dir / "results"
    written = [write_text(folder / EXTENT_FILE, f"{extent}\n")] if extent else []
    for (stage, name), product in results.items():
        path = folder / stage / f"{name}.json"
        histogram = as_histogram(product)
        if histogram is not None:
            written.append(write_json(histogram, path, extent))
        elif isinstance(product, Cutflow):
            written += write_cutflow(product, path, extent)
        else:
            written.append(write_generic(product, path))
    histograms = _histograms(results)
    if histograms:
        rooted = {name.replace(":", "/"): histogram for name, histogram in histograms.items()}
        written.append(write_root(rooted, folder / "histograms.root", datasets, extent))
    return written


def write_numbers_of(files: Sequence[str], names: Mapping[str, str], run_dir: Path, recipe: ResultRecipe) -> list[Path]:
    """Read products from files, assemble them and write the results as `write_numbers` does; runs on a worker.

    Parameters
    ----------
    files : sequence of str
        Merged products of segments.
    names : mapping
        Stage id → name of its product.
    run_dir : Path
        The run directory.
    recipe : ResultRecipe
        How products become results.
    """
    products = read_products(files, names, recipe.datasets)
    return write_numbers(assemble(products, recipe), run_dir, recipe.datasets, recipe.extent)


def read_products(files: Iterable[str], names: Mapping[str, str], datasets: Iterable[Named]) -> dict[ProductKey, Any]:
    """Read the merged products of segments, with the datasets of cutflows in the order of `datasets`.

    Parameters
    ----------
    files, names
        As in `write_numbers_of`.
    datasets : sequence of DatasetInfo
        Datasets of the run.
    """
    order = [dataset.name for dataset in datasets]
    found = {(stage, names[stage]): p for file in files for stage, p in load_products(file).items()}
    return {key: in_order(p, order) if isinstance(p, Cutflow) else p for key, p in found.items()}


def write_plots(results: Mapping[ProductKey, Any], folder: Path, recipe: PlotRecipe) -> list[Path]:
    """Draw all histograms and cutflows, one plot per region. What cannot be drawn is logged and left out.

    Parameters
    ----------
    results : mapping
        (stage of the workflow, name) → result; see `assemble`.
    folder : Path
        Gets the files.
    recipe : PlotRecipe
        How they are drawn.
    """
    written: list[Path] = []
    for plot in result_plots(results, recipe):
        written += _attempt(plot, folder)
    return written


def _attempt(plot: ResultPlot, folder: Path) -> list[Path]:
    from fasthep_parsl.results.plots import draw_files

    path = folder / plot.file
    try:
        return draw_files(plot, path)
    except OSError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        log.warning("plot %s was not drawn (%s); its numbers are in results/", path, reason)
        log.debug("traceback of the plot", exc_info=True)
        return []


def _histograms(results: Mapping[ProductKey, Any]) -> dict[str, Histogram]:
    """Return short name → histogram, without raw ones."""
    found = {key: as_histogram(product) for key, product in results.items() if not key[1].endswith(RAW)}
    histograms = {key: histogram for key, histogram in found.items() if histogram is not None}
    names = short_names(histograms)
    return {names[key]: histogram for key, histogram in histograms.items()}
