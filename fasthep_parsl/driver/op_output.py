"""What ops have printed, joined when a run ends: ``log/output/<StageId>.log``, and its first lines for ``run.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fasthep_parsl.worker.output import PARTS

LOGS = Path("log", "output")
MOST = 50_000_000
"""Bytes that are kept of a stage."""
FIRST = 3
"""Lines that are shown."""
LONGEST = 200


def join_output(run_dir: Path, stages: list[str]) -> dict[str, Any]:
    """Join what tasks have kept; return stage → number of lines, the first different ones, and the log.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    stages : list of str
        Ids of its stages.
    """
    found: dict[str, Any] = {}
    for stage in stages:
        log = run_dir / LOGS / f"{stage}.log"
        parts = sorted(_parts(run_dir / PARTS, stage))
        try:
            _append(parts, log)
            if log.exists():
                found[stage] = _summary(log) | {"log": str(LOGS / log.name)}
        except OSError as error:  # a full disk: what matters is told elsewhere
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
            if file.tell() < MOST:
                file.write(part.read_bytes())
            part.unlink()


def _summary(log: Path) -> dict[str, Any]:
    lines, first = 0, dict[str, None]()
    with log.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            lines += 1
            if len(first) < FIRST and line.strip():
                first["".join(c if c.isprintable() else " " for c in line.rstrip())[:LONGEST]] = None
    return {"lines": lines, "first": list(first)}
