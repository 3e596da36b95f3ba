"""Environment ``packed-prefix``: the driver's installation, or another one, is packed and unpacked on each node."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field

from fasthep_parsl.environments.packed import PackedEnvironment
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.packing.archive import pack_stored
from fasthep_parsl.packing.store import StoredArchive
from fasthep_parsl.packing.writer import Report
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value

CURRENT_INSTALLATION = "current"
KEY = "execution.environment.prefix"


def _prefix(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if text == CURRENT_INSTALLATION:
        return text
    if not text or not PurePosixPath(text).is_absolute() or "\n" in text:
        raise wrong_value(
            f"expected an absolute path of a folder, got {describe(value)}",
            "write `current` for the installation that starts the run, or a path such as `/home/me/my-env` with "
            "`bin/python` in it",
        )
    return str(PurePosixPath(text))


class PackedPrefix(PackedEnvironment):
    """Pack an installation, such as a virtual environment or one of conda, and unpack it on each node."""

    prefix: Annotated[str, BeforeValidator(_prefix)] = Field(
        CURRENT_INSTALLATION,
        description="folder with `bin/python`, or `current` for the installation that starts the run",
    )

    @property
    def folder(self) -> Path:
        """The folder of the installation."""
        return Path(sys.prefix if self.prefix == CURRENT_INSTALLATION else self.prefix)

    def check(self) -> None:
        """Look for the Python of the installation.

        Raises
        ------
        ConfigError
            There is none.
        """
        names = ("python", "python3")  # Debian's own has no `python`
        if self.prefix != CURRENT_INSTALLATION and not any((self.folder / "bin" / name).exists() for name in names):
            hint = "set `prefix` to the folder of a virtual environment, or of one of conda or pixi"
            raise ConfigError(Problem("E114", f"there is no Python in `{self.folder}/bin`", KEY, hint=hint))

    def pack(self, target: Path, report: Report) -> StoredArchive:
        """Put the archive at `target`: from the store if nothing has changed, else it is packed."""
        return pack_stored(self.folder, target, form=self.format, report=report)
