"""The event log of a run: one typed event for each line of ``events.jsonl``, its writer and its reader."""

from __future__ import annotations

from fasthep_parsl.events.log import EventLog
from fasthep_parsl.events.model import (
    BLOCK_STATES,
    KINDS,
    POOL_STATES,
    RUN_STATUSES,
    BlockChanged,
    BlockStateName,
    Event,
    EventLogHeader,
    Observer,
    PartitionFailed,
    PoolChanged,
    PoolStateName,
    Record,
    RunEnded,
    RunStarted,
    RunStatus,
    StateInfo,
    TaskFinished,
    TaskLost,
    TaskRetried,
    TaskSubmitted,
)
from fasthep_parsl.events.read import read_events

__all__ = [
    "BLOCK_STATES",
    "KINDS",
    "POOL_STATES",
    "RUN_STATUSES",
    "BlockChanged",
    "BlockStateName",
    "Event",
    "EventLog",
    "EventLogHeader",
    "Observer",
    "PartitionFailed",
    "PoolChanged",
    "PoolStateName",
    "Record",
    "RunEnded",
    "RunStarted",
    "RunStatus",
    "StateInfo",
    "TaskFinished",
    "TaskLost",
    "TaskRetried",
    "TaskSubmitted",
    "read_events",
]
