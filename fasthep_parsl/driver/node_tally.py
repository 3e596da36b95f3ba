"""The nodes of a run, counted from its events: equal ones are grouped, so that a thousand of them stay readable."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fasthep_parsl.analysis_code.handshake import differences, expected_software
from fasthep_parsl.events import BlockChanged, Event, NodeRefused, NodeSeen
from fasthep_parsl.plan import Plan

MAX_NODES = 5
"""Nodes that a warning names."""


class NodeTally:
    """Nodes that have worked, and nodes whose blocks have failed; call it with each event.

    Parameters
    ----------
    plan : Plan
        The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seen: dict[tuple[str, str], NodeSeen] = {}
        self._failed: dict[tuple[str, str], list[str]] = defaultdict(list)

    def __call__(self, event: Event) -> None:
        """Add an event."""
        if isinstance(event, NodeSeen):
            self._seen[event.pool, event.node] = event
        elif (isinstance(event, BlockChanged) and event.state == "failed" and event.node) or isinstance(
            event, NodeRefused
        ):
            self._failed[event.pool, event.node].append(event.message)

    def groups(self) -> list[dict[str, Any]]:
        """Return the entry `nodes` of ``run.json``."""
        expected = expected_software(self._plan)
        names: dict[str, list[str]] = defaultdict(list)
        facts: dict[str, dict[str, Any]] = {}
        for event in self._seen.values():
            content = {
                "pool": event.pool,
                "python": event.python,
                "platform": event.platform,
                "system": event.system,
                "cpu": event.cpu,
                "software": {name: text for name, text in event.software.items() if text and name != "python"},
                "environment": event.environment,
                "differences": [str(item) for item in differences(expected, event.software)],
                "gpus": sorted({str(gpu.get("name", "")) for gpu in event.gpus}),
            }
            key = repr(content)
            facts[key] = content
            names[key].append(event.node)
        return [{"nodes": sorted(names[key]), **content} for key, content in facts.items()]

    def failed(self) -> list[dict[str, Any]]:
        """Return the entry `failed_nodes` of ``run.json``: nodes on which no worker of a block has connected."""
        return [
            {"node": node, "pool": pool, "blocks": len(messages), "message": messages[-1]}
            for (pool, node), messages in sorted(self._failed.items())
        ]

    def warnings(self) -> list[str]:
        """Return warnings about differences that were permitted, and about different architectures."""
        found = [
            f"{_named(group['nodes'])}: {', '.join(group['differences'])}; permitted by `allow` of the environment"
            for group in self.groups()
            if group["differences"]
        ]
        platforms: dict[str, list[str]] = defaultdict(list)
        for event in self._seen.values():
            platforms[event.platform].append(event.node)
        if len(platforms) > 1:
            listed = "; ".join(f"{name}: {_named(sorted(nodes))}" for name, nodes in sorted(platforms.items()))
            found.append(f"nodes of different architectures, so floats can differ in the last bits ({listed})")
        return found


def _named(nodes: list[str]) -> str:
    more = f" and {len(nodes) - MAX_NODES} more" if len(nodes) > MAX_NODES else ""
    return f"node{'s' * (len(nodes) > 1)} {', '.join(nodes[:MAX_NODES])}{more}"
