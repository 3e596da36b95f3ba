"""``diagnostics`` around ``gpu.preload`` and inside of it, on a stand-in for CuPy: counts as on the host."""

from __future__ import annotations

import numpy as np
import pytest

import fake_cupy
from fasthep_parsl import registry
from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers import gpu_preload
from fasthep_parsl.modifiers.diagnostics import Diagnostics
from fasthep_parsl.modifiers.gpu_preload import GpuPreload
from fasthep_parsl.ops import device
from fasthep_parsl.ops.stream import Events


@pytest.mark.parametrize("order", [(Diagnostics, GpuPreload), (GpuPreload, Diagnostics)])
def test_counts_are_those_of_the_host(order, monkeypatch):
    monkeypatch.setattr(gpu_preload, "_found", [])  # what an earlier test found out about this process
    monkeypatch.setattr(device, "_streams", {})
    op = registry.load("ops", "hep.define").op
    model = op.params.model_validate({"variables": [{"name": "v", "expr": "x * 2"}]})
    notes = []
    call = Call(op.call, op, "S", "gpu", ("x",), notes.append)
    for modifier in reversed(order):
        call = modifier().wrap(call)
    with fake_cupy.installed():
        call(Events({"x": np.array([1.0, np.nan, 3.0])}, 3), **op.keywords(model))
        (note,) = [note() for note in notes if callable(note)]
    assert (note["fields_in"], note["fields_out"]) == ({"x": [3, 0, 1]}, {"v": [3, 0, 1]})
    assert note["gpu_memory"] > 0
