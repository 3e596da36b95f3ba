"""Facts of datasets in parameters: ``{dataset.<key>}`` in a text. The compiler and the workers replace it alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.interfaces import ParamPath

FACT = re.compile(r"\{dataset\.([A-Za-z_]\w*)\}")
"""A fact in a text."""


def facts_in(params: Any, path: ParamPath = ()) -> Iterator[tuple[ParamPath, str]]:
    """Yield the facts in parameters: key path of the text, and key of the fact."""
    unquoted = _unquoted(params)
    if unquoted:
        yield path, unquoted
    elif isinstance(params, Mapping):
        for key, item in params.items():
            yield from facts_in(item, (*path, key))
    elif isinstance(params, list | tuple):
        for number, item in enumerate(params):
            yield from facts_in(item, (*path, number))
    elif isinstance(params, str):
        yield from ((path, key) for key in FACT.findall(params))


def depends_on_dataset(params: Any) -> bool:
    """Return whether parameters contain facts of a dataset."""
    return next(facts_in(params), None) is not None


def for_dataset(params: Any, facts: Mapping[str, Any]) -> Any:
    """Return parameters with the facts of a dataset.

    A text that is one fact becomes its value, with its type. Within a longer text, the value becomes text.

    Parameters
    ----------
    params : any
        Parameters as written.
    facts : mapping
        Key → value.

    Raises
    ------
    KeyError
        The dataset lacks a fact; the argument is its key.
    TypeError
        The value of a fact cannot be part of a text; the argument is its key.
    """
    unquoted = _unquoted(params)
    if unquoted:
        return facts[unquoted]
    if isinstance(params, Mapping):
        return {key: for_dataset(item, facts) for key, item in params.items()}
    if isinstance(params, list | tuple):
        return [for_dataset(item, facts) for item in params]
    if not isinstance(params, str):
        return params
    whole = FACT.fullmatch(params)
    if whole:
        return facts[whole[1]]
    return FACT.sub(lambda match: _text(match[1], facts[match[1]]), params)


def _unquoted(value: Any) -> str:
    """Return the key of a fact without quotes, which YAML reads as a mapping: ``{dataset.xsec}``; else empty."""
    if isinstance(value, Mapping) and len(value) == 1:
        key, item = next(iter(value.items()))
        found = FACT.fullmatch(f"{{{key}}}") if item is None else None
        return found[1] if found else ""
    return ""


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(key)
