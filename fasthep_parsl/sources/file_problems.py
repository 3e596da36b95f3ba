"""Problems with an input file that the command line names, outside of a workflow."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.sources.inspected import InspectedFile, inspect_file
from fasthep_parsl.workflow.datasets import near_names
from fasthep_parsl.workflow.locations import local_path


def inspected(path: str, tree: str | None = None) -> InspectedFile:
    """Return what a file contains; see `inspect_file`.

    Raises
    ------
    ConfigError
        The file cannot be read, or has no such tree.
    """
    check_exists(path)
    try:
        return inspect_file(path, tree)
    except InputFileError as error:
        raise ConfigError(problem_of(error)) from error
    except OSError as error:
        raise ConfigError(Problem("E132", f"`{path}` cannot be read: {error.strerror or error}")) from error


def check_exists(path: str) -> None:
    """Refuse a path without a file. URLs are not looked at.

    Raises
    ------
    ConfigError
        There is no such file, or it is a folder.
    """
    local = local_path(path)
    if local is None:
        return
    place = Path(local)
    if place.is_dir():
        names = sorted(entry.name for entry in place.iterdir() if entry.is_file())
        hint = f"name one of its files, for example {place / names[0]}" if names else "it has no files"
        raise ConfigError(Problem("E132", f"`{path}` is a folder", hint=hint))
    if not place.exists():
        raise ConfigError(Problem("E132", f"no such file: `{path}`", hint=near_names(place.parent, place.name)))


def problem_of(error: InputFileError) -> Problem:
    """Return the problem of a file that cannot be read."""
    code = "E132" if error.cause == "not_found" else "E135"
    return Problem(code, f"{error.path}: {error.message}", hint=error.hint)
