"""Show problems: where, the line with what is wrong underlined, what would be right; at most 8 lines each."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.text import Text

from fasthep_parsl.errors import Location, Problem
from fasthep_parsl.workflow.parse import split_lines

WIDTH = 100
"""Columns for source lines and hints where the terminal does not say."""
MAX_HINT_LINES = 3
OPTIONS = ("--set ", "--explain ")
"""What the `file` of a location on the command line begins with."""
_TAB = "    "


def render(problems: Sequence[Problem], console: Console, *, summary: bool = True) -> None:
    """Print all problems, then how many errors there are and that nothing was started.

    Parameters
    ----------
    problems : sequence of Problem
        Codes beginning with ``W`` are shown as warnings.
    console : Console
        Where to print; colours only if it is a terminal.
    summary : bool
        Whether to print the last line (printed only if there are errors).
    """
    _lines_of.cache_clear()  # the user may have edited the file
    width = max(40, min(console.width, WIDTH)) if console.is_terminal else WIDTH
    for item in problems:
        for line in layout(item, width):
            console.print(line, soft_wrap=True, highlight=False)
    errors = sum(not item.code.startswith("W") for item in problems)
    if summary and errors:
        text = f"{errors} error{'s' if errors > 1 else ''}; nothing was started."
        console.print(Text(text, style="bold"), soft_wrap=True, highlight=False)


def layout(item: Problem, width: int = WIDTH) -> list[Text]:
    """Return the lines that show one problem, at most 8."""
    warning = item.code.startswith("W")
    colour = "yellow" if warning else "red"
    head = Text.assemble(
        (f"{'warning' if warning else 'error'}[{item.code}]", f"bold {colour}"), f": {_clean(item.message)}"
    )
    where = item.where
    margin = len(str(where.line)) if where else 1
    pad = " " * margin
    near, rest = _split_hint(item.hint)
    lines = [head]
    if where is not None:
        place = Text(f"{pad} --> {_place(where)}", style="")
        if item.key:
            place.append(f"  ({_clean(item.key)})", style="dim")
        lines.append(place)
        source = _source(where)
        if source is not None:
            shown, column, length = _window(source, where, width - margin - 3)
            lines.append(Text(f"{pad} |", style="dim"))
            number = "" if where.file.startswith(OPTIONS) else str(where.line)
            lines.append(Text.assemble((f"{number:>{margin}} | ", "dim"), shown))
            caret = Text.assemble((f"{pad} | ", "dim"), " " * column, ("^" * length, f"bold {colour}"))
            if near and margin + 3 + column + length + 1 + len(near) <= width:
                caret.append(f" {near}", style="cyan")
                near = ""
            lines.append(caret)
    elif item.key:
        lines.append(Text(f"{pad} --> {_clean(item.key)}"))
    hint = "; ".join(part for part in (near, rest) if part)
    if hint:
        wrapped = textwrap.wrap(_clean(hint), width - margin - 3, break_on_hyphens=False) or [""]
        if len(wrapped) > MAX_HINT_LINES:
            wrapped = [*wrapped[: MAX_HINT_LINES - 1], textwrap.shorten(" ".join(wrapped[MAX_HINT_LINES - 1 :]),
                                                                        width - margin - 3, placeholder=" …")]  # fmt: skip
        lines += [Text(f"{pad} {'=' if n == 0 else ' '} {text}", style="cyan") for n, text in enumerate(wrapped)]
    return lines


def _split_hint(hint: str) -> tuple[str, str]:
    """Return what stands beside the caret (``did you mean …``) and what stands below."""
    if hint.startswith("did you mean"):
        near, _, rest = hint.partition("; ")
        return _clean(near), rest
    return "", hint


def _place(where: Location) -> str:
    if where.file.startswith(OPTIONS):
        return "command line"
    return _clean(str(where))


def _source(where: Location) -> str | None:
    """Return the line that `where` is in, None if it cannot be read."""
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
    """Return `text` with tabs as spaces and without characters that move the cursor."""
    return "".join(_TAB if char == "\t" else char if unicodedata.category(char)[0] != "C" else "�" for char in text)


def _cells(text: str) -> int:
    """Return the width of `text` on a terminal."""
    return Text(_clean(text)).cell_len
