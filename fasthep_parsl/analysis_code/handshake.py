"""Handshake: compare the software of workers with that of the driver before any task runs.

The driver sends what it expects. Each node answers with what its Python would import, without importing it. The comparison
is pure, and the same for nodes, for prepared environments and for the summary of a run.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fasthep_parsl.analysis_code.metadata import (
    module_places,
    normalised_name,
    normalised_version,
    version_of,
)
from fasthep_parsl.analysis_code.software import HASH_LENGTH, allowed_packages, identity
from fasthep_parsl.plan import Plan

NEVER_ALLOWED = ("python", "parsl", "fasthep-parsl")
"""Driver and workers exchange pickled objects, so these must be equal."""
PARQUET = "pyarrow"
"""Workers may lack it if the input is not Parquet. An op that needs it fails with a message that names it."""
UNKNOWN = "unknown"
"""Version of a package that can be imported but has no metadata where it is."""

_HASH = re.compile(rf"[0-9a-f]{{{HASH_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ExpectedSoftware:
    """The software that workers must have.

    Attributes
    ----------
    software : mapping
        Package → version, and hash if there is one, as in `Plan.software`; also of Parsl.
    allow, optional : tuple of str
        Packages that may differ, and that workers may lack.
    environment : str
        Kind of the environment, empty for the driver's.
    """

    software: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    environment: str = ""

    def text(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> ExpectedSoftware:
        """Return what `text` has written."""
        content = json.loads(text)
        allow, optional = tuple(content["allow"]), tuple(content["optional"])
        return cls(content["software"], allow, optional, content["environment"])


@dataclass(frozen=True, slots=True)
class SoftwareDifference:
    """A package that is not the same on workers and driver.

    Attributes
    ----------
    package : str
        Its name.
    expected, found : str
        Versions, or identities, at the driver and on the workers. `found` is empty if it is not installed.
    allowed : bool
        Whether the environment permits the difference.
    """

    package: str
    expected: str
    found: str
    allowed: bool = False

    def __str__(self) -> str:
        planned, here = (" ".join(_stated(text)) or "without version" for text in (self.expected, self.found))
        if not self.found:
            return f"`{self.package}` is not installed (driver: {planned})"
        if planned == here:
            return f"`{self.package}` {here} has other code than that of the driver"
        return f"`{self.package}` is {here} (driver: {planned})"


def expected_software(plan: Plan) -> ExpectedSoftware:
    """Return the software that the workers of a plan must have: that of the plan, and Parsl."""
    software = dict(plan.software)
    with suppress(PackageNotFoundError):
        software["parsl"] = version("parsl")  # without importing it
    optional = () if plan.source.kind == "parquet" else (PARQUET,)
    kind = plan.environment.kind if plan.environment else ""
    return ExpectedSoftware(software, allowed_packages(plan), optional, kind)


def installed_software(expected: Mapping[str, str]) -> dict[str, str]:
    """Return what this process would import, in the form of `expected`; empty for packages that are not installed.

    Packages are hashed only if `expected` has a hash.
    """
    return {name: _installed(name, text) for name, text in expected.items()}


def _installed(name: str, expected: str) -> str:
    if name == "python":
        return "{}.{}".format(*sys.version_info)
    module = name.replace("-", "_")
    if not module_places(module):
        return ""
    stated = _stated(expected)
    owners = tuple(stated[::2]) if len(stated) > 1 else ()
    if _hash(expected):
        return identity(module, owners=owners)
    found = " ".join(f"{owner} {version_of(owner, module)}" for owner in owners) or version_of(name, module)
    return found or UNKNOWN


def differences(expected: ExpectedSoftware, found: Mapping[str, str]) -> tuple[SoftwareDifference, ...]:
    """Return what differs in a way that can change results.

    Parameters
    ----------
    expected : ExpectedSoftware
        The software of the driver.
    found : mapping
        Result of `installed_software` on a node.
    """
    allowed = set(expected.allow) - set(NEVER_ALLOWED)
    return tuple(
        SoftwareDifference(name, text, found.get(name, ""), normalised_name(name) in allowed)
        for name, text in expected.software.items()
        if not _equal(text, found.get(name, "")) and (found.get(name) or name not in expected.optional)
    )


def known_differences(expected: ExpectedSoftware, versions: Mapping[str, str]) -> tuple[SoftwareDifference, ...]:
    """Return what differs in an environment of which only versions are known.

    Parameters
    ----------
    expected : ExpectedSoftware
        The software of the driver.
    versions : mapping
        Name of a package, normalised → version, and ``python`` → its version.
    """
    found = {}
    for name, text in expected.software.items():
        stated = _stated(text)
        if name == "python":
            found[name] = ".".join(versions.get(name, text).split(".")[:2])
        elif len(stated) == 1:
            found[name] = versions.get(normalised_name(name), "")
        else:  # the module belongs to packages with other names, or to none
            pairs = [(owner, versions.get(normalised_name(owner), "")) for owner in stated[::2]]
            found[name] = " ".join(f"{owner} {known}" for owner, known in pairs if known) if pairs else text
    plain = {name: " ".join(_stated(text)) or text for name, text in expected.software.items()}
    return differences(replace(expected, software=plain), found)


def on_python_path(package: str) -> bool:
    """Return whether this process imports a package from a folder on PYTHONPATH, where workers may find it, too."""
    folders = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return any(place.resolve().parent in folders for place in module_places(package.replace("-", "_")))


def refusal(found: Iterable[SoftwareDifference], expected: ExpectedSoftware, python: str = "") -> str:
    """Return why workers are refused, empty if nothing differs that is not allowed.

    Parameters
    ----------
    found : iterable of SoftwareDifference
        The differences.
    expected : ExpectedSoftware
        The software of the driver.
    python : str
        Path of the Python of the workers.
    """
    refused = [item for item in found if not item.allowed]
    if not refused:
        return ""
    kind = f"environment `{expected.environment}`" if expected.environment else "no `environment` is set"
    place = ", ".join(text for text in (python, kind) if text)
    names = [normalised_name(item.package) for item in refused if item.package not in NEVER_ALLOWED]
    hint = "install the driver's versions there"
    if names:
        hint += f", or permit differences with `environment: {{kind: {expected.environment or 'shared-prefix'}, "
        hint += f"allow: [{', '.join(names)}]}}`"
    return f"other software than that of the driver: {', '.join(map(str, refused))} ({place}); {hint}"


def _stated(text: str) -> list[str]:
    """Return an identity without its hash: a version, or names and versions of packages."""
    words = text.split()
    return words[:-1] if words and _HASH.fullmatch(words[-1]) else words


def _hash(text: str) -> str:
    last = text.split()[-1:]
    return last[0] if last and _HASH.fullmatch(last[0]) else ""


def _equal(expected: str, found: str) -> bool:
    """Return whether two identities are equal, apart from the spelling of names and versions."""
    if _hash(expected) != _hash(found):
        return False
    one, other = ([*map(_normalised, _stated(text))] for text in (expected, found))
    return one == other


def _normalised(word: str) -> str:
    return normalised_version(word) if word[:1].isdigit() else normalised_name(word)
