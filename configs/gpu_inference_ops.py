"""Analysis code of ``gpu_inference.yaml``: train and apply a small network on the CPU or the GPU.

The code does not mention GPUs. With ``gpu.preload``, the columns are CuPy arrays, and NumPy functions run on the GPU.
With ``cuda.jit``, the kernel is compiled for the GPU. Matrix products are written as sums: they are short, and as sums
they do not depend on the number of events in a pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fasthep_parsl import op
from fasthep_parsl.interfaces import Context
from fasthep_parsl.kernels import float64, kernel

UNKNOWN = -1.0
"""Truth of events that are not simulated."""


@op("custom.truth", writes=["{output}"])
def truth(events: Any, *, output: str, signal: list[str], background: list[str], context: Context) -> dict[str, Any]:
    """Mark the events of signal datasets with 1, those of background with 0, and all others with `UNKNOWN`."""
    name = context.dataset.name
    value = 1.0 if name in signal else 0.0 if name in background else UNKNOWN
    return {output: np.full(len(events), value)}


@op("custom.train", reads=["{features}", "{target}"], scope="workflow", product="model")
def train(
    chunks: Iterable[Any],
    *,
    features: list[str],
    target: str,
    hidden: int = 8,
    steps: int = 200,
    rate: float = 0.05,
    most: int = 20_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Fit a network with one hidden layer to all events, with Adam. Both classes have the same total weight.

    Parameters
    ----------
    features, target : list of str, str
        Fields with one value ≥ 0 per event; the field that is 1, 0, or `UNKNOWN` for events to ignore.
    hidden, steps, rate, seed : int, int, float, int
        Size of the hidden layer, number of steps, step size, and seed of the initial layers.
    most : int
        Maximum number of events per class, selected evenly. 60 weights need no more.
    """
    found = [(_matrix(chunk, features), chunk[target]) for chunk in chunks]
    if not found:
        raise ValueError("training needs events")
    rows, values = np.concatenate([rows for rows, _ in found]), np.concatenate([values for _, values in found])
    chosen = [_evenly(rows[values == label], most) for label in (0, 1)]
    if not all(map(len, chosen)):
        raise ValueError(f"training needs events with {target} = 0 and = 1")
    rows = np.concatenate(chosen)
    center, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    inputs = _standard(rows, center, scale)
    answer = np.zeros_like(inputs[:, 0])
    answer[len(chosen[0]) :] = 1
    weight = np.full_like(answer, 0.5 / len(chosen[0]))
    weight[len(chosen[0]) :] = 0.5 / len(chosen[1])
    layers, loss = _fit(inputs, answer, weight, _start(len(features), hidden, seed, inputs), steps, rate)
    return {
        "features": features,
        "center": center.tolist(),
        "scale": scale.tolist(),
        **{name: layer.tolist() for name, layer in zip(("into", "bias", "out", "offset"), layers, strict=True)},
        "events": len(rows),
        "loss": float(loss),
        "device": type(inputs).__module__.split(".")[0],
    }


@op("custom.infer", reads=["{features}"], writes=["{output}"])
def infer(events: Any, *, output: str, features: list[str], model: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a trained network. Return a number between 0 and 1 per event, near 1 for signal."""
    rows = _matrix(events, features)
    center, scale, into, bias, out = (
        np.asarray(model[name], like=rows) for name in ("center", "scale", "into", "bias", "out")
    )
    inputs, found = _standard(rows, center, scale), np.zeros(len(events), like=rows)
    network(len(events), inputs, into, bias, out, float(model["offset"][0]), len(features), len(bias), found)
    return {output: found}


@kernel
def network(i, inputs, into, bias, out, offset, features, hidden, found):  # type: ignore[no-untyped-def]
    """Apply the network to one event."""
    total = offset
    for unit in range(hidden):
        value = float64(bias[unit])
        for feature in range(features):
            value += inputs[i, feature] * into[feature, unit]
        total += math.tanh(value) * out[unit]
    found[i] = 1.0 / (1.0 + math.exp(-total))


def _matrix(events: Any, features: list[str]) -> Any:
    """Return one row per event and one column per feature, on a logarithmic scale because momenta have long tails."""
    return np.log1p(np.stack([events[name].astype(np.float64) for name in features], axis=1))


def _standard(rows: Any, center: Any, scale: Any) -> Any:
    return np.clip((rows - center) / scale, -5, 5)


def _evenly(rows: Any, most: int) -> Any:
    return rows[:: max(-(-len(rows) // most), 1)]


def _start(features: int, hidden: int, seed: int, like: Any) -> list[Any]:
    """Return the initial layers, on the device of `like`."""
    random = np.random.default_rng(seed)
    into = random.normal(0, 1 / math.sqrt(features), (features, hidden))
    out = random.normal(0, 1 / math.sqrt(hidden), hidden)
    return [np.asarray(values, like=like) for values in (into, np.zeros(hidden), out, np.zeros(1))]


def _fit(inputs: Any, answer: Any, weight: Any, layers: list[Any], steps: int, rate: float) -> tuple[list[Any], Any]:
    """Return trained layers and the last loss."""
    first = [np.zeros_like(layer) for layer in layers]
    second = [np.zeros_like(layer) for layer in layers]
    loss = 0.0
    for step in range(1, steps + 1):
        gradients, loss = _gradients(inputs, answer, weight, layers)
        size = rate * min(1.0, 2 * (1 - step / (steps + 1))) * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for number, gradient in enumerate(gradients):
            first[number] = 0.9 * first[number] + 0.1 * gradient
            second[number] = 0.999 * second[number] + 0.001 * gradient**2
            layers[number] = layers[number] - size * first[number] / (np.sqrt(second[number]) + 1e-8)
    return layers, loss


def _gradients(inputs: Any, answer: Any, weight: Any, layers: list[Any]) -> tuple[list[Any], Any]:
    """Return the gradient of the cross entropy for each layer, and the cross entropy."""
    into, bias, out, offset = layers
    features = range(inputs.shape[1])
    units = np.tanh(sum((inputs[:, f, None] * into[f] for f in features), start=bias))
    score = 1 / (1 + np.exp(-np.clip((units * out).sum(axis=1) + offset, -30, 30)))
    loss = -(weight * (answer * np.log(score) + (1 - answer) * np.log(1 - score))).sum()
    error = weight * (score - answer)
    back = error[:, None] * out * (1 - units**2)
    into_gradient = np.stack([(inputs[:, f, None] * back).sum(axis=0) for f in features])
    return [into_gradient, back.sum(axis=0), (error[:, None] * units).sum(axis=0), error.sum()[None]], loss
