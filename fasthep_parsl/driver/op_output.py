"""Output of ops: at the end of a run, concatenate it to ``log/output/<StageId>.log``, and summarise it for ``run.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fasthep_parsl.worker.output import PARTS

LOGS = Path("log", "output")
MAX_BYTES = 50_000_000
"""Bytes that are kept for a stage."""
MAX_LINES = 3
"""Lines in the summary."""
MAX_LINE = 200
"""Characters of a line in the summary."""


def join_output(run_dir: Path, stages: list[str]) -> dict[str, Any]:
    """Concatenate the output of tasks; return stage → number of lines, the first distinct lines, and the log.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    stages : list of str
        The stages.
    """
    found: dict[str, Any] = {}
    for stage in stages:
        log = run_dir / LOGS / f"{stage}.log"
        parts = sorted(_parts(run_dir / PARTS, stage))
        try:
            _append(parts, log)
            if log.exists():
                found[stage] = _summary(log) | {"log": str(LOGS / log.name)}
        except OSError as error:  # a full disk: the run reports it elsewhere
            found[stage] = {"lines": 0, "first": [], "log": f"could not be written: {error}"}
    if (run_dir / PARTS).is_dir() and not any((run_dir / PARTS).iterdir()):
        (run_dir / PARTS).rmdir()
    return found


def _parts(folder: Path, stage: str) -> list[Path]:
    if not folder.is_dir():
        return []
    number = len(stage) + 1
    return [path for path in folder.iterdir() if path.stem[:number] == f"{stage}-" and path.stem[number:].isdigit()]


def _append(parts: list[Path], log: Path) -> None:
    if not parts:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        for part in parts:
            if file.tell() < MAX_BYTES:
                file.write(part.read_bytes())
            part.unlink()


def _summary(log: Path) -> dict[str, Any]:
    lines, first = 0, dict[str, None]()
    with log.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            lines += 1
            if len(first) < MAX_LINES and line.strip():
                first["".join(c if c.isprintable() else " " for c in line.rstrip())[:MAX_LINE]] = None
    return {"lines": lines, "first": list(first)}
