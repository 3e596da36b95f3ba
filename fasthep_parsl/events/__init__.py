"""The event log of a run: one typed event for each line of ``events.jsonl``, its writer and its reader."""

from __future__ import annotations

from fasthep_parsl.events.event import Event, EventLogHeader
from fasthep_parsl.events.kinds import KINDS, Observer, Record
from fasthep_parsl.events.log import EventLog
from fasthep_parsl.events.read import read_events
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
from fasthep_parsl.events.states import (
    BLOCK_STATES,
    CREDENTIAL_STATES,
    POOL_STATES,
    RUN_STATUSES,
    BlockStateName,
    CredentialStateName,
    PoolStateName,
    RunStatus,
    StateInfo,
)
from fasthep_parsl.events.task_kinds import PartitionFailed, TaskFinished, TaskLost, TaskRetried, TaskSubmitted

__all__ = [
    "BLOCK_STATES",
    "CREDENTIAL_STATES",
    "KINDS",
    "POOL_STATES",
    "RUN_STATUSES",
    "BlockChanged",
    "BlockStateName",
    "CredentialChanged",
    "CredentialStateName",
    "Event",
    "EventLog",
    "EventLogHeader",
    "NodeRefused",
    "NodeSeen",
    "Observer",
    "PartitionFailed",
    "PoolChanged",
    "PoolStateName",
    "Record",
    "RunEnded",
    "RunStarted",
    "RunStatus",
    "ServerChanged",
    "StateInfo",
    "TaskFinished",
    "TaskLost",
    "TaskRetried",
    "TaskSubmitted",
    "read_events",
]
