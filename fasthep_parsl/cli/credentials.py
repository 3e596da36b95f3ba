"""``credentials``: print which proxies and tokens this user has, and whether they suffice for a site."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fasthep_parsl.cli.console import Screen, emit_json, print_line
from fasthep_parsl.credential_files import CredentialFacts, time_text
from fasthep_parsl.driver.credential_report import CredentialReport, CredentialRow, report_credentials
from fasthep_parsl.errors import SiteError
from fasthep_parsl.resources.units import format_duration

GOOD, BAD, NONE = "✓", "✗", "–"
WIDTH = 110
"""Most columns of a reason."""


def show_credentials(workflow: Path | None, site: str, overrides: list[str], *, as_json: bool) -> int:
    """Print the credentials and return the exit code: 0 if all that are needed suffice, else 4."""
    report = report_credentials(workflow, site, overrides)
    if as_json:
        emit_json(_content(report))
    else:
        _print(report)
    return 0 if report.suffices else SiteError.exit_code


def _print(report: CredentialReport) -> None:
    screen = Screen()
    longest = f", jobs of up to {format_duration(report.walltime)}" if report.walltime else ""
    print_line(screen, f"site {report.site}{longest}", "bold")
    if not report.rows:
        print_line(screen, "it asks for no credentials: its workers get none")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", "credential", "", "of", "VO or scopes", "life left", "file"):
        table.add_column(column, no_wrap=column in {"", "credential", "life left"}, overflow="fold")
    for row in report.rows:
        table.add_row(*_cells(row, report.now))
    screen.print()
    screen.print(table)
    width = min(screen.width, WIDTH)
    for row in report.rows:
        _reasons(screen, row, width)
    if report.suffices:
        _renewals(screen, report)


def _renewals(screen: Screen, report: CredentialReport) -> None:
    """Print how a run renews the credentials that it has."""
    found = [row.item for row in report.rows if row.item.found.facts is not None]
    if found:
        screen.print()
    for item in found:
        command = item.model.renewal()
        how = f"a run renews it with `{command.shown}`" if command else "nothing renews it during a run"
        print_line(screen, f"{item.kind}: {how}", "dim")


def _cells(row: CredentialRow, now: float) -> tuple[Text | str, ...]:
    item, facts = row.item, row.item.found.facts
    need = "required" if item.model.required else "optional"
    if facts is None and row.suffices:
        return Text(GOOD, "green"), item.kind, need, "from the batch system", "", "", ""
    if facts is None:
        mark = Text(BAD, "red") if item.model.required or not item.found.absent else Text(NONE, "dim")
        return mark, item.kind, need, "none" if item.found.absent else item.found.problems[0].cause, "", "", ""
    mark = Text(GOOD, "green") if row.suffices else Text(BAD, "red")
    what = facts.vo or "no VO" if facts.kind == "x509" else " ".join(facts.scopes) or "no scope"
    place = str(facts.path) if facts.path else item.found.place
    return mark, item.kind, need, Text(_owner(facts)), Text(what), _left(facts, now), Text(place)


def _owner(facts: CredentialFacts) -> str:
    return facts.subject if facts.kind == "x509" else facts.issuer


def _left(facts: CredentialFacts, now: float) -> Text:
    if math.isinf(facts.expires):
        return Text("no end")
    left = facts.expires - now
    return Text(time_text(left)) if left > 0 else Text(f"expired {time_text(-left)} ago", "red")


def _reasons(screen: Screen, row: CredentialRow, width: int) -> None:
    """Print why a credential does not suffice, and what to do."""
    found = row.item.found
    quiet = found.absent and not row.item.model.required
    colour = "dim" if quiet else "red"
    for problem in row.problems:
        screen.print()
        for number, line in enumerate(
            textwrap.wrap(f"{row.item.kind}: {problem.message}", width, break_on_hyphens=False)
        ):
            print_line(screen, line if not number else f"  {line}", colour)
        for line in textwrap.wrap(problem.hint, width - 2, break_on_hyphens=False):
            print_line(screen, f"  {line}", "dim" if quiet else "cyan")
    for warning in found.warnings:
        print_line(screen, f"\n{row.item.kind}: {warning}", "yellow")


def _content(report: CredentialReport) -> dict[str, Any]:
    """Return the report as plain data."""
    return {
        "site": report.site,
        "suffices": report.suffices,
        "longest_job": report.walltime or None,
        "credentials": [_row_content(row, report.now) for row in report.rows],
    }


def _row_content(row: CredentialRow, now: float) -> dict[str, Any]:
    item, facts = row.item, row.item.found.facts
    renewal = item.model.renewal()
    content: dict[str, Any] = {"kind": item.kind, "required": item.model.required, "suffices": row.suffices}
    if facts is not None:
        ends = not math.isinf(facts.expires)
        content |= {
            "path": str(facts.path) if facts.path else None,
            "subject": facts.subject,
            "issuer": facts.issuer,
            "vo": facts.vo,
            "scopes": list(facts.scopes),
            "audience": list(facts.audience),
            "expires": facts.expires if ends else None,
            "seconds_left": round(facts.expires - now) if ends else None,
        }
    problems = [{"cause": p.cause, "message": p.message, "hint": p.hint} for p in row.problems]
    return content | {
        "place": item.found.place,
        "renewal": renewal.shown if renewal else None,
        "problems": problems,
        "warnings": list(item.found.warnings),
    }
