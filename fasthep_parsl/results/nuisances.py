"""Nuisance parameters of a fit: the variations of templates, up and down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fasthep_parsl.names import file_name
from fasthep_parsl.plan import PlanVariation
from fasthep_parsl.results.templates import Collected


@dataclass(frozen=True)
class Effect:
    """The effect of a nuisance parameter on one sample in one channel.

    Attributes
    ----------
    channel, sample : str
        Where.
    up, down : PlanVariation or None
        The variations; None if there is none in this direction.
    nominal, high, low : array of float, shape (bins,)
        Yields. Without a variation in one direction, its yields are mirrored: twice nominal minus the other.
    """

    channel: str
    sample: str
    up: PlanVariation | None
    down: PlanVariation | None
    nominal: Any
    high: Any
    low: Any

    @property
    def mirrored(self) -> bool:
        """Whether one direction is the mirror image of the other."""
        return self.up is None or self.down is None

    @property
    def variation(self) -> PlanVariation:
        """The variation, of two the one that goes up."""
        found = self.up or self.down
        assert found is not None
        return found


@dataclass(frozen=True)
class Nuisance:
    """A nuisance parameter with all of its effects."""

    name: str
    effects: tuple[Effect, ...]

    def effect(self, channel: str, sample: str) -> Effect | None:
        """Return the effect on a sample in a channel, None if there is none."""
        return next((item for item in self.effects if (item.channel, item.sample) == (channel, sample)), None)


def yields(hist: Any) -> Any:
    """Return the content of the bins, without underflow and overflow."""
    return np.asarray(hist.view()["value"], dtype=float)


def processes(found: Collected) -> Iterator[tuple[str, str]]:
    """Yield (channel, sample) of all samples with entries, signals first."""
    ordered = sorted(found.wanted.samples, key=lambda sample: not sample.signal)
    for channel in found.wanted.channels:
        for sample in ordered:
            if found.nominal(channel.name, sample.name) is not None:
                yield channel.name, sample.name


def nuisances(found: Collected) -> list[Nuisance]:
    """Return the nuisance parameters, in the order of the plan.

    Variations with a direction share the parameter of their group. A variation without a direction has one of its own,
    named like the group if it is alone in it.
    """
    alone = {variation.group: 0 for variation in found.variations}
    for variation in found.variations:
        alone[variation.group] += 1
    pairs: dict[str, list[PlanVariation]] = {}
    for variation in found.variations:
        single = not variation.direction and alone[variation.group] > 1
        pairs.setdefault(variation.name if single else variation.group, []).append(variation)
    made = (Nuisance(file_name(name), tuple(_effects(found, variations))) for name, variations in pairs.items())
    return [nuisance for nuisance in made if nuisance.effects]


def _effects(found: Collected, variations: list[PlanVariation]) -> Iterator[Effect]:
    down = next((item for item in variations if item.direction == "down"), None)
    up = next((item for item in variations if item.direction != "down"), None)
    for channel, sample in processes(found):
        nominal = yields(found.content[channel, sample, ""])
        high = _of(found, channel, sample, up)
        low = _of(found, channel, sample, down)
        if high is None and low is None:
            continue
        yield Effect(
            channel,
            sample,
            up if high is not None else None,
            down if low is not None else None,
            nominal,
            2 * nominal - low if high is None else high,
            2 * nominal - high if low is None else low,
        )


def _of(found: Collected, channel: str, sample: str, variation: PlanVariation | None) -> Any | None:
    hist = found.content.get((channel, sample, variation.name)) if variation else None
    return None if hist is None else yields(hist)


def fit_notes(found: Collected) -> list[str]:
    """Return what is odd for a fit: negative yields, and samples without entries."""
    notes = []
    for channel in found.wanted.channels:
        for sample in found.wanted.samples:
            hist = found.nominal(channel.name, sample.name)
            if hist is None:
                notes.append(f"templates: sample `{sample.name}` has no entries in `{channel.name}`")
            elif (yields(hist) < 0).any():
                name = found.wanted.name(channel, sample.name)
                notes.append(f"template `{name}` has negative bins: fits may fail; use wider bins")
        if found.wanted.observed and found.observed(channel.name) is None:
            notes.append(f"templates: nothing to fit in `{channel.name}`: no entries of `{found.wanted.observed}`")
    return notes
