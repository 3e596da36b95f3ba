"""Environment ``image``: software that lies on the nodes already, in a container image or installed there."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.setup_folder import SetupFolder


def _python(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or not PurePosixPath(text).is_absolute() or text.endswith("/") or "\n" in text:
        raise wrong_value(f"expected a program that begins with `/`, got {describe(value)}", "`/usr/local/bin/python3`")
    return str(PurePosixPath(text))


class Image(BaseModel):
    """Workers use a Python that this machine need not have: it lies in the image of the job, or on the nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: Annotated[str, BeforeValidator(_python)] = Field(
        description="Python there, which has fasthep-parsl, and Parsl in the driver's version; `/usr/local/bin/python3`"
    )

    def setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        programs = shlex.quote(str(PurePosixPath(self.python).parent))
        return WorkerSetup((f'export PATH={programs}:"$PATH"',), self.python)

    def prepare(self, folder: SetupFolder) -> None:
        """Do nothing: this machine cannot check the image. A block reports it if the Python is missing."""
