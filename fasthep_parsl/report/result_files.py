"""Results of a run, found by their files: plots, cutflows and others."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fasthep_parsl.report.models import CutflowTable, CutRow, FileLink, Picture, Results

MAX_PICTURES, MAX_CUTFLOWS, MAX_FILES = 150, 20, 120
MAX_COLUMNS, MAX_ROWS = 12, 60
"""Datasets and cuts of a table."""
SHOWN = {".svg": "image/svg+xml", ".png": "image/png"}
"""Formats that a page can show, the preferred one first."""
PREFER_PNG = 200_000
"""Bytes above which a PNG is shown instead of an SVG: maps of many bins are large."""


def results_of(run_dir: Path, *, embed: bool = False) -> Results:
    """Return the results in a run directory.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    embed : bool
        Whether the pictures become part of the page.
    """
    pictures = list(_pictures(run_dir, embed=embed))
    cutflows = sorted((run_dir / "results").glob("*/cutflow.json"))
    tables = [table for path in cutflows[:MAX_CUTFLOWS] if (table := _cutflow(run_dir, path)) is not None]
    files = [path for path in sorted((run_dir / "results").rglob("*")) if path.is_file() and path.name[0] != "."]
    links = [FileLink(path.relative_to(run_dir).as_posix(), path.stat().st_size) for path in files[:MAX_FILES]]
    return Results(
        tuple(pictures[:MAX_PICTURES]),
        max(0, len(pictures) - MAX_PICTURES),
        tuple(tables),
        max(0, len(cutflows) - MAX_CUTFLOWS),
        tuple(links),
        max(0, len(files) - MAX_FILES),
    )


def _pictures(run_dir: Path, *, embed: bool) -> Iterator[Picture]:
    """Yield each plot once, in the first of its formats."""
    formats: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted((run_dir / "plots").rglob("*")):
        if path.is_file() and path.suffix in (*SHOWN, ".pdf") and path.name[0] != ".":
            name = path.relative_to(run_dir / "plots").with_suffix("").as_posix()
            formats[name][path.suffix] = path
    for number, (name, found) in enumerate(formats.items()):
        kinds = [kind for kind in SHOWN if kind in found]
        if not kinds:
            continue
        large = kinds[0] == ".svg" and ".png" in found and found[".svg"].stat().st_size > PREFER_PNG
        kind = ".png" if large else kinds[0]
        others = tuple(path.relative_to(run_dir).as_posix() for key, path in found.items() if key != kind)
        content = picture_data(found[kind]) if embed and number < MAX_PICTURES else ""
        yield Picture(name, found[kind].relative_to(run_dir).as_posix(), others, content)


def picture_data(path: Path) -> str:
    """Return a picture as a URL with its content."""
    return f"data:{SHOWN[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _cutflow(run_dir: Path, path: Path) -> CutflowTable | None:
    """Return a cutflow; None if its file is not one: an op may have written a product of this name."""
    try:
        return table_of(json.loads(path.read_bytes()), path.parent.name, path.relative_to(run_dir).as_posix())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def table_of(content: dict[str, Any], name: str, path: str) -> CutflowTable:
    """Return a cutflow as a table.

    Parameters
    ----------
    content : dict
        Content of its JSON file.
    name, path : str
        Its stage, and where its file is.
    """
    datasets: dict[str, list[dict[str, Any]]] = content["datasets"]
    weighted = bool(content["weighted"])
    shown = dict(islice(datasets.items(), MAX_COLUMNS))
    rows = list(_rows(shown, weighted=weighted))
    nan = int(content["nan_weights"])
    return CutflowTable(
        name,
        path,
        tuple(shown),
        tuple(rows[:MAX_ROWS]),
        max(0, len(datasets) - MAX_COLUMNS),
        max(0, len(rows) - MAX_ROWS),
        weighted,
        nan,
    )


def _rows(datasets: dict[str, list[dict[str, Any]]], *, weighted: bool) -> Iterator[CutRow]:
    selection = None
    for cuts in zip(*datasets.values(), strict=False):
        if cuts[0]["selection"] != selection:
            selection = cuts[0]["selection"]
            label = "all" if selection in ("", "All") else f"{selection}: all"
            yield CutRow(label, tuple((_count(cut, "in", weighted=weighted), "") for cut in cuts), first=True)
        cells = [(_count(cut, "out", weighted=weighted), _share(cut["cumulative_efficiency"])) for cut in cuts]
        yield CutRow(str(cuts[0]["label"]), tuple(cells))


def _count(cut: dict[str, Any], side: str, *, weighted: bool) -> str:
    if not weighted:
        return f"{cut[f'n_{side}']:,}"
    value = float(cut[f"sumw_{side}"])
    return f"{value:,.1f}" if abs(value) < 1e6 else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
