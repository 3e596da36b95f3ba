"""Kinds of events: the value of `kind` in a line of ``events.jsonl`` → its class.

The attributes of a class are the keys of its line. A change of a kind, a key or a state is a new `VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fasthep_parsl.events.event import Event, EventLogHeader
from fasthep_parsl.events.run_kinds import (
    BlockChanged,
    CredentialChanged,
    NodeRefused,
    NodeSeen,
    PoolChanged,
    RunEnded,
    RunStarted,
    ServerChanged,
)
from fasthep_parsl.events.task_kinds import PartitionFailed, TaskFinished, TaskLost, TaskRetried, TaskSubmitted

KINDS: Mapping[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        EventLogHeader,
        RunStarted,
        PoolChanged,
        BlockChanged,
        NodeSeen,
        NodeRefused,
        CredentialChanged,
        ServerChanged,
        TaskSubmitted,
        TaskFinished,
        TaskLost,
        TaskRetried,
        PartitionFailed,
        RunEnded,
    )
}
"""Kind of a line → its class."""

Record = Callable[[Event], None]
"""Appends an event to the log of the run."""
Observer = Callable[[Event], None]
"""Called with each event after it was written."""
