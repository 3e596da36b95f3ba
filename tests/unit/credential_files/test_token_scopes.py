"""Scopes: paths are whole names, operations of SciTokens and WLCG are the same, nothing is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_parsl.credential_files.token_scopes import covers

PARTS = st.lists(st.text("ab%20.", min_size=1, max_size=3).filter(lambda part: "%" not in part), max_size=4)
OPERATIONS = st.sampled_from(["storage.read", "storage.modify", "storage.create", "storage.stage", "read", "write"])


@pytest.mark.parametrize(
    ("granted", "wanted", "good"),
    [
        ("storage.read:/", "storage.read:/store/a", True),
        ("storage.read:/store", "storage.read:/store", True),
        ("storage.read:/store/", "storage.read:/store", True),
        ("storage.read://store", "storage.read:/store/x", True),
        ("storage.read:/store", "storage.read:/store2", False),
        ("storage.read:/store/a", "storage.read:/store", False),
        ("storage.read:/store/../etc", "storage.read:/etc", False),
        ("storage.read:/%73tore", "storage.read:/store", True),
        ("read:/", "storage.read:/a", True),
        ("storage.read:/", "read:/a", True),
        ("read", "read:/a", True),
        ("storage.read", "storage.read:/a", False),
        ("write:/", "storage.create:/a", True),
        ("storage.modify:/", "storage.create:/a", True),
        ("storage.create:/", "storage.modify:/a", False),
        ("storage.stage:/", "storage.read:/a", True),
        ("storage.modify:/", "storage.read:/a", False),
        ("compute.create", "compute.create", True),
        ("compute.create", "compute.modify", False),
        ("Storage.read:/", "storage.read:/a", False),
    ],
)
def test_a_scope_covers_another(granted, wanted, good):
    assert covers(["openid", granted], wanted) is good


@pytest.mark.slow
@given(OPERATIONS, PARTS, PARTS)
def test_a_folder_covers_what_is_below_and_nothing_else(operation, folder, rest):
    def path(parts):
        return "/" + "/".join(parts)

    if ".." in folder or ".." in rest:
        return
    assert covers([f"{operation}:{path(folder)}"], f"{operation}:{path(folder + rest)}")
    real = [part for part in folder if part != "."]
    if real:
        sibling = [*real[:-1], real[-1] + "x"]
        assert not covers([f"{operation}:{path(real)}"], f"{operation}:{path(sibling + rest)}")
        assert not covers([f"{operation}:{path(real)}"], f"{operation}:{path(real[:-1])}")


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_answered(granted, wanted):
    assert covers([granted], wanted) in (True, False)
    assert not covers([], wanted)
