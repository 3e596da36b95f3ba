"""Formats of batch systems: times, sizes, job names, quotes, and types of text options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import Line, empty_list


def clock(seconds: float) -> str:
    """Return a time as ``HH:MM:SS``. Fractions of a second are dropped: the result must not exceed a limit."""
    whole = max(int(seconds), 1)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def mebibytes(size: int) -> int:
    """Return bytes in units of 1024², the MB of batch systems. Rounded down, so that a whole node's memory fits."""
    return max(size >> 20, 1)


def kibibytes(size: int) -> int:
    """Return bytes in units of 1024, the kB of batch systems. Rounded down."""
    return max(size >> 10, 1)


def quote_by_choice(text: str) -> str:
    """Put `text` between quotes that it does not contain, for batch systems without escapes."""
    if re.fullmatch(r"[\w./:=+@%-]+", text):
        return text
    return f"'{text}'" if "'" not in text else f'"{text}"'


def short_name(text: str, longest: int, allowed: str = r"A-Za-z0-9_.\-") -> str:
    """Return `text` as a job name: it starts with a letter, and characters that are not `allowed` become ``-``."""
    name = re.sub(f"[^{allowed}]+", "-", text).strip("-.")
    if not name[:1].isalpha():
        name = f"p{name}"
    return name[:longest].rstrip("-.")


def script_text(directives: Sequence[str], command: str) -> str:
    """Return a bash script. Directives come first, because the first command ends them."""
    return "\n".join(["#!/bin/bash", *directives, "", command]) + "\n"


def with_prefix(prefix: str, lines: Sequence[str]) -> list[str]:
    """Put `prefix` before each line that is not a comment; a line with the prefix is one."""
    return [line if line.startswith("#") else f"{prefix} {line}" for line in lines]


def _option(value: str) -> str:
    if not re.match(r"(#\S+\s+)?-", value) and not value.startswith("# "):
        hint = "an option of the submit command, such as `--mail-type=FAIL`; commands belong in `worker_init`"
        raise wrong_value(f"`{value}` is not a directive: it would end all directives", hint)
    return value


def _texts(value: object) -> object:
    return [value] if isinstance(value, str | int | float) else empty_list(value)


_LIST = BeforeValidator(_texts, json_schema_input_type=str | list[str | float] | None)
Lines = Annotated[tuple[Line, ...], _LIST]
"""Lines of text; a single text counts as one line."""

Directives = Annotated[tuple[Annotated[Line, AfterValidator(_option)], ...], _LIST]
"""Options of the submit command."""
