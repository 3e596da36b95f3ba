"""``sites init``: print or write a draft of a profile."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.cli.ending import emit
from fasthep_parsl.cli.screen import Screen
from fasthep_parsl.driver.site_checks.draft import draft_profile, write_profile


def draft_site(name: str | None, folder: Path | None) -> None:
    """Print a draft, or write it if it has a name, and say how to go on."""
    text = draft_profile()
    if name is None and folder is None:
        emit(text.rstrip())
        return
    path = write_profile(name or "", folder, text)
    target = name if folder is None else str(path)
    lines = [
        f"wrote {path}",
        "edit it, then",
        f"  fasthep-parsl sites check {target}",
        f"  fasthep-parsl sites check {target} --live",
    ]
    for line in lines:
        Screen().print(line, markup=False, highlight=False, soft_wrap=True)
