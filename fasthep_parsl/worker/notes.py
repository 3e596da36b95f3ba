"""Notes that modifiers make during a task. They are sent with its result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.interfaces import Note


class Notes:
    """Notes in the order in which they were made. They are merged at the end of the task, which costs less."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, str, Note | Callable[[], Note]]] = []

    def add(self, kind: str, stage: str, seen: Note | Callable[[], Note]) -> None:
        """Add a note, or a function that returns it later."""
        self._seen.append((kind, stage, seen))

    def __len__(self) -> int:
        """Return the number of notes, for `settle` and `forget`."""
        return len(self._seen)

    def settle(self, before: int) -> None:
        """Replace functions by their notes after a pass has succeeded, so that its columns can be released.

        If a function fails, its note is lost and a warning is written. The pass has succeeded nevertheless.
        """
        asked, self._seen[before:] = self._seen[before:], []
        for kind, stage, seen in asked:
            try:
                self.add(kind, stage, seen() if callable(seen) else seen)
            except Exception as error:  # noqa: BLE001  (a modifier may be code of users)
                warnings.warn(f"{kind} of stage {stage} could not inspect a pass: {error!r}", stacklevel=1)

    def forget(self, before: int) -> None:
        """Drop notes of a pass that is repeated."""
        del self._seen[before:]

    def take(self) -> dict[str, dict[str, Note]]:
        """Return all notes by kind and stage, merged, and start again without notes."""
        self.settle(0)
        found: dict[str, dict[str, Any]] = {}
        for kind, stage, seen in self._seen:
            known = found.setdefault(kind, {})
            known[stage] = registry.load("modifiers", kind).merge(known[stage], seen) if stage in known else seen
        self._seen = []
        return found
