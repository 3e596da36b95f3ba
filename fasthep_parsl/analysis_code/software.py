"""Software that results depend on: versions of packages, and hashes of packages that are edited in place."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from fasthep_parsl.analysis_code.closure import digest, imports, sha256
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan, PlanCode, PlanModule
from fasthep_parsl.version import __version__

ALWAYS = ("fasthep-parsl", "numpy", "awkward", "numba", "uproot", "pyarrow")
"""Packages whose versions always count, if they are installed."""
OURS = "fasthep_parsl"
DATA_FOLDERS = {"configs", "site_profiles"}
"""Folders without code that only an installed package of ours contains."""


def software(modules: Sequence[PlanModule], packages: Iterable[str]) -> dict[str, str]:
    """Return package → version of everything that a plan's results depend on, including Python (minor version).

    Parameters
    ----------
    modules : sequence of PlanModule
        Analysis code. Its imports count.
    packages : iterable of str
        Top-level modules of installed ops, modifiers and the source. Their imports count, unless they are packages
        whose version identifies their content.
    """
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ALWAYS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    waiting = {*packages}
    for module in modules:
        folder = Path(module.path).parent
        for file in module.files:
            if file.name.endswith(".py"):
                waiting |= _imported(folder / file.name)
    local = {Path(file.name).parts[0].removesuffix(".py") for module in modules for file in module.files}
    seen = {OURS, *sys.stdlib_module_names, *local}
    while waiting - seen:
        name = min(waiting - seen)
        seen.add(name)
        if name.replace("_", "-") not in found and _places(name):
            found[name] = identity(name, own=name in packages)
            waiting |= set() if _is_identified(name) else {top for file in _sources(name) for top in _imported(file)}
    return found


@cache
def identity(name: str, *, own: bool = True) -> str:
    """Return a text that identifies the software of a top-level module.

    Parameters
    ----------
    name : str
        Name of the module.
    own : bool
        Whether to include a hash of its content even if its version identifies it.
    """
    stated = _version(name)
    if not own and _is_identified(name):
        return stated
    places = _sources(name)
    base = places[0].parent if places else Path()
    files = [PlanCode(name=_relative(file, base), sha256=sha256(file.read_bytes())) for file in places]
    return f"{stated} {digest(files)[:16]}".strip()


def check_software(plan: Plan) -> None:
    """Refuse to run with other packages than those of the plan: edited ones, or other versions.

    Raises
    ------
    ConfigError
        Contains the package and both versions.
    """
    here, there = __version__, plan.software.get("fasthep-parsl", __version__)
    if here != there:
        raise _differs("fasthep-parsl", there, here)
    for code in dict.fromkeys(stage.op_hash for stage in plan.stages if not stage.module):
        name, _, planned = code.partition(" ")
        if planned and name != OURS and identity(name) != planned:
            raise _differs(name, planned, identity(name) or "none")


def _differs(name: str, planned: str, found: str) -> ConfigError:
    message = f"package `{name}` differs from the plan: {planned} in the plan, {found} on this worker"
    return ConfigError(Problem("E112", message, hint="if it was edited, run again; else install the same version"))


def _version(name: str) -> str:
    """Return name and version of the distribution of a module, empty if there is none."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        owners = _distributions().get(name, [])
    return " ".join(f"{owner} {version(owner)}" for owner in sorted(set(owners)))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _is_identified(name: str) -> bool:
    """Return whether the version identifies the content of a module: it is installed, not edited in place."""
    installed = [Path(sysconfig.get_path(key)).resolve() for key in ("purelib", "platlib")]
    places = _places(name)
    return bool(_version(name)) and all(any(p.resolve().is_relative_to(i) for i in installed) for p in places)


@cache
def _places(name: str) -> tuple[Path, ...]:
    """Return the folders of a package, or the file of a module; empty if there are none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations:
        return tuple(Path(place) for place in spec.submodule_search_locations)
    return (Path(spec.origin),) if spec.has_location and spec.origin else ()


def _sources(name: str) -> list[Path]:
    found: list[Path] = []
    for place in _places(name):
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        found += [file for file in files if name != OURS or file.relative_to(place).parts[0] not in DATA_FOLDERS]
    return found


def _imported(file: Path) -> set[str]:
    """Return the top-level modules that a file imports."""
    if file.suffix != ".py":
        return set()
    return {names[0] for names in imports(file.read_bytes()) if names and names[0]}


def _relative(file: Path, base: Path) -> str:
    return str(file.relative_to(base)) if file.is_relative_to(base) else file.name
