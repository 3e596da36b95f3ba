"""``inspect``: print what an input file contains: trees, collections of branches, types and sizes on disk."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fasthep_parsl.cli.console import Screen, emit_json, print_line
from fasthep_parsl.errors import suggest
from fasthep_parsl.resources.units import counted
from fasthep_parsl.sources.file_problems import inspected
from fasthep_parsl.sources.folded import BranchGroup, fold
from fasthep_parsl.sources.inspected import InspectedBranch, InspectedFile, InspectedObject, InspectedTree

MOST_LISTED = 30
"""Most branches of a tree that are listed one by one, in the order of the file."""
MOST_ROWS = 16
"""Most collections that have a line of their own; the others are named below."""
NUMBERS = 28
"""Columns that the numbers of a collection need."""
ROOM = NUMBERS + 12
"""… and those with the beginning of its types."""
GAP = "  "
MIN_TITLES = 36
"""Fewest columns in which titles are beside the branches."""
LONGEST_TITLE = 120
"""Most characters of a title that are shown."""
CHOSEN = {"named": "by its name", "largest": "the largest"}
"""Why a tree is shown, if there are others."""
NO_SIZE = "–"
MOST_TREES = 8
"""Most other trees and objects that are named."""


def show_file(path: str, tree: str | None, search: str | None, *, as_json: bool) -> int:
    """Print what a file contains and return the exit code: 1 if nothing was found by `search`.

    Raises
    ------
    ConfigError
        The file cannot be read, or has no such tree.
    """
    found = inspected(path, tree)
    hits = _hits(found.tree.branches, search) if search else found.tree.branches
    if as_json:
        shown = found.tree.model_copy(update={"branches": tuple(hits)})
        emit_json(found.model_copy(update={"tree": shown}).model_dump(mode="json"))
    else:
        _print(Screen(), found, hits, search)
    return 0 if hits or not search else 1


def _hits(branches: Sequence[InspectedBranch], search: str) -> list[InspectedBranch]:
    """Return the branches with a text in name or title: first those whose names begin with it, titles last."""
    text = search.lower()
    found = [branch for branch in branches if text in branch.name.lower() or text in branch.title.lower()]
    return sorted(found, key=lambda item: (text not in item.name.lower(), not item.name.lower().startswith(text)))


def _print(screen: Console, found: InspectedFile, hits: Sequence[InspectedBranch], search: str | None) -> None:
    _print_head(screen, found)
    screen.print()
    folded = not search and len(hits) > MOST_LISTED
    if search and not hits:
        hint = suggest(search, {branch.name for branch in found.tree.branches}, what="branches", limit=6)
        print_line(screen, f"no branch has `{search}` in its name or title; {hint}")
        return
    if search:
        print_line(screen, f"{_branches(len(hits))} with `{search}`:")
    if folded:
        _print_groups(screen, fold(hits), found.tree)
    else:
        _print_branches(screen, hits)
    _print_next(screen, found, folded=folded)


def _print_head(screen: Console, found: InspectedFile) -> None:
    tree = found.tree
    size = f", {size_text(found.bytes)}" if found.bytes is not None else ""
    print_line(screen, f"{found.path}  ({'ROOT' if found.format == 'root' else 'Parquet'}{size})", "bold")
    kind = next((item.kind for item in found.objects if item.name == tree.name), "")
    name = f"{kind.removeprefix('ROOT::')} {tree.name}: " if kind else ""
    unit = "row group" if found.format == "parquet" else "cluster"
    events = f"{_entries(tree.entries)} in {counted(tree.clusters, unit)}"
    stored = f"{size_text(tree.bytes)} on disk in {tree.pieces:,} {tree.unit}"
    for line in textwrap.wrap(f"{name}{events}, {_branches(len(tree.branches))}, {stored}", screen.width):
        print_line(screen, line)
    others = [_object(item) for item in found.objects if item.name != tree.name]
    if others:
        more = f", … ({len(others)} in all)" if len(others) > MOST_TREES else ""
        shown = f"shown: {tree.name}, {CHOSEN[tree.chosen]}; " if tree.chosen in CHOSEN else ""
        text = f"{shown}also in the file: {', '.join(others[:MOST_TREES])}{more}"
        hint = "" if tree.chosen == "only" else ". Another tree: --tree NAME"
        for line in textwrap.wrap(text + hint, screen.width):
            print_line(screen, line, "dim")


def _object(item: InspectedObject) -> str:
    return f"{item.name} ({_entries(item.entries) if item.entries is not None else item.kind})"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _branches(number: int) -> str:
    return "1 branch" if number == 1 else f"{number:,} branches"


def _print_branches(screen: Console, branches: Sequence[InspectedBranch]) -> None:
    """Print branches one by one. Titles are in a column if there is room, else below."""
    rows = [(item.name, _type(item), _size(item.bytes), _note(item)) for item in branches]
    widths = [min(max(len(row[column]) for row in rows), most) for column, most in enumerate((40, 30, 7))]
    before = sum(widths) + 3 * len(GAP)
    beside = screen.width - before >= MIN_TITLES
    for name, kind, size, note in rows:
        head = Text.assemble((name.ljust(widths[0]), "bold"), f"{GAP}{kind:<{widths[1]}}{GAP}{size:>{widths[2]}}{GAP}")
        indent = before if beside else 4
        lines = textwrap.wrap(note, screen.width - indent, break_on_hyphens=False) or [""]
        if beside and head.cell_len <= before:
            head.append(lines.pop(0), "dim")
        head.rstrip()
        screen.print(head, soft_wrap=True)
        for line in filter(None, lines):
            print_line(screen, " " * indent + line, "dim")


def _type(branch: InspectedBranch) -> str:
    """Return the type of a branch, with its counter if its name does not say it."""
    known = not branch.counter or branch.name.startswith(f"{branch.counter[1:]}_")
    return (branch.type or "no field") + ("" if known else f" [{branch.counter}]")


def _note(branch: InspectedBranch) -> str:
    note = "; ".join(part for part in (branch.title, branch.problem) if part)
    return note if len(note) <= LONGEST_TITLE else f"{note[:LONGEST_TITLE]}…"


def _print_groups(screen: Console, groups: list[BranchGroup], tree: InspectedTree) -> None:
    """Print collections, the largest first; the smaller ones are only named."""
    groups = sorted(groups, key=lambda group: (-(group.bytes or 0), -len(group.branches)))
    table = Table(box=None, pad_edge=False)
    names = min(max(len(group.name) for group in groups[:MOST_ROWS]), max(screen.width - ROOM, 20))
    room = screen.width - names - NUMBERS
    table.add_column("collection", no_wrap=True, min_width=names, max_width=names, overflow="ellipsis")
    for title, width in (("branches", 8), ("size", 7), ("", 4)):
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    table.add_column("types", no_wrap=True)
    for group in groups[:MOST_ROWS]:
        share = f"{group.bytes / tree.bytes:.0%}" if group.bytes and tree.bytes else ""
        table.add_row(
            Text(group.name, "bold"), str(len(group.branches)), _size(group.bytes), share, _short(group.types, room)
        )
    screen.print(table)
    rest = sorted(groups[MOST_ROWS:], key=lambda group: group.name.lower())
    if rest:
        size = sum(group.bytes or 0 for group in rest)
        named = [group.name + (f"\u00a0{len(group.branches)}" if len(group.branches) > 1 else "") for group in rest]
        text = ", ".join(named)
        screen.print()
        print_line(
            screen,
            f"{len(rest)} smaller ones{f' ({size_text(size)})' if size else ''}, with their numbers of branches:",
        )
        for line in textwrap.wrap(text, screen.width, break_on_hyphens=False, break_long_words=False):
            print_line(screen, line.replace("\u00a0", " "))


def _print_next(screen: Console, found: InspectedFile, *, folded: bool) -> None:
    branches = found.tree.branches
    unknown = sum(branch.bytes is None and not branch.problem and "." not in branch.name for branch in branches)
    lines = []
    if unknown and found.format == "root":
        lines.append(
            f"The header does not say the size of {_branches(unknown)}: their values are in the header itself."
        )
    if folded:
        lines.append("Types and titles of branches, for example: --search pt")
    lines.append(f"A workflow for this file: fasthep-parsl init {shlex.quote(found.path)}")
    for number, line in enumerate(lines):
        print_line(screen, line if number else f"\n{line}", "dim")


def _short(types: str, room: int) -> str:
    """Return a list of types in at most `room` columns."""
    if len(types) <= room:
        return types
    return types[: max(room - 2, 0)].rpartition(",")[0] + " …"


def _size(size: int | None) -> str:
    return NO_SIZE if size is None else size_text(size)


def size_text(size: int) -> str:
    """Return bytes with three digits and a unit: ``2.94 MB``."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return (
        f"{value:.0f} {units[0]}"
        if units[0] == "B" or value >= 99.95
        else f"{value:.{2 if value < 9.995 else 1}f} {units[0]}"
    )
