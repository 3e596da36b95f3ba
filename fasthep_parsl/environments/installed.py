"""Versions of the packages in another installation of Python, read from the names of its files, without starting it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_INFO = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-py3\.\d+)?\.(dist|egg)-info")
"""Packaging user guide, "Recording installed projects"; old setuptools append the Python to the name."""


def installed_versions(prefix: Path) -> Mapping[str, str] | None:
    """Return the versions of an installation.

    Parameters
    ----------
    prefix : Path
        A virtual environment, a conda or pixi environment, or another folder with `bin/python`.

    Returns
    -------
    mapping or None
        Normalised name → version, and ``python`` → its version. None if the names of files do not say it: the packages
        are not in ``lib/python3.x/site-packages``, or those of another installation are visible as well.
    """
    settings = _venv_settings(prefix)
    folders = [path for path in prefix.glob("lib/python3.*/site-packages") if path.is_dir()]
    if len(folders) != 1 or settings.get("include-system-site-packages", "false").lower() == "true":
        return None
    if any(_adds_packages(path) for path in folders[0].glob("*.pth")):
        return None
    found = {}
    for path in folders[0].iterdir():
        match = _INFO.fullmatch(path.name)
        if match:
            found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    python = folders[0].parent.name.removeprefix("python").rstrip("t")  # t: without the global lock
    return {**found, "python": _full_version(prefix, settings, python)}


def _adds_packages(pth: Path) -> bool:
    """Return whether a ``.pth`` file makes another folder with installed packages visible."""
    try:
        lines = [line.strip() for line in pth.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return True
    if any(line.startswith("import") and "addsitedir" in line for line in lines):
        return True
    added = (pth.parent / line for line in lines if line and not line.startswith(("#", "import ", "import\t")))
    return any(_INFO.fullmatch(path.name) for folder in added if folder.is_dir() for path in folder.iterdir())


def _venv_settings(prefix: Path) -> dict[str, str]:
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _full_version(prefix: Path, settings: Mapping[str, str], short: str) -> str:
    """Return the version with its third number if a virtual environment or conda has written it down."""
    conda = [path.name.split("-")[1] for path in prefix.glob("conda-meta/python-3.*.json")]
    for version in (settings.get("version", ""), settings.get("version_info", ""), *conda):
        numbers = re.match(r"\d+\.\d+\.\d+", version)
        if numbers and numbers[0].startswith(f"{short}."):
            return numbers[0]
    return short
