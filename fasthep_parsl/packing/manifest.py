"""What an archive of an environment contains: a small file at its start."""

from __future__ import annotations

import platform
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FOLDER = ".fasthep-parsl"
"""Folder of an archive with the files about it. They do not count for the environment hash."""
MANIFEST = f"{FOLDER}/manifest.json"
RELOCATE = f"{FOLDER}/relocate.py"
RELOCATIONS = f"{FOLDER}/relocations.json"
PLACEHOLDER = "/opt/fasthep-parsl/environment"
"""Prefix in the text files of an archive. Relocation replaces it with the folder on the node."""
_ARCHITECTURES = {"x86_64": "64", "i686": "32"}


def this_platform() -> str:
    """Return the name of this platform, as conda writes it: ``linux-64``, ``linux-aarch64``."""
    machine = platform.machine()
    return f"{platform.system().lower()}-{_ARCHITECTURES.get(machine, machine)}"


def normalised(distribution: str) -> str:
    """Return the name of a distribution as the manifest writes it: lower case, with ``-``."""
    return "-".join(part for part in distribution.lower().replace("_", "-").replace(".", "-").split("-") if part)


def is_derived(name: str) -> bool:
    """Return whether a member follows from others: compiled Python code. It does not count for the environment hash."""
    return name.endswith(".pyc") and f"/{name}".rpartition("/")[0].endswith("/__pycache__")


class Manifest(BaseModel):
    """What an archive contains, and what a node must have to use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(1, description="version of this format")
    kind: Literal["packed-prefix", "packed-pixi"] = Field(description="kind of environment that made the archive")
    name: str = Field("", description="name of the environment, for people")
    platform: str = Field(description="platform of its programs, `linux-64`, `linux-aarch64`")
    python: str = Field(description="version of its Python, `3.11.7`")
    packages: dict[str, str] = Field(description="distributions: name → version")
    built: tuple[str, ...] = Field((), description="distributions that were no wheels: editable, from git or a source")
    prefix: str = Field(PLACEHOLDER, description="prefix in its files, to be replaced with the folder on the node")
    hash: str = Field(description="environment hash: SHA-256 of paths, modes, contents and link targets")
    unpacked: int = Field(description="size of its files [bytes]")
    files: int = Field(description="number of its files")
    glibc: str = Field("", description="lowest version of glibc that its programs need; empty if unknown")

    @property
    def versions(self) -> dict[str, str]:
        """The versions of Python and of all distributions."""
        return {"python": self.python, **self.packages}
