"""Hiding GPUs from processes that were not given any."""

from __future__ import annotations

from collections.abc import Mapping

NO_GPUS: Mapping[str, str] = {
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "ONEAPI_DEVICE_SELECTOR": "*:cpu",
}
"""Environment in which the libraries of NVIDIA, AMD and Intel find no GPU. They look once, when they are first used."""

EXPORT = "export " + " ".join(f"{name}={value!r}" for name, value in NO_GPUS.items())
"""The same for a shell."""
