"""The start script: what a node runs to unpack an environment and to activate it. Pure.

``environment.sh`` is bash, because nothing else is on every node before the environment is there. Its steps are in
``start.sh``. The lines in front of them say which environment it is.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib import resources

from fasthep_parsl.packing.compression import Format
from fasthep_parsl.packing.manifest import Manifest

ARCHIVE, START = "environment.tar", "environment.sh"
"""Names of the archive and of the start script, among the files of the worker setup."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNZSTD = """\
import sys
def reader():
    for name in ("compression.zstd", "backports.zstd", "pyzstd"):
        try:
            return __import__(name, fromlist=["open"]).open(sys.stdin.buffer)
        except ImportError:
            pass
    import zstandard
    return zstandard.ZstdDecompressor().stream_reader(sys.stdin.buffer, read_across_frames=True)
source = reader()
while "check" not in sys.argv:
    block = source.read(1 << 20)
    if not block:
        break
    sys.stdout.buffer.write(block)
"""
"""Decompresses standard input, for nodes with such a Python and without the program ``zstd``."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a node unpacks an environment.

    Attributes
    ----------
    cache : str
        Folder on the node; ``~``, variables and ``$(…)`` are expanded there. Empty: the first usable one of
        ``$_CONDOR_SCRATCH_DIR``, ``$SLURM_TMPDIR``, ``$TMPDIR``, ``/local/scratch``, ``/tmp``.
    format : str
        Compression of the archive.
    timeout : float
        Longest time to wait for another process that unpacks, and to unpack [s].
    limit : int
        Size of all environments in the folder [bytes], beyond which unused ones are removed.
    library_path : bool
        Whether ``LD_LIBRARY_PATH`` begins with the environment's ``lib``.
    """

    cache: str = ""
    format: Format = "zst"
    timeout: float = 1200.0
    limit: int = 20_000_000_000
    library_path: bool = False


def start_script(manifest: Manifest, sha256: str, options: StartOptions = StartOptions()) -> str:
    """Return the text of ``environment.sh``, which a node sources.

    It needs ``environment.tar`` in the folder ``$FASTHEP_PARSL_FILES``. It exports FASTHEP_PARSL_PREFIX (the folder of the
    environment) and FASTHEP_PARSL_ENVIRONMENT (the environment hash). If it fails, it says why and returns 1.

    Parameters
    ----------
    manifest : Manifest
        The manifest of the archive.
    sha256 : str
        Checksum of the archive as it is transferred.
    options : StartOptions
        How the node unpacks it.

    Raises
    ------
    ValueError
        The checksum, or the environment hash, is not a SHA-256.
    """
    for checksum in (sha256, manifest.hash):
        if not _SHA256.fullmatch(checksum):
            raise ValueError(f"`{checksum}` is not a SHA-256")
    values = {
        "name": manifest.name,
        "hash": manifest.hash,
        "sha256": sha256,
        "platform": manifest.platform,
        "glibc": manifest.glibc if re.fullmatch(r"\d+\.\d+", manifest.glibc) else "",
        "bytes": manifest.unpacked,
        "files": manifest.files,
        "format": options.format,
        "has_cache": "yes" if options.cache else "",
        "timeout": max(round(options.timeout), 1),
        "limit": options.limit,
        "library_path": "yes" if options.library_path else "",
        "unzstd": _UNZSTD,
        "verify": _package_text("node_verification.py"),
    }
    lines = [f"fasthep_env_{name}={shlex.quote(str(value))}" for name, value in values.items()]
    lines.append(f"fasthep_env_cache() {{ printf '%s\\n' {_expanded(options.cache)}; }}")
    return "\n".join([*lines, "", _package_text("start.sh")])


def _package_text(name: str) -> str:
    return resources.files("fasthep_parsl.packing").joinpath(name).read_text(encoding="utf-8")


def _expanded(text: str) -> str:
    """Return text in double quotes. The node's shell expands ``~``, variables and ``$(…)`` in it."""
    home = re.sub(r"^~(?=/|$)", "$HOME", text)
    return '"' + re.sub(r'(["`\\])', r"\\\1", home) + '"'
