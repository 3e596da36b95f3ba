"""Pytest fixtures: the programs `pixi` and `pixi-pack`, which this machine need not have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FIND = "fasthep_parsl.packing.pixi.provision.find_program"


@pytest.fixture
def no_pixi_programs(monkeypatch) -> None:
    """Neither `pixi` nor `pixi-pack` is found, also where they are installed. Tests that need one use `programs`."""
    monkeypatch.setattr(FIND, lambda name: "")


@pytest.fixture
def programs(no_pixi_programs, tmp_path, monkeypatch) -> Callable[[str, str], Path]:
    """Write a script that stands in for a program, ``(name, text)``, into a folder in `PATH`; return the folder."""
    from fasthep_parsl.packing.pixi.programs import find_program

    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(FIND, find_program)

    def add(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return folder

    return add
