"""The streams of the process: what is printed must never end a run, whether the reader has gone or the disk is full."""

from __future__ import annotations

import codecs
import os
import re
import sys
from typing import Any

from fasthep_parsl.jsontext import json_text

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPELT = {
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
ERRORS = "fasthep-parsl"
"""How characters are written that the encoding of a stream does not have."""


def harmless(text: str) -> str:
    """Return `text` without characters that a terminal would obey: escape sequences, marks of direction."""
    return _OBEYED.sub("�", text)


def emit(text: str) -> None:
    """Write a result for other programs to stdout; end quietly if the reader has gone.

    Raises
    ------
    OSError
        It cannot be written, for instance to a full disk.
    """
    try:
        sys.stdout.write((harmless(text) if sys.stdout.isatty() else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        to_nowhere(sys.stdout)


def emit_json(content: Any) -> None:
    """Write `content` as `emit` does, as JSON that keeps every character whatever the encoding of stdout."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    emit(json_text(content, indent=1, ensure_ascii=not unicode))


def prepare_streams() -> None:
    """Give the process the streams that it was started without (``>&-``), and let them take every character.

    Terminals and logs of batch systems may have another encoding than UTF-8, and names of files may be no text at all.
    """
    codecs.register_error(ERRORS, _spelt)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: PTH123, SIM115
            setattr(sys, name, stream)
        elif name != "stdin" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors=ERRORS)


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks with what it has: ``<=`` for ``≤``, ``?`` where there is nothing like it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SPELT.get(char, "?") for char in error.object[error.start : error.end]), error.end


def leave(code: int) -> None:
    """End the process: everything is written, and tearing down large modules would take half a second."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            to_nowhere(stream)
    os._exit(code)


def to_nowhere(stream: Any) -> None:
    """Throw away what is written to `stream` from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
