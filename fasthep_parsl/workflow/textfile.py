"""Read the text of a YAML file, or report why it cannot be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fasthep_parsl.errors import ConfigError, Hint, Location, Problem, suggest

MAX_BYTES = 32_000_000
"""Largest file to read. A list of 100,000 input files has 12 MB."""


def read_text(path: Path) -> str:
    """Return the text of a YAML file.

    Raises
    ------
    ConfigError
        The file does not exist, cannot be read, or is not UTF-8.
    """
    try:
        return _bytes_of(path).decode("utf-8-sig")
    except FileNotFoundError:
        around = path.parent
        names = [p.name for p in around.iterdir() if p.suffix in {".yaml", ".yml"}] if around.is_dir() else []
        hint: Hint = suggest(path.name, names, what=f"YAML files in {around}")
        hint = hint if around.is_dir() else f"no folder `{around}`"
        raise ConfigError(Problem("E100", f"no such file: `{path}`", hint=hint, name=path.name)) from None
    except IsADirectoryError:
        raise ConfigError(Problem("E100", f"`{path}` is a folder", hint="give a YAML file")) from None
    except OSError as error:
        raise ConfigError(Problem("E100", f"cannot read `{path}`: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        where = Location(str(path), line, column)
        raise ConfigError(Problem("E101", "the file is not UTF-8 text", where=where, hint="save it as UTF-8")) from None


def _bytes_of(path: Path) -> bytes:
    """Return the content of a regular file. Devices and pipes may be endless."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
        mode, size = os.fstat(descriptor).st_mode, os.fstat(descriptor).st_size
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            hint = "write its content to a file"
            raise ConfigError(Problem("E100", f"`{path}` is a pipe, a socket or a device, not a file", hint=hint))
        if size > MAX_BYTES:
            hint = f"YAML files may have at most {MAX_BYTES / 1e6:.0f} MB"
            raise ConfigError(Problem("E100", f"`{path}` is too large: {size / 1e6:,.0f} MB", hint=hint))
        return file.read(MAX_BYTES)
