"""All products of a run → files in its run directory."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, Histogram
from fasthep_parsl.results.cutflows import write_cutflow
from fasthep_parsl.results.generic import write_generic
from fasthep_parsl.results.histograms import as_histogram, write_json, write_root

ProductKey = tuple[str, str]
"""(stage id, product name)."""

_HEAVY = (
    "hist",
    "uhi.io.json",
    "uproot",
    "uproot.writing",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "mplhep",
)
log = logging.getLogger(__name__)


def preload() -> None:
    """Import what `write_results` needs; call it in a thread while workers compute (about 2 CPU s cold)."""
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
        Whether to draw histograms. A picture that cannot be drawn is logged and left out: its numbers are in the
        files beside it.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OSError
        The folder is not writable or the disk is full.
    """
    results = run_dir / "results"
    written: list[Path] = []
    histograms: dict[ProductKey, Histogram] = {}
    for (stage, name), product in products.items():
        path = results / stage / f"{name}.json"
        histogram = as_histogram(product)
        if histogram is not None:
            histograms[stage, name] = histogram
            written.append(write_json(histogram, path))
        elif isinstance(product, Cutflow):
            written += write_cutflow(product, path)
        else:
            written.append(write_generic(product, path))
    if histograms:
        names = _short_names(histograms)
        rooted = {names[key].replace(":", "/"): histogram for key, histogram in histograms.items()}
        written.append(write_root(rooted, results / "histograms.root", datasets))
        if plots:
            pictures = {names[key].replace(":", "-"): histogram for key, histogram in histograms.items()}
            written += _draw_all(pictures, run_dir / "plots", datasets)
    return written


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
                "picture %s was not drawn (%s: %s); its numbers are in results/", path, type(error).__name__, error
            )
            log.debug("where drawing failed", exc_info=True)
        else:
            written.append(path)
    return written
