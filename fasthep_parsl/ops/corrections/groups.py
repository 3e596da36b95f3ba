"""Variations that an op computes itself: groups with directions, the spelling that `hep.correction` and `hep.weight` share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.errors import Hint
from fasthep_parsl.interfaces import OpProblem, ParamPath, Variation, variant

DIRECTIONS = ("up", "down")
GROUP = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class GroupOfVariations:
    """The two directions of a variation, as written.

    Attributes
    ----------
    name : str
        Name of the nuisance parameter.
    path : tuple
        Its place in the parameters.
    up, down : object
        What changes.
    """

    name: str
    path: ParamPath
    up: Any
    down: Any

    @property
    def written(self) -> tuple[tuple[Variation, ParamPath, Any], ...]:
        """Each variation with the place and the value of what changes."""
        up = Variation(f"{self.name}_up", self.name, "up")
        down = Variation(f"{self.name}_down", self.name, "down")
        return (up, (*self.path, "up"), self.up), (down, (*self.path, "down"), self.down)


def unfit(path: ParamPath, message: str, hint: Hint = "") -> OpProblem:
    """Return the problem of a correction, a weight or a model that cannot be computed as written."""
    return OpProblem(path, message, hint, code="E155")


def read_groups(
    raw: Mapping[str, Any], path: ParamPath, group: str
) -> tuple[tuple[GroupOfVariations, ...], list[OpProblem]]:
    """Return the groups of a parameter: ``{up: …, down: …}`` of `group`, or a mapping of names of groups to these."""
    if not raw:
        return (), []
    if set(raw) & set(DIRECTIONS):
        given = {group: (path, raw)}
    else:
        given = {name: ((*path, name), value) for name, value in raw.items()}
    found, problems = [], []
    for name, (place, value) in given.items():
        wrong = _wrong(name, value, place)
        problems += wrong
        if not wrong:
            found.append(GroupOfVariations(name, place, value["up"], value["down"]))
    return tuple(found), problems


def _wrong(name: str, value: Any, path: ParamPath) -> list[OpProblem]:
    """Return what is wrong with a group."""
    if not GROUP.fullmatch(name):
        hint = "use letters, digits, `_`, `-` and `.`"
        return [unfit(path, f"`{name}` cannot be the name of a group of variations", hint)]
    keys = list(value) if isinstance(value, Mapping) else []
    if isinstance(value, Mapping) and set(keys) == set(DIRECTIONS):
        return []
    other = [key for key in keys if key not in DIRECTIONS]
    if other or not keys:
        what = f"it has `{other[0]}`" if other else "it has neither"
        return [unfit(path, f"the variation `{name}` has the directions `up` and `down`: {what}")]
    lacking = next(way for way in DIRECTIONS if way not in keys)
    hint = f"add `{lacking}`, also if nothing changes in this direction"
    return [unfit(path, f"the variation `{name}` has `{keys[0]}`, but no `{lacking}`", hint)]


def columns_of(field: str, variations: Iterable[Variation]) -> dict[str, str]:
    """Return variation → column with the value of a field in it."""
    return {item.name: variant(field, item.name) for item in variations}
