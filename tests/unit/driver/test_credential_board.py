"""Lines about credentials: what happened, until when it is good, and what the user has to do."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from fasthep_parsl.cli.progress import make_progress
from fasthep_parsl.driver.credential_board import CredentialBoard
from fasthep_parsl.events import CredentialChanged
from fasthep_parsl.plan import Plan, PlanSource

ADVICE = "run `voms-proxy-init -voms cms`"


def changed(state, expires=0.0, message="", advice=""):
    return CredentialChanged(credential="x509", state=state, expires=expires, message=message, advice=advice)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (changed("valid", 1.0), ""),
        (changed("renewed"), "credential x509: renewed, valid without end"),
        (changed("not_renewed", 1.0, "sh: no ticket", ADVICE), "credential x509 was not renewed: sh: no ticket"),
        (changed("expired", 1.0, "…", ADVICE), f"credential x509 has expired, new work waits: {ADVICE}"),
        (changed("expired", 1.0), "credential x509 has expired, new work waits"),
    ],
)
def test_each_change_has_its_line(event, line):
    assert CredentialBoard().add(event) == line


@pytest.mark.parametrize(("days", "pattern"), [(0, r"\d\d:\d\d"), (400, r"\d{4}-\d\d-\d\d \d\d:\d\d")])
def test_the_date_is_given_if_it_is_not_today(days, pattern):
    noon = time.mktime((*time.localtime()[:3], 12, 0, 0, 0, 0, -1))
    line = CredentialBoard().add(changed("restored", noon + days * 86400))
    assert re.fullmatch(rf"credential x509: renewed, valid until {pattern}, the run continues", line)
    line = CredentialBoard().add(changed("expiring", noon + days * 86400, advice=ADVICE))
    assert re.fullmatch(
        rf"credential x509 is valid until {pattern}, and cannot be renewed automatically: {re.escape(ADVICE)}", line
    )


def test_what_work_waits_for_stays_until_it_is_there():
    board = CredentialBoard()
    line = board.add(changed("expired", 1.0, "", ADVICE))
    board.add(changed("not_renewed", 1.0, "no"))
    assert board.waiting() == [line]
    board.add(changed("restored"))
    assert board.waiting() == []


@pytest.mark.parametrize("terminal", [False, True])
def test_the_progress_prints_them(terminal):
    plan = Plan(name="p", chunk_size=1, source=PlanSource(), datasets=(), stages=(), segments=(), pools=())
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with make_progress(plan, console, quiet=False) as observer:
        observer(changed("expired", 1.0, "", ADVICE))
    assert f"credential x509 has expired, new work waits: {ADVICE}" in console.file.getvalue()
