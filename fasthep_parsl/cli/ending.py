"""The streams of the process: what is printed must never end a run, whether the reader has gone or the disk is full."""

from __future__ import annotations

import os
import sys
from typing import Any


def emit(text: str) -> None:
    """Write a result for other programs to stdout; end quietly if the reader has gone.

    Raises
    ------
    OSError
        It cannot be written, for instance to a full disk.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        to_nowhere(sys.stdout)


def open_missing() -> None:
    """Give the process the streams that it was started without (``>&-``)."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: PTH123, SIM115
            setattr(sys, name, stream)


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
