"""Evaluate models: loaded once per process, on the CPUs or the GPU of the worker."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.inference.model_file import ModelFacts
from fasthep_parsl.ops.inference.xgboost_header import MARGIN

MOST = 8
"""Models that a process keeps."""
CUDA = "CUDAExecutionProvider"


class ModelSession(Protocol):
    """A loaded model."""

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return outputs for inputs, arrays with one row per event or object."""


_sessions: OrderedDict[tuple[str, int, bool], ModelSession] = OrderedDict()
_keys: dict[tuple[Path, int, int], str] = {}


def load_session(path: Path, facts: ModelFacts, cpus: int, gpu: bool) -> ModelSession:
    """Return the session of a model. Files with the same content are loaded once per process.

    Parameters
    ----------
    path : Path
        The file.
    facts : ModelFacts
        What it takes and gives.
    cpus : int
        Threads that it may use.
    gpu : bool
        Whether the worker has a GPU.
    """
    stat = path.stat()
    place = (path, stat.st_mtime_ns, stat.st_size)
    if place not in _keys:
        _keys[place] = sha256(path.read_bytes()).hexdigest()
    key = (_keys[place], cpus, gpu)
    if key not in _sessions:
        make = XgboostSession if facts.kind == "xgboost" else OnnxSession
        _sessions[key] = make(path, cpus, gpu)
        if len(_sessions) > MOST:
            _sessions.popitem(last=False)
    _sessions.move_to_end(key)
    return _sessions[key]


class OnnxSession:
    """A model in ONNX, evaluated by onnxruntime."""

    def __init__(self, path: Path, cpus: int, gpu: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, cpus)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        if gpu and CUDA in onnxruntime.get_available_providers():
            providers.insert(0, CUDA)
        elif gpu:
            warn_without_gpu(path, f"onnxruntime {onnxruntime.__version__}", "onnxruntime-gpu")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        if gpu and len(providers) > 1 and CUDA not in self._session.get_providers():
            warn_without_gpu(path, f"onnxruntime {onnxruntime.__version__}", "the CUDA libraries that it needs")

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return outputs for inputs."""
        return list(self._session.run(list(outputs), dict(inputs)))


class XgboostSession:
    """A model of XGBoost."""

    def __init__(self, path: Path, cpus: int, gpu: bool) -> None:
        import xgboost

        self._booster = xgboost.Booster()
        self._booster.load_model(bytearray(path.read_bytes()))
        self._booster.set_param({"nthread": max(1, cpus)})
        if gpu and xgboost.build_info().get("USE_CUDA"):
            self._booster.set_param({"device": "cuda"})
        elif gpu:
            warn_without_gpu(path, f"xgboost {xgboost.__version__}", "xgboost instead of xgboost-cpu")

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return outputs for the features. NaN is a missing feature."""
        (features,) = inputs.values()
        kinds = {name: "margin" if name == MARGIN else "value" for name in outputs}
        return [np.asarray(self._booster.inplace_predict(features, predict_type=kind)) for kind in kinds.values()]


def warn_without_gpu(path: Path, package: str, needed: str) -> None:
    """Warn that a model runs on the CPU although the worker has a GPU."""
    warnings.warn(
        f"`{path.name}` runs on the CPU: {package} cannot use the GPU of this worker (install {needed})", stacklevel=2
    )
