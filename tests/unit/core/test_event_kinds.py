"""Kinds of events: every line of a run is one of them, all are documented, and no other code reads their keys."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from fasthep_parsl.driver import api
from fasthep_parsl.events import (
    BLOCK_STATES,
    CREDENTIAL_STATES,
    KINDS,
    POOL_STATES,
    RUN_STATUSES,
    BlockStateName,
    CredentialStateName,
    PoolStateName,
    RunStatus,
)
from fasthep_parsl.events.codec import decode, encode

ROOT = Path(__file__).parents[3]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import event_page

    return event_page


def test_every_line_of_a_run_is_an_event_of_the_page(flow, small_files, page):
    """One partition fails, the run is resumed, and streams, merges and calls of datasets occur."""
    s = flow.stage
    flag = flow.folder / "repaired"
    stages = [
        s("Fragile", "probe.fail", [], at=[7], once=str(flag)),
        s("Sum", "probe.sum", ["Fragile"]),
        s("All", "probe.all", ["Fragile"]),
    ]
    plan = flow.write(stages, [small_files / "a.root", small_files / "b.root"]).compile(chunk_size=10)
    run_dir = flow.folder / "run"
    assert api.run(plan, outdir=run_dir, plots=False, check=False).status == "partial"
    flag.touch()
    assert api.run(plan, outdir=run_dir, plots=False, mode="resume").status == "complete"
    text = page.events()
    kinds = set()
    for line in (run_dir / "events.jsonl").read_bytes().splitlines(keepends=True):
        content = json.loads(line)
        cls = KINDS[content["kind"]]
        assert content.keys() - {"kind", "crc"} <= {item.name for item in fields(cls)} - {"checked"}
        event = decode(line)
        TypeAdapter(cls).validate_python(event, strict=True)
        assert encode(event).encode() == line
        assert f"\n## {content['kind']}\n" in text
        kinds.add(content["kind"])
    assert kinds == {"log", "run", "submitted", "finished", "failed", "ended"}


@pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
def test_every_kind_is_documented(page, cls):
    described = page.described(cls)
    assert list(described) == [item.name for item in fields(cls) if item.name not in {"time", "checked"}]
    (example,) = (event for event in page.EXAMPLES if type(event) is cls)
    assert decode(encode(example).encode()) == example
    optional = {name for name, (kind, _) in described.items() if kind.endswith(", optional")}
    assert json.loads(encode(example)).keys() - {"time", "kind", "crc"} >= described.keys() - optional


@pytest.mark.parametrize(
    ("states", "names"),
    [
        (RUN_STATUSES, RunStatus),
        (CREDENTIAL_STATES, CredentialStateName),
        (POOL_STATES, PoolStateName),
        (BLOCK_STATES, BlockStateName),
    ],
)
def test_every_state_has_a_meaning(states, names, page):
    assert list(states) == list(get_args(names))
    assert all(info.final for info in states.values() if info.gone)
    for name, info in states.items():
        assert f"| `{name}` | {info.meaning} |" in page.events()


def keys_of_events(tree: ast.AST) -> Iterator[int]:
    """Yield the lines with ``event["…"]`` or ``event.get("…")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            owner, key = node.value, node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            owner, key = node.func.value, node.args[0]
        else:
            continue
        named = isinstance(owner, ast.Name) and (owner.id in {"event", "e"} or owner.id.endswith("_event"))
        if named and isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield node.lineno


@pytest.mark.slow
def test_events_have_attributes_not_keys():
    assert list(keys_of_events(ast.parse('event["kind"]\nevent.get("pool", "")\nevents["x"]'))) == [1, 2]
    places = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "fasthep_parsl").rglob("*.py")
        if "events" not in path.relative_to(ROOT).parts
        for line in keys_of_events(ast.parse(path.read_text()))
    ]
    assert places == []
