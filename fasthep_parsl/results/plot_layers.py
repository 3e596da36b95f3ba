"""Layers of a plot: data summed, simulation by group, each with one colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo

# The colours of Petroff (arXiv:2107.02270) are distinct for colour-blind readers and in grey.
COLOURS = (
    "#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd", "#b9ac70", "#717581", "#92dadd", "#a96b59",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a plot: bin contents, their variances, under- and overflow.

    Attributes
    ----------
    label : str
        Entry in the legend.
    values, variances : array of float64, shape (bins,) or (bins, bins)
        Sums of weights and of squared weights.
    under, over : float
        Sums of weights below and above the axis; 0 for 2D.
    colour : str
        The same for a label in all plots of a run.
    """

    label: str
    values: Any
    variances: Any
    under: float = 0.0
    over: float = 0.0
    colour: str = COLOURS[0]


def layers(
    hist: Any, keep: Sequence[int], position: int | None, datasets: Sequence[DatasetInfo]
) -> tuple[Layer | None, list[Layer]]:
    """Return the layers of `hist` on the axes `keep`: data and simulation.

    Parameters
    ----------
    hist : hist.Hist
        The histogram.
    keep : sequence of int
        Axes to draw. The others are summed over, with under- and overflow.
    position : int or None
        The dataset axis.
    datasets : sequence of DatasetInfo
        Datasets with their event types and groups.

    Returns
    -------
    data : Layer or None
        Sum of all datasets with eventtype ``data``.
    simulation : list of Layer
        One per group, the smallest first. Without a dataset axis: one, without a label.
    """
    if position is None:
        return None, [_layer("", hist, keep)]
    infos = {dataset.name: dataset for dataset in datasets}
    labels = list(dict.fromkeys(_label(dataset) for dataset in datasets if dataset.eventtype != "data"))
    summed: dict[str, Layer] = {}
    for number, name in enumerate(hist.axes[position]):
        info = infos.get(name, DatasetInfo(name))
        label = _label(info)
        layer = _layer(label, hist[{position: number}], [axis - (axis > position) for axis in keep])
        rank = labels.index(label) if label in labels else len(summed)
        layer = replace(layer, colour=COLOURS[rank % len(COLOURS)])
        before = summed.get(label)
        summed[label] = layer if before is None else _add(before, layer)
    data = summed.pop("Data", None)
    return data, sorted(summed.values(), key=lambda layer: float(layer.values.sum()))


def _label(dataset: DatasetInfo) -> str:
    return "Data" if dataset.eventtype == "data" else dataset.group or dataset.name


def _layer(label: str, hist: Any, keep: Sequence[int]) -> Layer:
    import numpy as np

    shown = hist if len(keep) == hist.ndim else hist.project(*keep)
    values = np.asarray(shown.values(), dtype=np.float64)
    variances = shown.variances()
    under = over = 0.0
    if shown.ndim == 1:
        flow = np.asarray(shown.values(flow=True), dtype=np.float64)
        traits = shown.axes[0].traits
        under = float(flow[0]) if traits.underflow else 0.0
        over = float(flow[-1]) if traits.overflow else 0.0
    return Layer(label, values, np.array(values if variances is None else variances, dtype=np.float64), under, over)


def _add(a: Layer, b: Layer) -> Layer:
    return replace(
        a,
        values=a.values + b.values,
        variances=a.variances + b.variances,
        under=a.under + b.under,
        over=a.over + b.over,
    )
