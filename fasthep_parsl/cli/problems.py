"""Print problems: what is wrong, where (the line, underlined), what to do. At most 8 lines each."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.text import Text

from fasthep_parsl.errors import SETTING, Location, Problem, Suggestion, on_command_line
from fasthep_parsl.workflow.parse import split_lines

WIDTH = 100
"""Columns for source lines and hints if the output is not a terminal."""
MAX_HINT_LINES = 3
MAX_CODES = 4
"""Codes to name in the command that explains them."""
OPTIONS = (SETTING, "--explain ")
"""Beginning of `Location.file` for places on the command line."""
_TAB = "    "


def render(problems: Sequence[Problem], console: Console, *, summary: bool = True) -> None:
    """Print problems, then the number of errors and the command that explains their codes.

    Parameters
    ----------
    problems : sequence of Problem
        Errors and warnings.
    console : Console
        Where to print; in colours only on a terminal.
    summary : bool
        Whether to print the last two lines, if there are errors.
    """
    _lines_of.cache_clear()  # the user may have edited the file
    width = max(40, min(console.width, WIDTH)) if console.is_terminal else WIDTH
    for item in problems:
        for line in layout(item, width):
            console.print(line, soft_wrap=True, highlight=False)
    codes = [item.code for item in problems if not item.is_warning]
    if summary and codes:
        text = f"{len(codes)} error{'s' if len(codes) > 1 else ''}; nothing was started."
        more = f"for more: fasthep-parsl explain {' '.join(list(dict.fromkeys(codes))[:MAX_CODES])}"
        for line in (Text(text, style="bold"), Text(more, style="dim")):
            console.print(line, soft_wrap=True, highlight=False)


def layout(item: Problem, width: int = WIDTH) -> list[Text]:
    """Return the lines that show one problem, at most 8."""
    colour = "yellow" if item.is_warning else "red"
    label = f"{'warning' if item.is_warning else 'error'}[{item.code}]"
    margin = len(str(item.where.line)) if item.where else 1
    near = _clean(item.hint.question) if isinstance(item.hint, Suggestion) else ""
    below = on_command_line(item.hint)
    lines = [Text.assemble((label, f"bold {colour}"), f": {_clean(item.message)}")]
    if item.where is not None:
        place = Text(f"{' ' * margin} --> {_place(item.where)}")
        if item.key:
            place.append(f"  ({_clean(item.key)})", style="dim")
        excerpt, is_shown = _excerpt(item.where, near, width, colour)
        lines += [place, *excerpt]
        below = item.hint.listing if is_shown and isinstance(item.hint, Suggestion) else below
    elif item.key:
        lines.append(Text(f"{' ' * margin} --> {_clean(item.key)}"))
    return lines + _hint_lines(below, margin, width)


def _excerpt(where: Location, near: str, width: int, colour: str) -> tuple[list[Text], bool]:
    """Return the line of the file with the mistake underlined, and whether `near` fits next to the underline."""
    source = _source(where)
    if source is None:
        return [], False
    margin = len(str(where.line))
    pad = " " * margin
    shown, column, length = _window(source, where, width - margin - 3)
    number = "" if where.file.startswith(OPTIONS) else str(where.line)
    underline = Text.assemble((f"{pad} | ", "dim"), " " * column, ("^" * length, f"bold {colour}"))
    fits = bool(near) and margin + 3 + column + length + 1 + len(near) <= width
    if fits:
        underline.append(f" {near}", style="cyan")
    return [Text(f"{pad} |", style="dim"), Text.assemble((f"{number:>{margin}} | ", "dim"), shown), underline], fits


def _hint_lines(hint: str, margin: int, width: int) -> list[Text]:
    """Return a hint in at most `MAX_HINT_LINES` lines."""
    if not hint:
        return []
    room = width - margin - 3
    wrapped = textwrap.wrap(_clean(hint), room, break_on_hyphens=False) or [""]
    if len(wrapped) > MAX_HINT_LINES:
        rest = " ".join(wrapped[MAX_HINT_LINES - 1 :])
        wrapped = [*wrapped[: MAX_HINT_LINES - 1], textwrap.shorten(rest, room, placeholder=" …")]
    pad = " " * margin
    return [Text(f"{pad} {'=' if n == 0 else ' '} {text}", style="cyan") for n, text in enumerate(wrapped)]


def _place(where: Location) -> str:
    if where.file.startswith(OPTIONS):
        return "command line"
    return _clean(str(where))


def _source(where: Location) -> str | None:
    """Return the line of a place, None if it cannot be read."""
    if where.file.startswith(OPTIONS):
        return where.file
    lines = _lines_of(where.file)
    return lines[where.line - 1] if lines and 0 < where.line <= len(lines) else None


@cache
def _lines_of(file: str) -> list[str] | None:
    try:
        return split_lines(Path(file).read_bytes().decode("utf-8-sig", errors="replace"))
    except OSError:
        return None


def _window(source: str, where: Location, width: int) -> tuple[str, int, int]:
    """Return the part of a line to show, and column and length of the underline in it, in terminal cells."""
    start = min(where.column - 1, len(source))
    stop = min(start + where.length, max(len(source.rstrip()), start + 1))
    left, right = 0, len(source)
    if _cells(source) > width:
        room = max(width - 2, 10)
        left = max(0, min(start - room // 3, len(source) - room))
        right = min(len(source), left + room)
    before, marked, after = source[left:start], source[start : min(stop, right)], source[min(stop, right) : right]
    lead, tail = "…" if left else "", "…" if right < len(source) else ""
    shown = lead + _clean(before) + _clean(marked) + _clean(after).rstrip() + tail
    return shown, len(lead) + _cells(before), max(_cells(marked), 1)


def _clean(text: str) -> str:
    """Return `text` with tabs as spaces and without control characters."""
    return "".join(_TAB if char == "\t" else char if unicodedata.category(char)[0] != "C" else "�" for char in text)


def _cells(text: str) -> int:
    """Return the width of `text` on a terminal."""
    return Text(_clean(text)).cell_len
