"""What modifiers note of a task, until it is sent with the task's result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.interfaces import Note


class Notes:
    """Notes in the order they were made; joined late, since between two ops nothing is in the caches."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, str, Note | Callable[[], Note]]] = []

    def add(self, kind: str, stage: str, seen: Note | Callable[[], Note]) -> None:
        """Keep what a modifier has seen, or what will tell."""
        self._seen.append((kind, stage, seen))

    def __len__(self) -> int:
        """Return how many there are so far, for `settle` and `forget`."""
        return len(self._seen)

    def settle(self, before: int) -> None:
        """Ask for what was announced since then: its pass has succeeded, and its columns may go.

        A note that cannot be had is lost with a warning: the pass is done, and no modifier undoes it.
        """
        asked, self._seen[before:] = self._seen[before:], []
        for kind, stage, seen in asked:
            try:
                self.add(kind, stage, seen() if callable(seen) else seen)
            except Exception as error:  # noqa: BLE001  (a modifier may be anybody's)
                warnings.warn(f"{kind} of stage {stage} could not look at a pass: {error!r}", stacklevel=1)

    def forget(self, before: int) -> None:
        """Drop what was noted since then: what is done again must not count twice."""
        del self._seen[before:]

    def take(self) -> dict[str, dict[str, Note]]:
        """Return all of them by kind and stage, joined, and begin anew."""
        self.settle(0)
        found: dict[str, dict[str, Any]] = {}
        for kind, stage, seen in self._seen:
            known = found.setdefault(kind, {})
            known[stage] = registry.load("modifiers", kind).merge(known[stage], seen) if stage in known else seen
        self._seen = []
        return found
