"""Processes of a block import this package, and nothing from the current folder."""

from __future__ import annotations

import os
from pathlib import Path

import fasthep_parsl
from fasthep_parsl.blocks.python_command import module_command, python_path


def test_the_path_has_this_package_first_and_no_empty_entry(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f":/some/where:{os.pathsep}")
    first, *others = python_path().split(os.pathsep)
    assert Path(first) == Path(fasthep_parsl.__file__).resolve().parents[1]
    assert others == ["/some/where"]


def test_python_ignores_the_current_folder():
    assert module_command("python3", "some.module") == ["python3", "-P", "-m", "some.module"]
