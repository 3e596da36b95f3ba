"""The end of an executor: its interchange is killed, and no pipe to it stays open."""

from __future__ import annotations

import subprocess

import pytest

from fasthep_parsl.backends.parsl.executor_lifecycle import _kill


@pytest.mark.parametrize("command", [["true"], ["sleep", "60"]], ids=["dead", "alive"])
def test_the_pipe_of_an_interchange_that_did_not_read_its_configuration_is_closed(command):
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    if command == ["true"]:
        process.wait(10)
    process.stdin.write(b"configuration")  # buffered, as Parsl leaves it
    _kill(process)
    assert process.returncode is not None
    assert process.stdin.closed
