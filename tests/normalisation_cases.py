"""Small files like NanoAOD, with weights and the tree `Runs`, and what tests of normalisation have in common."""

from __future__ import annotations

import json

import numpy as np
import uproot

RUNS = {"tree": "Runs", "branch": "genEventSumw"}
MC = {"xsec": "6.2 nb"}


def write_nano(path, weights, runs=None, first=0, sections=None, **more):
    """Write events in clusters of 10, and `Runs` with two entries whose sums are those of `runs` (False: no tree).

    `sections` are pairs of run and luminosity section for the tree `LuminosityBlocks`.
    """
    runs = weights if runs is None else runs
    columns = {"x": np.arange(first, first + len(weights)), "genWeight": weights, **more}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        for start in range(0, len(weights), 10):
            tree.extend({name: values[start : start + 10] for name, values in columns.items()})
        if runs is not False:
            halves = np.array_split(np.asarray(runs), 2)
            sums = {
                "genEventSumw": np.array([half.sum() for half in halves]),
                "genEventSumw2": np.array([(half**2).sum() for half in halves]),
                "genEventCount": np.array([len(half) for half in halves]),
            }
            file.mktree("Runs", {name: values.dtype for name, values in sums.items()}).extend(sums)
        if sections is not None:
            pairs = np.asarray(sections, np.uint32).reshape(-1, 2)
            listed = {"run": pairs[:, 0].copy(), "luminosityBlock": pairs[:, 1].copy()}
            file.mktree("LuminosityBlocks", {"run": "uint32", "luminosityBlock": "uint32"}).extend(listed)
    return path


def weights_of(number, seed):
    """Return weights of both signs, which do not cancel."""
    random = np.random.default_rng(seed)
    return random.normal(30, 5, number) * np.where(random.random(number) < 0.2, -1, 1)


def paths(nano, *numbers):
    """Return files by number, or all."""
    found = [str(path) for path in nano]
    return [found[number] for number in numbers] or found


def summary(flow):
    """Return the content of ``run.json``."""
    return json.loads((flow.folder / "run" / "run.json").read_text())


def factor(flow, dataset="mc"):
    """Return the normalisation of a dataset in ``run.json``."""
    return summary(flow)["normalisation"]["datasets"][dataset]
