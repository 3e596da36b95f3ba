"""Analysis code of ``heterogeneous.yaml``: plain functions of events that declare what they read and write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl import op
from fasthep_parsl.interfaces import Context


@op("custom.event_index", reads=["run", "luminosityBlock", "event"], scope="workflow", product="index")
def event_index(chunks: Iterable[Any]) -> dict[str, Any]:
    """Sort all events by (run, luminosity block, event), and count duplicates.

    Three numbers per event are in memory at the same time, so this op needs a large worker.
    """
    names = ("run", "luminosityBlock", "event")
    keys = [np.stack([np.asarray(chunk[name]).astype(np.uint64) for name in names], axis=1) for chunk in chunks]
    table = np.concatenate([np.empty((0, 3), np.uint64), *keys])
    table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
    runs, counts = np.unique(table[:, 0], return_counts=True)
    return {
        "events": len(table),
        "repeated": int(np.all(table[1:] == table[:-1], axis=1).sum()),
        "events_per_run": {str(run): int(count) for run, count in zip(runs, counts, strict=True)},
    }


@op("custom.label", writes=["{output}"])
def label(events: Any, *, output: str, datasets: list[str], context: Context) -> dict[str, Any]:
    """Mark the events of some datasets with 1, all others with 0."""
    return {output: np.full(len(events), float(context.dataset.name in datasets))}


@op("custom.train", reads=["{features}", "{target}"], scope="workflow", product="model")
def train(
    chunks: Iterable[Any], *, features: list[str], target: str, steps: int = 12, ridge: float = 1e-3
) -> dict[str, Any]:
    """Fit a logistic regression on standardised features and their squares, by Newton's method.

    Both classes have the same total weight. The fit uses CuPy if it finds a GPU, otherwise NumPy. Rows are sorted first,
    so the model does not depend on how the events are divided into chunks.
    """
    parts = [np.column_stack([_column(chunk, name) for name in (*features, target)]) for chunk in chunks]
    rows = np.concatenate([np.empty((0, len(features) + 1)), *parts])
    rows = rows[np.lexsort(rows.T)]
    truth = rows[:, -1]
    if not 0 < truth.sum() < len(truth):
        raise ValueError(f"training needs events with {target} = 0 and = 1")
    center, scale = rows[:, :-1].mean(axis=0), rows[:, :-1].std(axis=0) + 1e-9
    model = {"features": features, "center": center.tolist(), "scale": scale.tolist(), "events": len(rows)}
    xp = _array_module()
    inputs, truth = xp.asarray(_expand(rows[:, :-1], model)), xp.asarray(truth)
    weight = xp.where(truth > 0, 0.5 / truth.sum(), 0.5 / (1 - truth).sum())
    coefficients = xp.zeros(inputs.shape[1])
    for _ in range(steps):
        score = 1 / (1 + xp.exp(-xp.clip(inputs @ coefficients, -30, 30)))
        gradient = inputs.T @ (weight * (score - truth)) + ridge * coefficients
        curvature = (inputs.T * (weight * score * (1 - score))) @ inputs + ridge * xp.eye(len(coefficients))
        coefficients = coefficients - xp.linalg.solve(curvature, gradient)
    return {**model, "coefficients": coefficients.tolist(), "device": xp.__name__}


@op("custom.score", reads=["{features}"], writes=["{output}"])
def score(events: Any, *, output: str, features: list[str], model: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a trained model. Return the probability that an event is signal."""
    rows = np.column_stack([_column(events, name) for name in features])
    return {output: 1 / (1 + np.exp(-np.clip(_expand(rows, model) @ np.asarray(model["coefficients"]), -30, 30)))}


def _column(events: Any, name: str) -> Any:
    """Return one float64 per event, with 0 for missing values."""
    return ak.to_numpy(ak.fill_none(events[name], 0)).astype(np.float64)


def _expand(rows: Any, model: Mapping[str, Any]) -> Any:
    """Return standardised features, their squares, and a constant."""
    standard = np.clip((rows - np.asarray(model["center"])) / np.asarray(model["scale"]), -5, 5)
    return np.column_stack([standard, standard**2, np.ones(len(rows))])


def _array_module() -> Any:
    """Return CuPy if it finds a GPU, otherwise NumPy."""
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() > 0:
            return cupy
    except Exception:  # noqa: BLE001, S110 - cupy raises what its driver raises
        pass
    return np
