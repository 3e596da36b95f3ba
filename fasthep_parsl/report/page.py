"""Draw a `Report` as one HTML page. Names are text: jinja2 escapes all of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from fasthep_parsl.report import charts
from fasthep_parsl.report.models import Report
from fasthep_parsl.resources.units import format_memory
from fasthep_parsl.version import __version__

LONG = 300
"""Characters of a name or message; the rest is left out."""


@cache
def page_environment() -> Environment:
    """Return the templates with their filters."""
    found = Environment(
        loader=PackageLoader("fasthep_parsl.report"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "duration": duration,
        "memory": memory,
        "number": number,
        "percent": percent,
        "cut": cut,
    }
    found.globals |= {
        "slices": charts.slices,
        "area": charts.area,
        "raster_paths": charts.raster_paths,
        "memory_bars": charts.memory_bars,
    }
    return found


def _shown(value: Any) -> Any:
    """Return what is written for an expression of a template; HTML of a macro is left as it is."""
    return visible(value) if type(value) is str and not value.isprintable() else value


def render(report: Report, base: str = "") -> str:
    """Return the page.

    Parameters
    ----------
    report : Report
        What it says.
    base : str
        Path from the folder of the page to the run directory, empty if they are the same.
    """

    def link(path: str) -> str:
        return quote(f"{base}/{path}" if base else f"./{path}", errors="surrogateescape")

    text = page_environment().get_template("report.html.j2").render(r=report, link=link, version=__version__)
    return text.encode("utf-8", "replace").decode()


def duration(seconds: float) -> str:
    """Return a time for people: ``0.12 s``, ``45.1 s``, ``12 min 3 s``, ``5 h 07 min``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def memory(amount: float) -> str:
    """Return bytes with a unit."""
    return format_memory(round(amount))


def number(value: float) -> str:
    """Return a count with separators."""
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """Return a share. Nothing that is missing is rounded away: 99.99 % is not 100 %."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < share < 100 else f"{share:.3g} %" if share < 99.95 else "100 %"


def cut(text: str, most: int = LONG) -> str:
    """Return the beginning of a long text."""
    text = str(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(text: str) -> str:
    """Return text with control characters and text direction marks made visible: a name must not change the page."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text)


def base_of(page: Path, run_dir: Path) -> str:
    """Return the path from the folder of a page to the run directory, empty if they are the same."""
    folder, target = page.expanduser().absolute().parent, run_dir.expanduser().absolute()
    if folder == target:
        return ""
    try:
        return str(target.relative_to(folder))
    except ValueError:
        return str(target)
