"""``cleanup``: say what has become of the jobs of a run."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.cli.screen import Screen
from fasthep_parsl.driver.cleanup import clean_up
from fasthep_parsl.errors import SiteError


def clean(run_dir: Path, *, force: bool) -> int:
    """Remove what a run has left in the queue, print it, return the exit code.

    Raises
    ------
    ConfigError
        It is no run directory, or its driver is still alive.
    """
    fates = clean_up(run_dir, force=force)
    out, err = Screen(), Screen(stderr=True)

    def say(screen: Screen, text: str, style: str = "") -> None:
        screen.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    for fate in fates:
        if fate.state == "removed":
            say(out, f"removed job {fate.job.job} of pool {fate.job.pool} ({fate.words})")
    left = [fate for fate in fates if fate.state == "left"]
    for words in dict.fromkeys(fate.words for fate in left):
        ids = " ".join(fate.job.job for fate in left if fate.words == words)
        say(err, f"not removed: {ids}: {words}", "red")
    gone = sum(fate.state == "ended" for fate in fates)
    if gone:
        say(out, f"{gone} job{'s' if gone > 1 else ''} had ended already")
    if not fates:
        say(out, "nothing to do: all jobs of this run have ended")
    return SiteError.exit_code if left else 0
