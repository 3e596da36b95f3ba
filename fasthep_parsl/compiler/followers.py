"""Leave out mistakes that only follow from others: one mistake of the user is one error."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fasthep_parsl.errors import Problem

_FILES = re.compile(r"data\.datasets\[\d+\](?=\.files)")
_SUMS = re.compile(r"data\.(datasets\[\d+\]\.)?sum_of_weights\b")
_CHANNEL = re.compile(r"analysis\.templates\.histograms\..*[^\]]")
_REGIONS = re.compile(r"analysis\.stages\[\d+\]\..*\bregions?\b")


def without_followers(problems: Iterable[Problem], causes: Iterable[Problem]) -> list[Problem]:
    """Return problems without those of what datasets lack because it is written wrong.

    These are their files, their cross-sections, and where their sums of weights come from.
    """
    causes = list(causes)
    broken = {found[0] for item in causes if (found := _FILES.match(item.key))}
    wrong = {item.key for item in causes}
    sums = any(_SUMS.match(item.key) for item in causes)
    return [
        item
        for item in problems
        if not (item.code in ("E134", "E137") and item.key.rpartition(".")[0] in broken)
        and not (item.code == "E210" and item.key in wrong)
        and not (item.code in ("E211", "E212") and sums)
    ]


def without_lost_regions(problems: Iterable[Problem], causes: Iterable[Problem]) -> list[Problem]:
    """Return problems of templates without those of regions that a histogram lacks because they are written wrong."""
    lost = any(_REGIONS.match(item.key) for item in causes)
    return [item for item in problems if not (lost and _CHANNEL.fullmatch(item.key))]
