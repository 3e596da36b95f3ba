"""Environment ``image``: software that lies on the nodes already, in a container image or installed there."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.resources.units import UnitError, describe


def _python(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or not PurePosixPath(text).is_absolute() or text.endswith("/") or "\n" in text:
        raise UnitError(f"expected a program that begins with `/`, got {describe(value)}", "`/usr/local/bin/python3`")
    return str(PurePosixPath(text))


class Image(BaseModel):
    """Workers use a Python that this machine need not have: it lies in the image of the job, or on the nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: Annotated[str, BeforeValidator(_python)] = Field(
        description="Python there, which has fasthep-parsl, and Parsl in the driver's version; `/usr/local/bin/python3`"
    )

    def setup(self, run_dir: Path) -> WorkerSetup:  # noqa: ARG002 - the contract of environments
        """Return what workers need. Pure."""
        programs = shlex.quote(str(PurePosixPath(self.python).parent))
        return WorkerSetup((f'export PATH={programs}:"$PATH"',), self.python)

    def prepare(self, run_dir: Path) -> None:
        """Nothing can be checked from here: blocks say when they do not find it."""
