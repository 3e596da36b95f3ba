"""Write the luminosity sections of a run: what was processed, for brilcalc, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import write_text
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.ops.lumi_mask import load_sections
from fasthep_parsl.ops.lumi_sections import written
from fasthep_parsl.plan import Plan
from fasthep_parsl.results.lumi_accounting import LUMI_OP, LumiAccount, accounts, total
from fasthep_parsl.tasks import Span

PROCESSED, MISSING = "processed_lumis.json", "missing_lumis.json"


def write_lumis(
    plan: Plan, done: Mapping[int, Iterable[Span]], products: Mapping[tuple[str, str], Any], run_dir: Path
) -> LumiAccount | None:
    """Write the sections of all masks together, and of each. Return the account; None if the workflow has no mask."""
    golden = {}
    for file in plan.parameter_files:
        for use in file.uses:
            if plan.stage(use.stage).op == LUMI_OP:
                golden[use.stage] = load_sections(run_dir / "code" / file.place)
    found = accounts(plan, done, products, golden)
    if not found:
        return None
    whole = total(found.values())
    folders = {run_dir / "results": whole, **{run_dir / "results" / stage: one for stage, one in found.items()}}
    for folder, account in folders.items():
        _write(folder / PROCESSED, written(account.processed))
        missing = account.missing_content()
        if missing:
            limit = {"limit": plan.limit} if plan.limit is not None else {}
            _write(folder / MISSING, {**limit, **missing})
        else:
            (folder / MISSING).unlink(missing_ok=True)
    return whole


def _write(path: Path, content: Any) -> None:
    write_text(path, json_text(content) + "\n")
