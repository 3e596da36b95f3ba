"""Environment ``container``: workers run in a container, which the batch system or a program on the nodes starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import ContainerRuntime, PlanContainer
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.setup_folder import SetupFolder
from fasthep_parsl.workflow.values import Line, empty_list

SCHEMES = ("docker", "oras", "library", "osdf", "https", "http")
"""Schemes of images. What a runtime cannot start is refused where the runtime is known."""
_REFERENCE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?")


def _image(value: str) -> str:
    scheme, found, rest = value.partition("://")
    if found and (scheme not in SCHEMES or not rest or " " in value):
        allowed = ", ".join(f"`{known}://`" for known in SCHEMES)
        raise wrong_value(f"`{value}` is not an image", f"an image is a path or begins with {allowed}", code="E106")
    if found:
        return value
    if value.startswith("/"):
        return str(PurePosixPath(value))
    if not _REFERENCE.fullmatch(value) or value.endswith((".sif", ".simg", ".img")):
        hint = "write an absolute path, or a URL such as `docker://ghcr.io/me/analysis:1.0`"
        raise wrong_value(f"`{value}` is not an image", hint, code="E106")
    return f"docker://{value}"


def _python(value: str) -> str:
    if "/" in value and (not value.startswith("/") or value.endswith("/")):
        raise wrong_value(
            f"`{value}` is not a program of the image", "write a name, or an absolute path in the image", code="E106"
        )
    return value


def _bind(value: str) -> str:
    parts = value.split(":")
    paths = parts[:-1] if parts[-1] in {"ro", "rw"} and len(parts) > 1 else parts
    if len(paths) > 2 or "," in value or not all(path.startswith("/") for path in paths):
        hint = "write `/folder`, `/folder:/folder/inside` or `/folder:/folder/inside:ro`"
        raise wrong_value(f"`{value}` cannot be mounted", hint, code="E106")
    return value


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else empty_list(value)


Binds = Annotated[
    tuple[Annotated[Line, AfterValidator(_bind)], ...],
    BeforeValidator(_texts, json_schema_input_type=str | list[str] | None),
]
"""Folders to mount. A single text becomes a list."""


class Container(EnvironmentModel):
    """Run workers in a container. Its Python has fasthep-parsl and the driver's version of Parsl."""

    image: Annotated[Line, AfterValidator(_image)] = Field(
        description="`docker://…`, `oras://…`, `osdf:///….sif`, a `.sif` file, or a folder such as `/cvmfs/unpacked.cern.ch/…`"
    )
    runtime: ContainerRuntime = Field(
        "site",
        description="what starts the container; site: the batch system where it can, apptainer on the node elsewhere",
    )
    python: Annotated[Line, AfterValidator(_python)] = Field(
        "python3", description="Python in the image: a path, or a name on the image's `PATH`"
    )
    bind: Binds = Field((), description="further folders of the node that workers see, `/cvmfs`, `/data:/inside:ro`")

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        container = PlanContainer(image=self.image, runtime=self.runtime, bind=self.bind)
        return WorkerSetup(self.setup_lines, self.python, container=container)

    def prepare(self, folder: SetupFolder) -> Mapping[str, str] | None:
        """Do nothing: the image is not opened here. A block reports it if the image or its Python is missing."""
