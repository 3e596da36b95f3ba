"""Environment ``image``: software that is already on the nodes, installed there or in the image of the job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field

from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.setup_folder import SetupFolder


def _python(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or not PurePosixPath(text).is_absolute() or text.endswith("/") or "\n" in text:
        raise wrong_value(f"expected an absolute path of a program, got {describe(value)}", "`/usr/local/bin/python3`")
    return str(PurePosixPath(text))


class Image(EnvironmentModel):
    """Use a Python on the nodes or in the image of the job. The submit side does not need it."""

    python: Annotated[str, BeforeValidator(_python)] = Field(
        description="Python with fasthep-parsl and the driver's version of Parsl, `/usr/local/bin/python3`"
    )

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        programs = shlex.quote(str(PurePosixPath(self.python).parent))
        return WorkerSetup((*self.setup_lines, f'export PATH={programs}:"$PATH"'), self.python)

    def prepare(self, folder: SetupFolder) -> Mapping[str, str] | None:
        """Do nothing: this machine cannot check the image. A block reports it if the Python is missing."""
