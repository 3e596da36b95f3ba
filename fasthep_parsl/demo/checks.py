"""Check the arguments of `write_demo_data`, and that the output directory has no files of others."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from fasthep_parsl.errors import ConfigError, Hint, Problem, suggest
from fasthep_parsl.room import full_message, is_full

MANIFEST: Final = "demo-data.json"
"""File with the names of all files that were written."""
PARTIAL: Final = ".demo-data-"
"""Beginning of the names of directories with incomplete files."""

NEW_DIRECTORY = "name a new directory"


def check_arguments(
    numbers: Mapping[str, tuple[int, int, str]], shares: Mapping[str, float], known: Collection[str]
) -> None:
    """Raise `ConfigError` for numbers that are too small and for unknown datasets and wrong shares.

    Parameters
    ----------
    numbers : mapping
        Name of an argument → its value, the least value, and a hint.
    shares : mapping
        Dataset → its share of the events.
    known : collection of str
        Datasets that can be made.
    """
    problems = [
        Problem("E170", f"`{name}` must be at least {least}, got `{value}`", hint=hint, name=name)
        for name, (value, least, hint) in numbers.items()
        if value < least
    ]
    problems += [
        Problem("E171", f"unknown demo dataset `{name}`", hint=suggest(name, known, what="datasets"), name=name)
        for name in shares
        if name not in known
    ]
    problems += [
        Problem("E171", f"share of dataset `{name}` must be a number from 0 on, got `{share}`", name=name)
        for name, share in shares.items()
        if not (math.isfinite(share) and share >= 0)
    ]
    if not shares:
        problems.append(Problem("E171", "no datasets to write", hint=f"datasets: {', '.join(known)}"))
    elif not any(shares.values()):
        problems.append(Problem("E171", "all shares of the datasets are 0", hint="give one of them a share above 0"))
    if problems:
        raise ConfigError(*problems)


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` if a directory has files that an earlier call did not write, or cannot be read."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(Problem("E172", f"`{folder}` is a file, not a directory", hint=NEW_DIRECTORY))
    if not folder.exists():
        return
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ConfigError(Problem("E172", f"cannot read `{folder}`: {_reason(error)}", hint=NEW_DIRECTORY)) from error
    own = own_files(folder)
    if own is None and MANIFEST in present:
        message = f"`{folder / MANIFEST}` is damaged, so demo data and other files cannot be distinguished"
        raise ConfigError(Problem("E172", message, hint=f"remove `{folder}`, or {NEW_DIRECTORY}"))
    foreign = sorted(name for name in present - set(own or ()) if not name.startswith(PARTIAL))
    if foreign:
        shown = ", ".join(f"`{name}`" for name in foreign[:3]) + (", …" if len(foreign) > 3 else "")
        message = f"`{folder}` has files that are not demo data: {shown}"
        raise ConfigError(Problem("E172", message, hint=NEW_DIRECTORY))


def own_files(folder: Path) -> list[str] | None:
    """Return the names that an earlier call wrote into `folder`; None if there is no readable list of them."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
        return [MANIFEST, *map(str, content["files"])]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unwritable(folder: Path, error: OSError) -> ConfigError:
    """Return the error for a directory that cannot be made or written."""
    hint: Hint = "name a directory that you can write to"
    message = f"cannot write to `{folder}`: {_reason(error)}"
    if is_full(error):
        message, hint = full_message(error, folder), "or name a directory on another disk, or write fewer events"
    elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
        file = next((path for path in (folder, *folder.parents) if path.is_file()), folder)
        message, hint = f"cannot make `{folder}`: `{file}` is a file", NEW_DIRECTORY
    return ConfigError(Problem("E173", message, hint=hint))


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
