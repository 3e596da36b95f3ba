"""Where `run` in Python shows its progress: in the output of a cell, as lines, or nowhere."""

from __future__ import annotations

import sys

from fasthep_parsl.driver.run_display import LineDisplay, RunDisplay


def open_display(progress: bool | None, *, observed: bool) -> RunDisplay:
    """Return the display that a run needs.

    Parameters
    ----------
    progress : bool or None
        Whether to show progress; None: in notebooks, unless an observer does it.
    observed : bool
        Whether the caller has an observer.
    """
    notebook = in_notebook()
    if progress is False or (progress is None and (observed or not notebook)):
        return RunDisplay()
    if not notebook:
        return LineDisplay()
    from fasthep_parsl.driver.notebook_display import NotebookDisplay

    return NotebookDisplay()


def in_notebook() -> bool:
    """Return whether this process is a kernel of Jupyter. IPython is not imported to find out."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return getattr(get_ipython() if get_ipython else None, "kernel", None) is not None
