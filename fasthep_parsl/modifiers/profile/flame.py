"""Write sampled stacks as a speedscope file and as a page with a flame graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def speedscope(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile of all stages and one per stage, in the format of https://www.speedscope.app."""
    frames: dict[str, int] = {}

    def profile(name: str, stacks: list[tuple[list[str], float]]) -> dict[str, Any]:
        samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack, _ in stacks]
        weights = [value for _, value in stacks]
        return {
            "type": "sampled", "name": name, "unit": "seconds", "startValue": 0, "endValue": sum(weights),
            "samples": samples, "weights": weights,
        }  # fmt: skip

    of_stage = {stage: list(_stacks(stage, note)) for stage, note in notes.items()}
    profiles = [profile("all stages", [item for stacks in of_stage.values() for item in stacks])]
    profiles += [profile(stage, stacks) for stage, stacks in of_stage.items()]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": "stages",
        "exporter": "fasthep-parsl",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(name) for name in frames]},
        "profiles": profiles,
    }


def _stacks(stage: str, note: Mapping[str, Any]) -> Iterator[tuple[list[str], float]]:
    for stack, value in sorted(note["stacks"].items()):  # equal callers become neighbours
        yield [stage, *(name for name in stack.split(";") if name)], value


def _frame(name: str) -> dict[str, Any]:
    function, _, place = name.removesuffix(")").rpartition(" (")
    file, _, line = place.rpartition(":")
    return {"name": function, "file": file, "line": int(line)} if function and line.isdigit() else {"name": name}


def page(notes: Mapping[str, Any]) -> str:
    """Return a self-contained HTML page."""
    root: dict[str, Any] = {"n": "all stages", "v": 0.0, "c": {}}
    for stage, note in notes.items():
        for stack, value in _stacks(stage, note):
            root["v"] += value
            node = root
            for name in stack:
                node = node["c"].setdefault(name, {"n": name, "v": 0.0, "c": {}})
                node["v"] += value
    tree = json.dumps(_lists(root), separators=(",", ":")).replace("<", "\\u003c")
    return (Path(__file__).with_name("flame.html")).read_text(encoding="utf-8").replace("/*TREE*/", tree)


def _lists(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with its children as a list, largest first."""
    children = sorted(node["c"].values(), key=lambda child: -child["v"])
    return {"n": node["n"], "v": round(node["v"], 4), "c": [_lists(child) for child in children]}
