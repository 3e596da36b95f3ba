"""What a run that is not complete advises."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fasthep_parsl.cli.run import _next_steps
from fasthep_parsl.driver.outcome import RunOutcome


@pytest.mark.parametrize(
    ("done", "failures", "option"),
    [(10, [], "--force"), (8, [{"kind": "read"}], "--resume"), (8, [{"kind": "user"}], "--force")],
)
def test_resuming_is_advised_only_where_it_helps(tmp_path, done, failures, option):
    """Weights that cancel, and runs that nobody has certified, are the same after another try."""
    summary = {"failures": failures, "events": {"done": done, "total": 10}}
    text = io.StringIO()
    _next_steps(RunOutcome("partial", 3, tmp_path, summary=summary), ["w.yaml"], Console(file=text, width=1000))
    assert text.getvalue().rstrip().endswith(option)
    assert ("--resume changes nothing" in text.getvalue()) == (done == 10)
