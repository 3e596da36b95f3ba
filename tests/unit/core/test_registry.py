"""Kinds are found by name; a wrong name is answered with close ones."""

from __future__ import annotations

import pytest

from fasthep_parsl import registry
from fasthep_parsl.errors import ConfigError


def test_names_are_sorted_and_hold_the_built_ins():
    for group, some in {"ops": "hep.hist", "strategies": "local", "backends": "parsl"}.items():
        names = registry.names(group)
        assert names == sorted(names)
        assert some in names


@pytest.mark.parametrize(
    ("group", "name", "hint"),
    [
        ("ops", "hep.histo", "`hep.hist`"),
        ("strategies", "Local", "`local`"),
        ("backends", "parsel", "`parsl`"),
    ],
)
def test_an_unknown_name_has_a_hint(group, name, hint):
    with pytest.raises(ConfigError) as caught:
        registry.load(group, name)
    (problem,) = caught.value.problems
    assert problem.code == "E110"
    assert f"`{name}`" in problem.message
    assert hint in str(problem.hint)


def test_an_unknown_group_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="strategies"):
        registry.names("strategy")
