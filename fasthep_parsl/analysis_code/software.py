"""Software that results depend on: versions of packages, and hashes of packages that are edited in place."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from fasthep_parsl.analysis_code.checksums import digest, sha256
from fasthep_parsl.analysis_code.imports import parse_imports
from fasthep_parsl.analysis_code.metadata import module_places, normalised_name, owners_of, version_of
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan, PlanCode
from fasthep_parsl.version import __version__

ALWAYS = ("fasthep-parsl", "numpy", "awkward", "numba", "uproot", "pyarrow")
"""Packages whose versions always count, if they are installed."""
OURS = "fasthep_parsl"
HASH_LENGTH = 16
"""Hexadecimal digits of a hash in an identity."""
DATA_FOLDERS = {"configs", "site_profiles"}
"""Folders without code that only an installed package of ours contains."""


def software(imported: Collection[str], packages: Iterable[str]) -> dict[str, str]:
    """Return package → version of everything that a plan's results depend on, including Python (minor version).

    Parameters
    ----------
    imported : collection of str
        Top-level modules that analysis code imports.
    packages : iterable of str
        Top-level modules of installed ops, modifiers and the source. Their imports count, unless they are packages
        whose version identifies their content.
    """
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ALWAYS:
        top = name.replace("-", "_")
        if module_places(top):
            found[name] = identity(OURS) if top == OURS else version_of(name, top) or identity(top, own=False)
    waiting = {*imported, *packages}
    seen = {OURS, *sys.stdlib_module_names}
    while waiting - seen:
        name = min(waiting - seen)
        seen.add(name)
        if name.replace("_", "-") not in found and module_places(name):
            found[name] = identity(name, own=name in packages)
            waiting |= set() if _is_identified(name) else {top for file in _sources(name) for top in _imported(file)}
    return found


@cache
def identity(name: str, *, own: bool = True, owners: tuple[str, ...] = ()) -> str:
    """Return a text that identifies the software of a top-level module.

    Parameters
    ----------
    name : str
        Name of the module.
    own : bool
        Whether to include a hash of its content even if its version identifies it.
    owners : tuple of str
        Packages that contain the module, if they are known and none has its name.

    Returns
    -------
    str
        Version, and hash unless the version identifies the content. If the package has another name than the module:
        names and versions of the packages instead of the version.
    """
    stated = _version(name, owners)
    if not own and _is_identified(name):
        return stated
    places = _sources(name)
    base = places[0].parent if places else Path()
    files = [PlanCode(name=_relative(file, base), sha256=sha256(file.read_bytes())) for file in places]
    return f"{stated} {digest(files)[:HASH_LENGTH]}".strip()


def check_software(plan: Plan) -> None:
    """Refuse to run with other packages than those of the plan: edited ones, or other versions.

    Raises
    ------
    ConfigError
        Contains the package and both versions.
    """
    here, there = __version__, plan.software.get("fasthep-parsl", __version__).split()[0]
    if here != there:
        raise _differs("fasthep-parsl", there, here)
    allowed = allowed_packages(plan)
    for code in dict.fromkeys(stage.op_hash for stage in plan.stages if not stage.module):
        name, _, planned = code.partition(" ")
        if planned and name != OURS and normalised_name(name) not in allowed and identity(name) != planned:
            raise _differs(name, planned, identity(name) or "none")


def _differs(name: str, planned: str, found: str) -> ConfigError:
    message = f"package `{name}` differs from the plan: {planned} in the plan, {found} on this worker"
    return ConfigError(Problem("E112", message, hint="if it was edited, run again; else install the same version"))


def allowed_packages(plan: Plan) -> tuple[str, ...]:
    """Return the packages that may differ between driver and workers, `allow` of the environment."""
    allow = plan.environment.params.get("allow", ()) if plan.environment else ()
    return tuple(normalised_name(name) for name in ([allow] if isinstance(allow, str) else allow))


def _version(name: str, owners: tuple[str, ...] = ()) -> str:
    """Return the version of the package of a module, or names and versions of packages; empty if there is none."""
    if name == OURS:  # also if it is not installed
        return __version__
    stated = "" if owners else version_of(name, name)
    if stated:
        return stated
    found = ((owner, version_of(owner, name)) for owner in owners or owners_of(name))
    return " ".join(f"{owner} {version}" for owner, version in found if version)


def _is_identified(name: str) -> bool:
    """Return whether the version identifies the content of a module: it is installed, not edited in place."""
    installed = [Path(sysconfig.get_path(key)).resolve() for key in ("purelib", "platlib")]
    places = module_places(name)
    return bool(_version(name)) and all(any(p.resolve().is_relative_to(i) for i in installed) for p in places)


def _sources(name: str) -> list[Path]:
    found: list[Path] = []
    for place in module_places(name):
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        found += [file for file in files if name != OURS or file.relative_to(place).parts[0] not in DATA_FOLDERS]
    return found


def _imported(file: Path) -> set[str]:
    """Return the top-level modules that a file imports."""
    if file.suffix != ".py":
        return set()
    return {item.names[0] for item in parse_imports(file.read_bytes()).imports}


def _relative(file: Path, base: Path) -> str:
    return str(file.relative_to(base)) if file.is_relative_to(base) else file.name
