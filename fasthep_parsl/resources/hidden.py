"""Hide GPUs from processes that must not use them."""

from __future__ import annotations

from collections.abc import Mapping

NO_GPUS: Mapping[str, str] = {
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "ONEAPI_DEVICE_SELECTOR": "*:cpu",
}
"""Environment variables that hide all GPUs from the libraries of NVIDIA, AMD and Intel, if set before their first use."""

EXPORT = "export " + " ".join(f"{name}={value!r}" for name, value in NO_GPUS.items())
"""`NO_GPUS` as a shell command."""
