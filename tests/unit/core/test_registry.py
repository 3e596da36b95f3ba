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


def test_a_plug_in_that_cannot_be_imported_is_named_with_its_package(tmp_path, monkeypatch):
    info = tmp_path / "their_cluster-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-cluster\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fasthep_parsl.strategies]\ntheirs = their_cluster:Theirs\n")
    (tmp_path / "their_cluster.py").write_text("import a_library_that_is_not_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._table.cache_clear()
    try:
        with pytest.raises(ConfigError) as caught:
            registry.load("strategies", "theirs")
    finally:
        registry._table.cache_clear()
    assert caught.value.problems[0].message == (
        "strategy `theirs` of package `their-cluster` cannot be imported: "
        "ModuleNotFoundError: No module named 'a_library_that_is_not_here'"
    )


def test_an_unknown_group_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="strategies"):
        registry.names("strategy")
