"""What a user sees while an environment is packed."""

from __future__ import annotations

import io
import re
import threading

import pytest
from rich.console import Console

from fasthep_parsl.cli import setup_steps
from fasthep_parsl.cli.setup_steps import SetupSteps


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(setup_steps, "REFRESH_PERIOD", 0.0)
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None)


def test_one_line_at_the_start_and_one_at_the_end_without_a_terminal(monkeypatch):
    monkeypatch.setattr(setup_steps, "SLOW", 0.0)
    out = io.StringIO()
    with SetupSteps(Console(file=out)) as steps:
        for done in range(0, 101, 10):
            steps("packing the environment", done, 100)
        steps("writing", 0, 0)
        steps("", 0, 0)
    assert [re.sub(r"[\d.]+ s$", "N s", line) for line in lines_of(out)] == [
        "packing the environment",
        "packing the environment: N s",
        "writing",
        "writing: N s",
    ]
    assert "\x1b" not in out.getvalue()


def test_a_short_step_and_a_note_have_one_line():
    out = io.StringIO()
    with SetupSteps(Console(file=out)) as steps:
        steps("packing the environment", 0, 100)
        steps("packing the environment", 100, 100)
        steps("`ruff` uses libraries of the node", 1, 1)
        steps("", 0, 0)
    assert lines_of(out) == ["packing the environment", "`ruff` uses libraries of the node"]


def lines_of(out):
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in out.getvalue().splitlines()]


def test_a_bar_on_a_terminal_without_a_thread_that_a_fork_would_lose(terminal):
    before = threading.active_count()
    with SetupSteps(terminal) as steps:
        for done in (0, 25, 50, 100):
            steps("packing the environment", done, 100)
            assert threading.active_count() == before
    frames = terminal.file.getvalue().replace("\x1b[2K", "\n").replace("\r", "\n").splitlines()
    assert any("packing the environment" in frame and "50%" in frame for frame in frames)
    assert max(map(len, frames)) <= 80 + len("\x1b[?25l")


def test_a_preparation_that_fails_gives_the_terminal_back(terminal):
    steps = SetupSteps(terminal)
    steps("packing the environment", 1, 100)
    assert "\x1b[?25h" not in terminal.file.getvalue()
    steps.__exit__(OSError, OSError("full"), None)
    assert "\x1b[?25h" in terminal.file.getvalue(), "the cursor is shown again"
    assert " s\n" not in terminal.file.getvalue(), "no line that says it has ended"


def test_a_whole_that_is_not_known_moves_on_a_terminal(terminal):
    with SetupSteps(terminal) as steps:
        steps("solving", 0, 0)
        steps("solving", 0, 0)
        steps("packing", 1, 2)
    assert "solving" in terminal.file.getvalue()
    assert "50%" in terminal.file.getvalue()


def test_nothing_where_quiet(terminal):
    with SetupSteps(terminal, quiet=True) as steps:
        steps("packing", 1, 2)
        steps("packing", 2, 2)
    assert terminal.file.getvalue() == ""
