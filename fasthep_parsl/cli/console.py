"""Print to the terminal: text for people on a `Screen`, results for other programs with `emit`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from fasthep_parsl.cli.process import discard_output
from fasthep_parsl.jsontext import json_text

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def without_control(text: str) -> str:
    """Return `text` with control characters replaced: escape sequences and direction marks change a terminal."""
    return _CONTROL.sub("�", text)


class Screen(Console):
    """A console that prints text unchanged and becomes quiet when its stream is closed.

    Names and messages are printed without markup, emoji and control characters.

    Parameters
    ----------
    stderr : bool
        Print to stderr.
    quiet : bool
        Print nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments without control characters in their text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(without_control(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Continue without output if the reader (``| head``, ``| less``) has closed the pipe."""
        self.quiet = True
        discard_output(self.file)

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:  # for instance a log file on a full disk
            self._buffer.clear()
            self.quiet = True


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print `text` unchanged: no markup, no highlighting, no line breaks added."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def emit(text: str) -> None:
    """Write a result for other programs to stdout. If the reader has closed the pipe, write nothing more.

    Raises
    ------
    OSError
        Writing failed, for instance because the disk is full.
    """
    try:
        sys.stdout.write((without_control(text) if sys.stdout.isatty() else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output(sys.stdout)


def emit_json(content: Any) -> None:
    """Write `content` as JSON to stdout. Characters are escaped unless stdout is Unicode, so none are lost."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    emit(json_text(content, indent=1, ensure_ascii=not unicode))


def emit_schema(model: type[BaseModel]) -> None:
    """Write the JSON Schema of a model to stdout."""
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(by_alias=True)})
