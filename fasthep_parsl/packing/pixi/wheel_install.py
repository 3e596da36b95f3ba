"""Install wheels into a prefix whose Python need not run here: unpack them, write their scripts (PEP 427)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fasthep_parsl.errors import SiteError

_SCHEME = ("purelib", "platlib", "scripts", "data", "headers")
_TIME = 1_577_836_800
"""Modification time of installed files, 1 January 2020: the same each time, so that compiled code is the same, too."""


def install_wheels(wheels: Iterable[Path], prefix: Path, python: str, *, site_packages: str = "") -> None:
    """Install wheels into a prefix.

    Parameters
    ----------
    wheels : iterable of Path
        The wheels.
    prefix : Path
        The prefix.
    python : str
        Version of its Python.
    site_packages : str
        Its folder of packages, relative to the prefix; empty for the usual one.

    Raises
    ------
    SiteError
        A wheel is damaged, or cannot be installed.
    """
    from zipfile import BadZipFile

    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.exceptions import InstallerError
    from installer.sources import WheelFile

    short = ".".join(python.split(".")[:2])
    packages = prefix / (site_packages or f"lib/python{short}/site-packages")
    for wheel in wheels:
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=prefix) as stage:
            try:
                with WheelFile.open(wheel) as source:
                    headers = prefix / "include" / f"python{short}" / source.distribution
                    places = (packages, packages, prefix / "bin", prefix, headers)
                    scheme = dict(zip(_SCHEME, map(str, places), strict=True))
                    interpreter = str(prefix / "bin" / f"python{short}")
                    destination = SchemeDictionaryDestination(scheme, interpreter, "posix", destdir=stage)
                    install(source, destination, {"INSTALLER": b"fasthep-parsl"})
            except (InstallerError, BadZipFile, OSError, ValueError, KeyError, AssertionError) as error:
                raise SiteError(
                    f"environment `packed-pixi`: cannot install the wheel `{wheel.name}`: {error}"
                ) from None
            _move(Path(stage, *prefix.parts[1:]), prefix)


def _move(stage: Path, prefix: Path) -> None:
    """Move files into the prefix. Those of the same name are replaced, not written to: they may be links into a cache."""
    for folder, _, names in os.walk(stage):
        target = prefix / Path(folder).relative_to(stage)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.utime(Path(folder, name), (_TIME, _TIME))
            Path(folder, name).replace(target / name)


def wrong_tags(wheel: str, platform: str, python: str) -> str:
    """Return why a wheel cannot run on a platform of conda with a version of Python; empty if it can.

    Parameters
    ----------
    wheel : str
        Its file name.
    platform : str
        ``linux-64``, ``linux-aarch64``.
    python : str
        ``3.11.7``.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        tags = parse_wheel_filename(wheel)[3]
    except InvalidWheelFilename as error:
        return str(error)
    machine = {"linux-64": "x86_64"}.get(platform, platform.removeprefix("linux-"))
    minor = int(python.split(".")[1])
    for tag in tags:
        for_linux = tag.platform.startswith(("linux_", "manylinux")) and tag.platform.endswith(f"_{machine}")
        right_platform = tag.platform == "any" or for_linux
        if right_platform and _right_python(tag.interpreter, tag.abi, minor):
            return ""
    return f"it is for {', '.join(sorted(map(str, tags)))}, not for Python {python} on {platform}"


def _right_python(interpreter: str, abi: str, minor: int) -> bool:
    if interpreter in {"py3", f"py3{minor}"}:
        return abi == "none"
    if not interpreter.startswith("cp3"):
        return interpreter.startswith("py3") and abi == "none" and int(interpreter[3:] or 0) <= minor
    own = int(interpreter[3:])
    return (own == minor and abi in {f"cp3{minor}", f"cp3{minor}t", "abi3", "none"}) or (own <= minor and abi == "abi3")
