"""Lines about servers of input files: where files are in a plan, and which servers a run avoids."""

from __future__ import annotations

from collections import Counter

from fasthep_parsl.events import Event, ServerChanged
from fasthep_parsl.plan import Plan
from fasthep_parsl.sources.server_health import LOCAL
from fasthep_parsl.workflow.locations import server_of


def server_line(event: Event) -> str:
    """Return a line if a server is avoided from now on or used again, else ``""``."""
    if not isinstance(event, ServerChanged):
        return ""
    if event.state == "used":
        return f"{event.server} works again"
    why = event.message or "other servers are far faster"
    return f"{event.server} is avoided ({event.cause.replace('_', ' ')}: {why})"


def places_of(plan: Plan) -> list[tuple[int, str]]:
    """Return the number of files with several places, and their servers in the order in which they are tried."""
    found: Counter[tuple[str, ...]] = Counter()
    for dataset in plan.datasets:
        for file in dataset.files:
            if file.replicas:
                found[tuple(server_of(place) or LOCAL for place in file.replicas)] += 1
    return [(number, ", ".join(servers)) for servers, number in found.most_common()]
