"""Style of plots: fonts, ticks and labels."""

from __future__ import annotations

import re
from typing import Any

STYLE: dict[str, Any] = {
    "font.family": ["sans-serif", "DejaVu Sans"],  # the second one has the missing glyphs
    "font.sans-serif": ["TeX Gyre Heros", "Helvetica", "Arial", "DejaVu Sans"],
    "mathtext.fontset": "custom",
    "mathtext.rm": "TeX Gyre Heros",
    "mathtext.it": "TeX Gyre Heros:italic",
    "mathtext.bf": "TeX Gyre Heros:bold",
    "mathtext.cal": "TeX Gyre Heros",
    "font.size": 13,
    "axes.labelsize": 15,
    "axes.linewidth": 1.1,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.size": 8,
    "ytick.major.size": 8,
    "axes.titley": 1.01,  # fixed: an automatic height needs a second layout
    "pdf.fonttype": 42,  # text can be edited and searched, also in SVG
    "svg.fonttype": "none",
    "svg.hashsalt": "fasthep-parsl",  # the same plot is the same file
    "hatch.linewidth": 0.5,
}


def look(experiment: str) -> dict[str, Any]:
    """Return the settings of matplotlib for the plots of an experiment: LHCb has a font with serifs, as in mplhep."""
    if experiment != "LHCb":
        return STYLE
    font = "TeX Gyre Termes"
    math_fonts = {"rm": font, "it": f"{font}:italic", "bf": f"{font}:bold", "cal": font}
    families = {"font.family": ["serif", "DejaVu Sans"], "font.serif": [font, "Times New Roman", "DejaVu Serif"]}
    return {**STYLE, **families, **{f"mathtext.{name}": value for name, value in math_fonts.items()}}


def power_of_ten(ax: Any, letter: str) -> None:
    """Write numbers that are very large or small with one power of ten at the end of the axis ``x`` or ``y``."""
    axis = getattr(ax, f"{letter}axis")
    largest = max(abs(end) for end in axis.get_view_interval())
    if axis.get_scale() == "linear" and not 1e-3 <= largest < (1e4 if letter == "y" else 1e5):
        ax.ticklabel_format(axis=letter, style="sci", scilimits=(0, 0), useMathText=True)


def minor_ticks(ax: Any, *, x: bool = True, y: bool = True) -> None:
    """Draw minor ticks as markers; those of matplotlib take half of the time of a plot."""
    from matplotlib.ticker import AutoMinorLocator

    for wanted, axis, limits, transform, markers in (
        (x, ax.xaxis, ax.get_xlim(), ax.get_xaxis_transform(), (2, 3)),
        (y, ax.yaxis, ax.get_ylim(), ax.get_yaxis_transform(), (1, 0)),
    ):
        if not wanted or axis.get_scale() != "linear":
            continue
        axis.set_minor_locator(AutoMinorLocator())
        places = axis.get_minorticklocs()
        axis.minorticks_off()
        places = places[(places >= min(limits)) & (places <= max(limits))]
        for side, marker in enumerate(markers):
            across = [side] * len(places)
            xy = (places, across) if axis is ax.xaxis else (across, places)
            ax.plot(*xy, linestyle="", marker=marker, markersize=4, color="black", markeredgewidth=0.6,
                    transform=transform, scalex=False, scaley=False)  # fmt: skip


def safe_text(text: str) -> str:
    """Return `text` for matplotlib: dollar signs are literal unless they enclose a valid formula."""
    if "$" not in text:
        return text
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return re.sub(r"(?<!\\)\$", r"\\$", text)
    return text


def axis_label(axis: Any) -> str:
    """Return the label or the name of an axis for matplotlib."""
    return safe_text(axis.label or axis.name or "")


def y_label(axis: Any, widths: Any, uniform: bool) -> str:
    """Return ``Events / 2 GeV`` for equal bins, ``Events / GeV`` for contents divided by the bin width.

    Parameters
    ----------
    axis : hist axis
        Its label may end with a unit: ``mass [GeV]``.
    widths : array of float64, shape (bins,), or None
        In the unit of the axis; None for categories.
    uniform : bool
        Whether all widths are equal.
    """
    if widths is None:
        return "Events"
    found = re.search(r"\[([^\[\]]+)\]\s*$", axis.label or "")
    unit = found.group(1) if found else ""
    if not uniform:
        return f"Events / {unit}" if unit else "Events / unit width"
    if not unit:
        return "Events / bin"
    digits = short_number(float(widths[0]))
    return f"Events / {unit}" if digits == "1" else f"Events / {digits} {unit}"


def short_number(value: float) -> str:
    """Return a number with three digits for matplotlib, with a power of ten where it is very large or small."""
    if value and not 1e-4 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.2e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return rf"$10^{{{int(power)}}}$" if mantissa == "1" else rf"{mantissa}$\times10^{{{int(power)}}}$"
    return f"{float(f'{value:.3g}'):g}"
