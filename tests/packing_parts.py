"""A small installation without a real Python, to pack in tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from fasthep_parsl.packing.installation import Installation

SHORT = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = f"lib/python{SHORT}/site-packages"


def write(path: Path, content: str | bytes, mode: int = 0o644) -> Path:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def small_prefix(folder: Path) -> Installation:
    """Make a conda-like installation: its own Python, a package, a script."""
    write(folder / f"bin/python{SHORT}", b"\0program", 0o755)
    (folder / "bin/python").symlink_to(f"python{SHORT}")
    write(folder / "bin/tool", f"#!{folder}/bin/python\nprint('tool')\n", 0o755)
    write(folder / f"lib/python{SHORT}/os.py", "path = 1\n")
    write(folder / PACKAGES / "demo/__init__.py", "number = 42\n")
    write(
        folder / PACKAGES / "Demo_Package-1.5.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Demo_Package\nVersion: 1.5\n",
    )
    return installation(folder)


def installation(folder: Path) -> Installation:
    """Describe the installation."""
    return Installation(
        prefix=folder,
        base=folder,
        program=folder / f"bin/python{SHORT}",
        version=f"{SHORT}.9",
        short=SHORT,
        stdlib=folder / f"lib/python{SHORT}",
        include=folder / "include",
        search=(str(folder / PACKAGES),),
        cache_tag=str(sys.implementation.cache_tag),
        debian=False,
    )


def answering_prefix(folder: Path) -> Path:
    """Make a small installation whose `bin/python` answers the questions of `describe`, and nothing else."""
    small_prefix(folder)
    answer = {
        "version": f"{SHORT}.9",
        "short": SHORT,
        "base": str(folder),
        "program": str(folder / f"bin/python{SHORT}"),
        "stdlib": str(folder / f"lib/python{SHORT}"),
        "search": [str(folder / PACKAGES)],
        "cache_tag": str(sys.implementation.cache_tag),
        "debian": False,
        "include": str(folder / "include"),
    }
    write(folder / f"bin/python{SHORT}", f"#!/bin/sh\necho '{json.dumps(answer)}'\n", 0o755)
    return folder


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack with tar, as a node does."""
    folder.mkdir(parents=True)
    status = os.spawnlp(os.P_WAIT, "tar", "tar", "-xf", str(archive), "-C", str(folder))
    assert status == 0
    return folder
