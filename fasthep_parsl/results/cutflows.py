"""Write cutflows as JSON and CSV, and make a table for the terminal."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_parsl.atomic import write_text
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.ops.products import Cutflow, CutflowRow, Rows

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

CSV_COLUMNS = (
    "dataset",
    "selection",
    "index",
    "label",
    "n_in",
    "n_out",
    "sumw_in",
    "sumw_out",
    "sumw2_in",
    "sumw2_out",
    "efficiency",
    "cumulative_efficiency",
)
VARIED = ("n_out", "sumw_in", "sumw_out", "sumw2_out")
"""Columns that a CSV file has for each systematic variation."""
CUT_WIDTH, DATASET_WIDTH, LONG_WIDTH = 24, 18, 96
"""Characters of a cut and of a dataset in a table, and of a table with one row per dataset and cut."""


@dataclass(frozen=True, slots=True)
class CutReport:
    """One cut of one dataset with its efficiencies.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    row : CutflowRow
        Counts and sums of weights.
    efficiency : float or None
        Raw events out over in; None if none came in.
    cumulative : float or None
        Raw events out over the events before the first cut of the same selection.
    """

    dataset: str
    row: CutflowRow
    efficiency: float | None
    cumulative: float | None


def reports(cutflow: Cutflow) -> Iterator[CutReport]:
    """Yield one `CutReport` per dataset and cut, in the order of the cutflow."""
    for dataset, rows in cutflow.rows.items():
        first: dict[str, int] = {}
        for row in rows:
            start = first.setdefault(row.selection, row.n_in)
            yield CutReport(dataset, row, _ratio(row.n_out, row.n_in), _ratio(row.n_out, start))


def write_cutflow(cutflow: Cutflow, path: Path, extent: str = "") -> list[Path]:
    """Write `cutflow` to `path` (``….json``) and to the CSV file of the same name; return both paths.

    The CSV file has the columns `VARIED` of each systematic variation, named ``<column>@<variation>``, behind the others.
    `extent` says which events they are of, if not of all: a key of the JSON file, and the last column of the CSV file.
    """
    return [write_text(path, _json(cutflow, extent)), write_text(path.with_suffix(".csv"), _csv(cutflow, extent))]


def cutflow_table(cutflow: Cutflow, *, title: str = "", width: int | None = None) -> Table:
    """Return the cutflow as a table for the terminal.

    Parameters
    ----------
    cutflow : Cutflow
        Raw counts are shown, with the sums of weights below them if ``cutflow.weighted``.
    title : str
        Usually the id of the stage.
    width : int, optional
        Characters; default: the width of the terminal. Datasets are columns if they fit, else rows.
    """
    room = width or shutil.get_terminal_size().columns
    side_by_side = 0 < len(cutflow.rows) <= (room - CUT_WIDTH) // DATASET_WIDTH
    return _wide(cutflow, title) if side_by_side else _long(cutflow, title, narrow=room < LONG_WIDTH)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _values(report: CutReport) -> dict[str, str | int | float | None]:
    row = report.row
    values = {name: getattr(row, name) for name in CSV_COLUMNS[1:-2]}
    return {
        "dataset": report.dataset,
        **values,
        "efficiency": report.efficiency,
        "cumulative_efficiency": report.cumulative,
    }


def _by_dataset(rows: Rows) -> dict[str, list[dict[str, str | int | float | None]]]:
    datasets: dict[str, list[dict[str, str | int | float | None]]] = {name: [] for name in rows}
    for report in reports(Cutflow(rows)):
        values = _values(report)
        del values["dataset"]
        datasets[report.dataset].append(values)
    return datasets


def cutflow_content(cutflow: Cutflow, extent: str = "") -> dict[str, Any]:
    """Return the content of the JSON file of a cutflow."""
    content: dict[str, Any] = {
        **({"extent": extent} if extent else {}),
        "weighted": cutflow.weighted,
        "nan_weights": cutflow.nan,
        "datasets": _by_dataset(cutflow.rows),
    }
    if cutflow.variations:
        content["variations"] = {name: _by_dataset(rows) for name, rows in cutflow.variations.items()}
    return content


def _json(cutflow: Cutflow, extent: str) -> str:
    return json_text(cutflow_content(cutflow, extent), indent=1) + "\n"


def _csv(cutflow: Cutflow, extent: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, csv_columns(cutflow, extent), lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_rows(cutflow, extent))
    return out.getvalue()


def csv_columns(cutflow: Cutflow, extent: str = "") -> list[str]:
    """Return the columns of the CSV file of a cutflow."""
    varied = [f"{column}@{name}" for name in cutflow.variations for column in VARIED]
    return [*CSV_COLUMNS, *varied, *(["extent"] if extent else [])]


def csv_rows(cutflow: Cutflow, extent: str = "") -> Iterator[dict[str, Any]]:
    """Yield column → value for each dataset and cut. Variations that do not apply to a dataset are not in its rows."""
    place: Counter[str] = Counter()
    for report in reports(cutflow):
        values = _values(report)
        for name, rows in cutflow.variations.items():
            for row in rows.get(report.dataset, ())[place[report.dataset] : place[report.dataset] + 1]:
                values |= {f"{column}@{name}": getattr(row, column) for column in VARIED}
        place[report.dataset] += 1
        yield values | ({"extent": extent} if extent else {})


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _weight(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 1e6 else f"{value:.4g}"


def _table(title: str) -> Table:
    from rich.table import Table

    return Table(title=title or None, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)


def _wide(cutflow: Cutflow, title: str) -> Table:
    """One row per cut, one column per dataset: events left, share of the first cut's input."""
    from rich.text import Text

    table = _table(title)
    table.add_column("cut", overflow="fold", min_width=CUT_WIDTH - 4)
    for dataset in cutflow.rows:
        table.add_column(Text(dataset), justify="right", no_wrap=True)
    by_cut = zip(*_per_dataset(cutflow), strict=True)
    selection = None
    for cut in by_cut:
        row = cut[0].row
        if row.selection != selection:
            if selection is not None:
                table.add_section()
            selection = row.selection
            before = [_cell(report.row.n_in, report.row.sumw_in, None, cutflow.weighted) for report in cut]
            table.add_row(Text(_first(row), style="dim"), *before)
        cells = [_cell(r.row.n_out, r.row.sumw_out, r.cumulative, cutflow.weighted) for r in cut]
        table.add_row(Text(row.label), *cells)
    return table


def _first(row: CutflowRow) -> str:
    """Return the name of the row with the events before a selection; a plain list of cuts has no name."""
    return "all" if row.selection in ("", "All") else f"{row.selection}: all"


def _per_dataset(cutflow: Cutflow) -> list[list[CutReport]]:
    found: dict[str, list[CutReport]] = {name: [] for name in cutflow.rows}
    for report in reports(cutflow):
        found[report.dataset].append(report)
    return list(found.values())


def _cell(count: int, sumw: float, share: float | None, weighted: bool) -> Text:
    from rich.text import Text

    text = Text(f"{count:,}" if share is None else f"{count:,} {_percent(share):>7}")
    return text.append(f"\nΣw {_weight(sumw)}", style="dim") if weighted else text


def _long(cutflow: Cutflow, title: str, *, narrow: bool) -> Table:
    """One row per dataset and cut; `narrow` tables have no column for the events before a cut.

    Each selection begins with a row for the events before its first cut.
    """
    from rich.text import Text

    table = _table(title)
    table.add_column("dataset", overflow="fold")
    table.add_column("cut", overflow="fold", min_width=CUT_WIDTH - 8)
    for name in (*(() if narrow else ("in",)), "out", *(("Σw out",) if cutflow.weighted else ()), "eff.", "cumul."):
        table.add_column(name, justify="right", no_wrap=True)
    dataset = selection = None
    for report in reports(cutflow):
        row = report.row
        if dataset is not None and (dataset, selection) != (report.dataset, row.selection):
            table.add_section()
        if (dataset, selection) != (report.dataset, row.selection):
            start = (_weight(row.sumw_in),) if cutflow.weighted else ()
            table.add_row(
                Text("" if dataset == report.dataset else report.dataset),
                Text(_first(row), style="dim"),
                *(() if narrow else ("",)),
                f"{row.n_in:,}",
                *start,
                "",
                "",
            )
        dataset, selection = report.dataset, row.selection
        weight = (_weight(row.sumw_out),) if cutflow.weighted else ()
        table.add_row(
            Text(""),
            Text(row.label),
            *(() if narrow else (f"{row.n_in:,}",)),
            f"{row.n_out:,}",
            *weight,
            _percent(report.efficiency),
            _percent(report.cumulative),
        )
    return table
