"""``explain CODE``: print what a code means, why it happens, and an example."""

from __future__ import annotations

import textwrap

from rich.text import Text

from fasthep_parsl.cli.console import Screen
from fasthep_parsl.error_codes import CODES, ErrorCode
from fasthep_parsl.errors import ConfigError, Problem, suggest

WIDTH = 100
_TITLES = {"workflow": "in a workflow", "profile": "in a site profile", "command": "on the command line"}


def explain_codes(names: list[str]) -> None:
    """Print what codes mean.

    Parameters
    ----------
    names : list of str
        Codes, as errors show them: ``E102``, ``e102`` or ``102``.

    Raises
    ------
    ConfigError
        A code does not exist. Nothing is printed.
    """
    found = [find_code(name) for name in dict.fromkeys(names)]
    screen = Screen()
    width = min(screen.width, WIDTH)
    for number, code in enumerate(dict.fromkeys(found)):
        for line in ([Text()] if number else []) + _page(code, CODES[code], width):
            screen.print(line, soft_wrap=True, highlight=False)


def find_code(name: str) -> str:
    """Return the code that is meant: with or without its letter, in upper or lower case.

    Raises
    ------
    ConfigError
        There is no such code.
    """
    text = name.strip().strip("[]").upper()
    for code in (text, f"E{text}", f"W{text}"):
        if code in CODES:
            return code
    near = suggest(text if text[:1] in ("E", "W") else f"E{text}", CODES, what="codes", limit=100)
    raise ConfigError(Problem("E109", f"unknown code `{name}`", hint=near, name=name))


def _page(code: str, entry: ErrorCode, width: int) -> list[Text]:
    meaning = textwrap.wrap(f"{code}: {entry.meaning}", width, break_on_hyphens=False)
    lines = [Text(line, style="bold") for line in meaning]
    lines += [Text(), *map(Text, textwrap.wrap(entry.cause, width, break_on_hyphens=False))]
    where = _TITLES[entry.form]
    for title, text, style in ((f"wrong, {where}:", entry.wrong, "red"), ("right:", entry.right, "green")):
        if text:
            lines += [Text(), Text(title, style=f"bold {style}")]
            lines += [Text(f"    {line}") for line in text.rstrip("\n").split("\n")]
    return [*lines, Text(), Text(f"documentation: {entry.url}", style="cyan")]
