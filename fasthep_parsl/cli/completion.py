"""What a shell offers after TAB. Imports nothing heavy and prints nothing: output would end up in the command line.

Only names that need no quotes in any shell are offered. If nothing fits, the shell completes file names.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[\w./@%+,=-]+")
_PLAN = "plan.json"
MAX_FOLDERS = 500
"""Folders to look into for runs; a folder with more entries is completed by the shell."""

Completer = Callable[[Any, str], list[str]]


def _offers(names: Callable[[Any, str], Iterable[str]]) -> Completer:
    """Make a completer of a function that yields names. A mistake in a file or a plug-in offers nothing."""

    @functools.wraps(names)
    def complete(ctx: Any, incomplete: str) -> list[str]:
        try:
            return [name for name in names(ctx, incomplete) if name.startswith(incomplete) and _PLAIN.fullmatch(name)]
        except Exception:  # noqa: BLE001 - files and installed packages of others may be broken in any way
            return []

    return complete


@_offers
def site_names(ctx: Any, incomplete: str) -> Iterable[str]:
    """Offer the sites. Their files are not read."""
    del ctx, incomplete
    from fasthep_parsl.site_search import list_sites

    return list_sites()


@_offers
def op_names(ctx: Any, incomplete: str) -> Iterable[str]:
    """Offer the installed ops. Their packages are not imported."""
    del ctx, incomplete
    from fasthep_parsl import registry

    return registry.names("ops")


@_offers
def code_names(ctx: Any, incomplete: str) -> Iterable[str]:
    """Offer the codes of errors, in the case in which they are written."""
    del ctx
    from fasthep_parsl.error_codes import CODES

    is_lower = incomplete[:1].islower()
    return [code.lower() if is_lower else code for code in CODES]


@_offers
def stages_of_run(ctx: Any, incomplete: str) -> Iterable[str]:
    """Offer the stages in the plan of the run directory on the command line."""
    del ctx, incomplete  # click knows no arguments of a line that ends in an option without its value
    import json
    import shlex

    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    plans = [Path(word) / _PLAN for word in shlex.split(line)]
    plan = next(path for path in plans if path.is_file())
    return [stage["id"] for stage in json.loads(plan.read_bytes())["stages"]]


@_offers
def run_directories(ctx: Any, incomplete: str) -> Iterable[str]:
    """Offer the run directories whose path starts like this, and those in folders whose path does."""
    del ctx
    begin = incomplete.rpartition("/")[2]
    prefix = incomplete.removesuffix(begin)
    return [f"{prefix}{name}" for name in _runs(Path(prefix or "."), begin)]


def _runs(folder: Path, begin: str) -> Iterator[str]:
    for name in _folders(folder, begin):
        if (folder / name / _PLAN).is_file():
            yield name
        else:
            inner = folder / name
            yield from (f"{name}/{run}" for run in _folders(inner) if (inner / run / _PLAN).is_file())


def _folders(folder: Path, begin: str = "") -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.name.startswith(begin) and entry.is_dir()]
    except OSError:
        return []
    hidden = begin.startswith(".")
    return sorted(name for name in found if hidden or not name.startswith("."))[:MAX_FOLDERS]
