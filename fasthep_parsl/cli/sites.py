"""``sites``: list, show and check site profiles, and draft a new one."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fasthep_parsl.cli.console import Screen, emit
from fasthep_parsl.driver.site_checks.draft import draft_profile, write_profile
from fasthep_parsl.driver.site_checks.sample import Check, SampledSite, sample_site
from fasthep_parsl.errors import ConfigError, SiteError
from fasthep_parsl.sites import Site, list_sites, load_site
from fasthep_parsl.workflow.yamldoc import Node, show_path, walk

NARROW = 60
"""Width in columns below which the list has no column for strategies."""
INTERRUPTED = 130
"""Exit code of an interrupted command."""
GOOD, BAD = "✓", "✗"
STYLES = {"verified": "green", "documented": "", "unverified": "yellow", "broken": "red", "wrong": "red"}


def show_list() -> None:
    """Print all sites. A profile with mistakes is marked."""
    screen = Screen()
    table = Table(box=None, pad_edge=False)
    columns = ["site", "strategy", "status"]
    for column in columns if screen.width >= NARROW else [name for name in columns if name != "strategy"]:
        table.add_column(column, no_wrap=True)
    table.add_column("description", overflow="fold")
    for name, path in list_sites().items():
        try:
            site = load_site(name)
        except ConfigError as error:
            error_text = Text(f"{path}: {error.problems[0].message}; for the place: `sites check {name}`")
            cells: list[str | Text] = ["", Text("wrong", STYLES["wrong"]), error_text]
        else:
            status = Text(site.meta.status, STYLES[site.meta.status])
            cells = [site.strategy.kind, status, Text(site.meta.description)]
        table.add_row(name, *(cells if screen.width >= NARROW else cells[1:]))
    screen.print(table)


# --- show ---------------------------------------------------------------------------------------------------


def show_site(name: str, *, resolved: bool, origin: bool) -> None:
    """Print a profile: the file, the merged profile (`resolved`), or each value with its place (`origin`).

    Raises
    ------
    ConfigError
        No such site, or its profile is wrong.
    """
    site = load_site(name)
    if origin:
        for line in _origins(site):
            emit(line)
    elif resolved:
        emit(_resolved(site))
    else:
        emit(f"# {_short(site.path)}\n{site.path.read_text().rstrip()}")


def _resolved(site: Site) -> str:
    content = _site_content(site)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False).rstrip()


def _site_content(site: Site) -> dict[str, Any]:
    head: dict[str, Any] = {"meta": site.meta.model_dump(exclude_none=True)}
    if site.requires:
        head["requires"] = {show_path(item.path): item.help for item in site.requires}
    return head | site.execution_layer.data


def _origins(site: Site) -> list[str]:
    """Return a line per value: key, value, file and line."""
    root = site.execution_layer.root
    leaves = [(at, node) for at, node in walk(root) if not isinstance(node.value, dict | list) or not node.value]
    shown = [(f"{show_path(at)} = {_value(node)}", _place(node)) for at, node in leaves]
    width = min(max((len(text) for text, _ in shown), default=0), 60)
    return [f"{text:<{width}}  {place}" for text, place in shown]


def _value(node: Node) -> str:
    plain = node.plain()
    return plain if isinstance(plain, str) and plain else json.dumps(plain, ensure_ascii=False)


def _place(node: Node) -> str:
    return f"{_short(Path(node.where.file))}:{node.where.line}" if node.where else node.layer


def _short(path: Path) -> str:
    """Return a path relative to the current folder if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


# --- check --------------------------------------------------------------------------------------------------


def check_site(name: str, overrides: Sequence[str], *, live: bool, scripts: bool, outdir: Path, wait: float) -> int:
    """Check a profile and print a line per check; return the exit code.

    Raises
    ------
    ConfigError
        No such site, or its profile cannot be read.
    """
    screen = Screen()
    sampled = sample_site(name, overrides)
    _line(screen, f"site {sampled.site.name}  {_short(sampled.site.path)}", style="bold")
    names = [check.what for check in sampled.checks] + [f"probe {pool.name}" for pool in sampled.pools if live]
    width = max(map(len, [*names, "run directory" if live else ""]))
    for check in sampled.checks:
        _show(screen, check, width)
    if scripts:
        _print_scripts(screen, sampled)
    if not sampled.ok:
        if any(check.missing for check in sampled.checks):
            own = f"extends: {sampled.site.name}"
            _line(screen, f"set missing values with `--set KEY=VALUE`, or in your own site file with `{own}`", "dim")
        return ConfigError.exit_code
    return _live(screen, sampled, width, outdir, wait) if live else 0


def _show(screen: Console, check: Check, width: int) -> None:
    """Print a check: one line, or several if it does not fit on the terminal or a message has several."""
    mark, colour = (GOOD, "green") if check.ok else (BAD, "red")
    margin = width + 4
    room = max(screen.width - margin, 30) if screen.is_terminal else 10_000
    first, *more = [part for line in check.found.splitlines() for part in _wrapped(line, room)] or [""]
    screen.print(Text.assemble((mark, colour), f" {check.what:<{width}}  {first}"), soft_wrap=True, highlight=False)
    for text in more:
        _line(screen, " " * margin + text)
    for text in _wrapped(check.hint, room) if not check.ok else ():
        _line(screen, " " * margin + text, "cyan")


def _wrapped(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_on_hyphens=False)


def _print_scripts(screen: Console, sampled: SampledSite) -> None:
    """Print the script of each queue. The scripts of nodes differ only in numbers; one is printed."""
    node = ""
    for pool, (submitted, run) in sampled.scripts.items():
        _line(screen, f"\n--- {pool}/{submitted.name}", "bold")
        _line(screen, submitted.text.rstrip())
        node = node or f"\n--- {pool}/{run.name}\n{run.text.rstrip()}"
    if node:
        _line(screen, node)


def _live(screen: Console, sampled: SampledSite, width: int, outdir: Path, wait: float) -> int:
    from fasthep_parsl.driver.site_checks.live import check_live

    with screen.status("querying the batch system") as status:

        def waiting(text: str) -> None:
            if screen.is_terminal:
                status.update(text)
            elif text:
                _line(Screen(stderr=True), text)

        try:
            fine = check_live(sampled, outdir, wait, lambda check: _show(screen, check, width), waiting)
        except KeyboardInterrupt:
            _line(Screen(stderr=True), "interrupted: all jobs of the check are removed", "red")
            return INTERRUPTED
    return 0 if fine else SiteError.exit_code


def _line(screen: Console, text: str, style: str = "") -> None:
    screen.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


# --- init ---------------------------------------------------------------------------------------------------


def draft_site(name: str | None, folder: Path | None) -> None:
    """Print a draft; or write it, if it has a name or a folder, and print the next commands."""
    text = draft_profile()
    if name is None and folder is None:
        emit(text.rstrip())
        return
    path = write_profile(name or "", folder, text)
    target = name if folder is None else str(path)
    lines = [
        f"wrote {path}",
        "Edit it, then run:",
        f"  fasthep-parsl sites check {target}",
        f"  fasthep-parsl sites check {target} --live",
    ]
    for line in lines:
        _line(Screen(), line)
