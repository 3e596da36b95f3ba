"""Cache of generated modules and machine code: one file per kernel, argument types and processor.

The name of a file contains a hash of everything that its machine code depends on. Files are therefore never outdated, and
processes that write a file at the same time write the same content.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from fasthep_parsl.atomic import atomic
from fasthep_parsl.version import __version__

VARIABLE = "FASTHEP_KERNEL_CACHE"
_AGE = 1_000_000_000
"""Modification time of all files: numba treats a file with another time as changed."""


@cache
def folder() -> Path:
    """Return the folder of compiled kernels: ``$FASTHEP_KERNEL_CACHE``, else the user's cache, or a temporary folder.

    Its content is executed. If other users can write to the folder, this process uses a temporary one and keeps
    nothing.
    """
    given = os.environ.get(VARIABLE)
    for path in [Path(given)] if given else _usual():
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.lstat() if not given else path.stat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
                with tempfile.TemporaryFile(dir=path):  # a home directory may exist without a valid ticket
                    return path
        except OSError:
            continue
    return Path(_own().name)


def _usual() -> Iterator[Path]:
    with suppress(RuntimeError):  # the user has no home directory
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        yield home / "fasthep-parsl" / "kernels"
    yield Path(tempfile.gettempdir()) / f"fasthep-kernels-{os.getuid()}"


@cache
def _own() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fasthep-kernels-")


def store(text: str, name: str) -> Path:
    """Write a generated module if it does not exist, and return its file."""
    path = folder() / f"{name}_{_digest(text)}.py"
    if not (path.exists() and path.read_text() == text):
        with atomic(path) as draft:
            draft.write_text(text)
            os.utime(draft, (_AGE, _AGE))
    return path


def _digest(text: str) -> str:
    return hashlib.sha256("\0".join((text, *_surroundings())).encode()).hexdigest()[:32]


@cache
def _surroundings() -> tuple[str, ...]:
    """Return versions and processor, which machine code depends on in addition to the source."""
    import llvmlite.binding  # type: ignore[import-untyped]
    import numba

    features = llvmlite.binding.get_host_cpu_features().flatten()
    versions = (__version__, numba.__version__, llvmlite.binding.llvm_version_info, platform.python_version())
    return (*map(str, versions), platform.machine(), llvmlite.binding.get_host_cpu_name(), features)
