"""What a notebook shows of a run: a part of a page, which brings no styles that other cells could take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fasthep_parsl.report.models import CutflowTable, Picture, Report
from fasthep_parsl.report.page import page_environment
from fasthep_parsl.report.result_files import SHOWN, picture_data

MAX_SHOWN, MAX_TABLES, MAX_NAMES = 12, 4, 60
"""Plots, cutflows and names that are shown."""
MAX_BYTES = 2_000_000
"""Bytes of all plots: they are stored in the notebook."""


def run_fragment(report: Report, run_dir: Path, names: Sequence[str], state: str = "") -> str:
    """Return HTML with the verdict, the first plots and the cutflows of a run.

    Parameters
    ----------
    report : Report
        What there is to say.
    run_dir : Path
        The run directory, with the plots.
    names : sequence of str
        Names of its histograms.
    state : str
        What to know besides the verdict.
    """
    every = report.results.pictures
    pictures = list(_embedded(run_dir, every))
    return _rendered(
        "fragment.html.j2",
        r=report,
        v=report.verdict,
        pictures=pictures,
        more_pictures=len(every) + report.results.more_pictures - len(pictures),
        cutflows=report.results.cutflows[:MAX_TABLES],
        more_cutflows=len(report.results.cutflows[MAX_TABLES:]) + report.results.more_cutflows,
        names=names[:MAX_NAMES],
        more_names=len(names[MAX_NAMES:]),
        state=state,
    )


def cutflow_fragment(table: CutflowTable) -> str:
    """Return a cutflow as an HTML table."""
    return _rendered("cutflow_fragment.html.j2", t=table)


def _rendered(template: str, **values: object) -> str:
    text = page_environment().get_template(template).render(**values)
    return text.encode("utf-8", "replace").decode()


def _embedded(run_dir: Path, pictures: Sequence[Picture]) -> Iterator[tuple[str, str]]:
    """Yield name and content of the first plots, in the smallest of their formats, as far as they fit."""
    left = MAX_BYTES
    for picture in pictures[:MAX_SHOWN]:
        files = [run_dir / path for path in (picture.path, *picture.others) if Path(path).suffix in SHOWN]
        smallest = min(files, key=lambda path: path.stat().st_size)
        left -= smallest.stat().st_size
        if left < 0:
            return
        yield picture.name, picture_data(smallest)
