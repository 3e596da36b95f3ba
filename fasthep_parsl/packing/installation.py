"""What a Python installation says of itself: its version, its base, and where its packages are."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import this_platform

_QUESTION = """
import json, os, platform, site, sys, sysconfig
paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
print(json.dumps({
    "version": platform.python_version(),
    "short": "%d.%d" % sys.version_info[:2],
    "base": sys.base_prefix,
    "program": os.path.realpath(sys._base_executable),
    "stdlib": os.path.dirname(os.path.realpath(os.__file__)),
    "search": sys.path,
    "cache_tag": sys.implementation.cache_tag,
    "debian": "dist-packages" in "".join(site.getsitepackages([sys.base_prefix])),
    "include": paths["include"],
}))
"""
_SYSTEM = ("/", "/usr", "/usr/local")


@dataclass(frozen=True, slots=True)
class Installation:
    """A Python installation.

    Attributes
    ----------
    prefix : Path
        Its folder, as its scripts write it.
    base : Path
        The installation that it extends, if it is a venv; else `prefix`.
    program : Path
        The program file of Python.
    version, short : str
        ``3.11.7`` and ``3.11``.
    stdlib : Path
        Folder of the standard library.
    search : tuple of str
        Folders in which it finds modules.
    cache_tag : str
        Part of the names of compiled files, ``cpython-311``.
    debian : bool
        Whether packages of the system are in ``dist-packages``.
    platform : str
        Platform of its programs, ``linux-64``. Of another platform than this machine's, nothing is run.
    """

    prefix: Path
    base: Path
    program: Path
    version: str
    short: str
    stdlib: Path
    include: Path
    search: tuple[str, ...]
    cache_tag: str
    debian: bool
    platform: str = field(default_factory=this_platform)

    @property
    def is_venv(self) -> bool:
        """Whether it extends another installation."""
        return (self.prefix / "pyvenv.cfg").is_file()

    @property
    def is_conda(self) -> bool:
        """Whether conda or pixi installed it."""
        return (self.prefix / "conda-meta").is_dir()

    @property
    def is_system(self) -> bool:
        """Whether it is the Python of the operating system, which shares its folders with other software."""
        return str(self.prefix) in _SYSTEM

    @property
    def python(self) -> Path:
        """The Python that has the packages of this installation."""
        return python_of(self.prefix)

    @property
    def site_packages(self) -> Path:
        """Folder of the packages in an archive, relative to the prefix."""
        return Path("lib", f"python{self.short}", "site-packages")


def python_of(prefix: Path) -> Path:
    """Return the Python of an installation.

    Raises
    ------
    SiteError
        There is none.
    """
    for name in ("python", "python3"):
        if os.access(prefix / "bin" / name, os.X_OK):
            return prefix / "bin" / name
    raise SiteError(f"packing: `{prefix}` has no Python: there is no `{prefix / 'bin' / 'python'}`")


def describe(prefix: Path) -> Installation:
    """Ask the Python of an installation for its folders.

    Parameters
    ----------
    prefix : Path
        Folder of the installation.

    Raises
    ------
    SiteError
        It has no Python, or it does not start.
    """
    python = python_of(prefix)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-I", "-c", _QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=60)  # noqa: S603
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SiteError(f"packing: `{python}` does not start: {reason}")
    answer = json.loads(done.stdout)
    short = answer["short"]
    if tuple(map(int, short.split("."))) < (3, 11):
        raise SiteError(f"packing: `{python}` is Python {answer['version']}; fasthep-parsl needs 3.11 or newer")
    return Installation(
        prefix,
        Path(answer["base"]),
        Path(answer["program"]),
        answer["version"],
        short,
        Path(answer["stdlib"]),
        Path(answer["include"]),
        tuple(answer["search"]),
        answer["cache_tag"],
        answer["debian"],
    )
