"""Environment ``shared-prefix``: an installation on a file system that workers see."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fasthep_parsl.errors import SiteError
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.setup_folder import SetupFolder

CURRENT = "current"


def _prefix(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if text == CURRENT:
        return text
    if not text or not PurePosixPath(text).is_absolute() or "\n" in text:
        raise wrong_value(
            f"expected a folder that begins with `/`, got {describe(value)}",
            "`current` is the one that the run is started from; `/shared/my-env` holds `bin/python`",
        )
    return str(PurePosixPath(text))


class SharedPrefix(BaseModel):
    """Workers use an installation that lies where they see it, in place: the driver's own, or another one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: Annotated[str, BeforeValidator(_prefix)] = Field(
        CURRENT, description="folder that holds `bin/python`; `current`: the one that the run is started from"
    )

    @property
    def folder(self) -> PurePosixPath:
        """The folder."""
        return PurePosixPath(sys.prefix if self.prefix == CURRENT else self.prefix)

    def setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        programs = self.folder / "bin"
        # a system-wide Python has no `bin/python` on some systems: there the driver's own name is right
        python = sys.executable if self.prefix == CURRENT else str(programs / "python")
        return WorkerSetup((f'export PATH={shlex.quote(str(programs))}:"$PATH"',), python)

    def prepare(self, folder: SetupFolder) -> None:  # noqa: ARG002 - the contract of environments
        """Check that it exists.

        Raises
        ------
        SiteError
            There is no Python in it.
        """
        python = Path(self.setup().python)
        if not python.is_file():
            raise SiteError(f"environment `shared-prefix`: there is no `{python}`")
