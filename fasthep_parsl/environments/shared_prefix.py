"""Environment ``shared-prefix``: use an installation on a shared file system in place."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field

from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.environments.installed import installed_versions
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
            f"expected an absolute path of a folder, got {describe(value)}",
            "write `current` for the installation that starts the run, or a path such as `/shared/my-env` with `bin/python` in it",
        )
    return str(PurePosixPath(text))


class SharedPrefix(EnvironmentModel):
    """Use an installation that workers see: the driver's, or another one."""

    prefix: Annotated[str, BeforeValidator(_prefix)] = Field(
        CURRENT, description="folder with `bin/python`, or `current` for the installation that starts the run"
    )

    @property
    def folder(self) -> PurePosixPath:
        """The folder as a path."""
        return PurePosixPath(sys.prefix if self.prefix == CURRENT else self.prefix)

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        programs = self.folder / "bin"
        # on some systems the system's Python is not called `bin/python`
        python = sys.executable if self.prefix == CURRENT else str(programs / "python")
        return WorkerSetup((*self.setup_lines, f'export PATH={shlex.quote(str(programs))}:"$PATH"'), python)

    def prepare(self, folder: SetupFolder) -> Mapping[str, str] | None:  # noqa: ARG002 - the contract of environments
        """Check that the Python exists; return the versions in another installation than the driver's.

        With `setup`, they are unknown: a view can put other packages before those of the installation.

        Raises
        ------
        SiteError
            It does not exist.
        """
        python = Path(self.worker_setup().python)
        if not python.is_file():
            raise SiteError(
                f"environment `shared-prefix`: `{python}` does not exist; set `prefix` to a folder with `bin/python`"
            )
        return None if self.prefix == CURRENT or self.setup else installed_versions(Path(self.folder))
