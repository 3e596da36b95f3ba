"""Modifier ``cuda.jit``: compile the kernels of an op for the GPU or the CPU of the worker."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from fasthep_parsl import atomic
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Call, Modifier, Note
from fasthep_parsl.kernels import CompileTarget, compiling_for, launch
from fasthep_parsl.kernels.target import Usage


class CudaJit(Modifier):
    """Parameters of ``cuda.jit``.

    Kernels work on the GPU on columns that are there. Columns in host memory are copied to the GPU for each kernel, and
    results are copied back, unless ``gpu.preload`` has moved the columns.
    """

    needs_gpu: ClassVar[bool] = True
    without_gpu: ClassVar[str] = "on_missing: cpu"
    identity: ClassVar[tuple[str, ...] | None] = ()

    target: Literal["gpu", "cpu"] = Field("gpu", description="what kernels are compiled for")
    on_missing: Literal["fail", "cpu"] = Field(
        "fail", description="on a worker without a GPU: fail, or compile for the CPU; always `cpu` with `target: cpu`"
    )

    @model_validator(mode="before")
    @classmethod
    def _cpu_needs_no_gpu(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("target") == "cpu" and given.get("on_missing", "fail") == "fail":
            return {**given, "on_missing": "cpu"}
        return given

    @property
    def works_without_gpu(self) -> bool:
        """Whether this instance works on workers without a GPU."""
        return self.on_missing == "cpu"

    def wrap(self, call: Call) -> Call:
        """Return a call that compiles its kernels."""

        def compiled(events: Any, **params: Any) -> Any:
            device, reason = self._device(call)
            seen: dict[str, Any] = {"calls": 1, "devices": [device], "kernels": {}}
            if reason:
                seen["fallback"] = [reason]

            def report(usage: Usage) -> None:
                seen["kernels"] = _joined(seen["kernels"], {f"{usage.kernel} ({usage.device})": _row(usage)})

            try:
                with compiling_for(CompileTarget("cpu" if device == "cpu" else "gpu", report)):
                    return call(events, **params)
            finally:
                call.note(seen)

        return call.using(compiled)

    def _device(self, call: Call) -> tuple[str, str]:
        """Return the device for which kernels are compiled, and why it is not the requested one."""
        if self.target == "cpu":
            return "cpu", ""
        reason, name = (call.why_no_gpu, "") if call.why_no_gpu else _gpu()
        if not reason:
            return name, ""
        where = f"worker {socket.gethostname()} (process {os.getpid()}) of pool `{call.pool}`"
        if self.on_missing == "fail":
            raise OpError(
                f"cuda.jit: {where} has no usable GPU: {reason} (set `on_missing: cpu` to compile for the CPU)"
            )
        return "cpu", f"pool `{call.pool}`: {reason}"

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Merge the notes of two calls or workers."""
        found: dict[str, Any] = {
            "calls": a["calls"] + b["calls"],
            "devices": sorted({*a["devices"], *b["devices"]}),
            "kernels": _joined(a["kernels"], b["kernels"]),
        }
        reasons = sorted({*a.get("fallback", ()), *b.get("fallback", ())})
        return found | ({"fallback": reasons} if reasons else {})

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write ``kernels.json``: for each stage, where its kernels ran, why not on a GPU, and their times."""
        text = json.dumps(notes, indent=1, ensure_ascii=False, sort_keys=True)
        atomic.write_text(folder / "kernels.json", text + "\n")


@cache
def _gpu() -> tuple[str, str]:
    """Return why this process has no GPU, and the name of its GPU. Checked once per process."""
    reason = launch.missing()
    return reason, "" if reason else launch.device_name()


def _row(usage: Usage) -> dict[str, float]:
    return {
        "calls": 1,
        "events": int(usage.events),
        "compiled": int(usage.ready == "compiled"),
        "loaded": int(usage.ready == "loaded"),
        "compiling_seconds": round(usage.compiling, 6),
        "bytes_copied": int(usage.copied),
    }


def _joined(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums of two tables, row by row."""
    return {
        name: {key: a.get(name, {}).get(key, 0) + b.get(name, {}).get(key, 0) for key in (a.get(name) or b[name])}
        for name in sorted({*a, *b})
    }
