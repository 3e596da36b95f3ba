"""Generate the module of a kernel: its functions, and the loop over events that calls it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.kernels.source import KernelFunction, KernelSource
from fasthep_parsl.kernels.target import Device

_HEAD = {
    "cpu": ["from numba import njit", "from numba.core import types as _t"],
    "gpu": ["from numba import cuda"],
}
_FUNCTION = {"cpu": '@njit(error_model="numpy", nogil=True, forceinline=True)', "gpu": "@cuda.jit(device=True)"}
_LOOP = {
    # As on a GPU, a division by zero gives inf or NaN and does not raise.
    "cpu": """@njit([_signature], cache=True, error_model="numpy", nogil=True)
def loop(_n{comma}{arguments}):
    for _i in range(_n):
        {kernel}(_i{comma}{arguments})
""",
    "gpu": """@cuda.jit(cache=True)
def loop(_n{comma}{arguments}):
    _i = cuda.grid(1)
    _step = cuda.gridsize(1)
    while _i < _n:
        {kernel}(_i{comma}{arguments})
        _i += _step
""",
}


@dataclass(frozen=True, slots=True)
class ArgumentKind:
    """Type of an argument.

    Attributes
    ----------
    dtype : str
        Name of the NumPy type, such as ``float32``.
    dimensions : int
        0 for a number.
    written : bool
        Whether the kernel writes to it.
    """

    dtype: str
    dimensions: int = 0
    written: bool = False

    @property
    def numba(self) -> str:
        """Return the expression of the numba type."""
        scalar = "_t.boolean" if self.dtype == "bool" else f"_t.{self.dtype}"
        if not self.dimensions:
            return scalar
        # The signature for read-only arrays also accepts writable arrays.
        return f'_t.Array({scalar}, {self.dimensions}, "C", readonly={not self.written})'


@dataclass(frozen=True)
class Generated:
    """The text of a generated module, and the origin of its lines.

    Attributes
    ----------
    text : str
        The module.
    places : dict
        Line number in `text`, from 1 → (``file:line`` of the author, the line).
    """

    text: str
    places: dict[int, tuple[str, str]]


def generate(source: KernelSource, device: Device, kinds: tuple[ArgumentKind, ...]) -> Generated:
    """Return the module in which `loop` calls the kernel for each event.

    Parameters
    ----------
    source : KernelSource
        The kernel.
    device : "cpu" or "gpu"
        The target.
    kinds : tuple of ArgumentKind
        Types of its arguments, without the number of the event.
    """
    lines = ["from __future__ import annotations", "", *_HEAD[device], *source.imports]
    places: dict[int, tuple[str, str]] = {}
    for function in source.functions:
        lines += ["", "", _FUNCTION[device]]
        lines += _copied(function, len(lines), places)
    names = [f"_a{number}" for number in range(len(kinds))]
    if device == "cpu":
        lines += ["", "", f"_signature = _t.void({', '.join(['_t.int64', *(kind.numba for kind in kinds)])})"]
    else:  # numba.cuda compiles at the first launch; the types only change the hash of the text
        lines += ["", "", f"# {', '.join(f'{kind.dtype}/{kind.dimensions}' for kind in kinds)}"]
    loop = _LOOP[device].format(
        kernel=source.kernel.name, arguments=", ".join(names), comma=", " if names else ""
    )  # fmt: skip
    return Generated("\n".join([*lines, loop]), places)


def _copied(function: KernelFunction, before: int, places: dict[int, tuple[str, str]]) -> list[str]:
    lines = function.text.rstrip().splitlines()
    for number, line in enumerate(lines):
        places[before + number + 1] = (f"{Path(function.file).name}:{function.line + number}", line.strip())
    return lines
