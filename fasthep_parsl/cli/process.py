"""Set up and end the process: module path, standard streams, exit. Output errors never end a run."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import Any

ENCODING_ERRORS = "fasthep-parsl"
"""Name of the encoding error handler: it replaces characters that the encoding of a stream does not have."""
_REPLACEMENTS = {
    "–": "-",
    "—": "-",
    "·": "-",
    "…": "~",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "×": "x",
    "Σ": "sum ",
    "✓": "ok",
    "✗": "x",
}


def remove_current_folder() -> None:
    """Remove the current folder from `sys.path` if only an empty entry of PYTHONPATH put it there.

    ``PYTHONPATH=/my/lib:$PYTHONPATH`` has such an entry if PYTHONPATH was empty. Scripts in the current folder may have
    the names of libraries, so this runs before large imports.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if len(entries) < 2 or "" not in entries:
        return
    here, package = str(Path.cwd()), Path(__file__).parents[2]
    if here not in entries and not package.samefile(here):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]


def prepare_streams() -> None:
    """Open standard streams that are closed (``>&-``) and make all of them accept every character.

    Terminals and batch logs may have another encoding than UTF-8, and file names may contain bytes that are not text.
    """
    codecs.register_error(ENCODING_ERRORS, _replace)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: PTH123, SIM115
            setattr(sys, name, stream)
        elif name != "stdin" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors=ENCODING_ERRORS)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return a replacement for characters that cannot be encoded: ``<=`` for ``≤``, ``?`` if nothing is similar."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_REPLACEMENTS.get(char, "?") for char in text), error.end


def discard_output(stream: Any) -> None:
    """Redirect `stream` to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def exit_process(code: int) -> None:
    """Flush the streams and exit without the interpreter's shutdown, which takes half a second."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            discard_output(stream)
    os._exit(code)
