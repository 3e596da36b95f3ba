"""Explain from the input files why a name in an expression is not a field."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.errors import Hint

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*[\w]")


Reason = tuple[str, str, Hint]
"""Code, message and hint of a problem."""


def why_no_field(name: str, inputs: Inputs) -> Reason | None:
    """Return why a name is not a field, None if no file has it."""
    known = inputs.common
    if name in known.refused:
        return "E136", *known.refused[name]
    if name in known.partial:
        have, lack = known.partial[name]
        message = f"branch `{name}` is missing in {short(lack)}; {short(have)} has it"
        return "E136", message, "give it a `default` in `fields`, or put these files into another workflow"
    alike = [branch for branch in _no_names(known.fields) if _begins(branch, name)]
    if alike:
        return "E150", f"unknown field `{name}`", _other_name(alike[0])
    return None


def why_no_expression(text: str, inputs: Inputs) -> Reason | None:
    """Return why `text` is not an expression, None if it is not the name of a branch."""
    if text not in inputs.common.fields or _is_name(text):
        return None
    return "E151", f"branch `{text}` has a name that expressions cannot use", _other_name(text)


def _other_name(branch: str) -> str:
    """Return the hint to give a branch a name for expressions."""
    name = re.sub(r"\W+", "_", branch).strip("_") or "my_name"
    name = f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
    text = branch if _PLAIN.fullmatch(branch) else json.dumps(branch, ensure_ascii=False)
    return f"give branch `{branch}` a name for expressions: `fields: {{{name}: {{branch: {text}}}}}`"


def _no_names(fields: Iterable[str]) -> list[str]:
    return [field for field in fields if not _is_name(field)]


def _is_name(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def _begins(branch: str, name: str) -> bool:
    """Return whether `name` is what an expression reads if it contains `branch`: ``jet`` of ``jet-pt``."""
    words = [word.strip(".") for word in re.split(r"[^\w.]+", branch)]
    return name in words or name == re.sub(r"\W+", "_", branch).strip("_")
