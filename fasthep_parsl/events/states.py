"""States of runs, pools and blocks: their meaning, and which of them are final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RunStatus = Literal["complete", "partial", "failed", "interrupted"]
CredentialStateName = Literal["valid", "renewed", "expiring", "not_renewed", "expired", "restored"]
PoolStateName = Literal["warming", "starting", "up", "lost", "failed", "ended"]
BlockStateName = Literal[
    "submitted",
    "refused",
    "waiting",
    "running",
    "up",
    "draining",
    "retiring",
    "lost",
    "failed",
    "ended",
    "removed",
    "left",
]


@dataclass(frozen=True, slots=True)
class StateInfo:
    """Meaning of a state.

    Attributes
    ----------
    meaning : str
        For the reference page.
    final : bool
        Whether the subject of the event does no more work.
    gone : bool
        For blocks: whether its job no longer exists in the batch system.
    """

    meaning: str
    final: bool = False
    gone: bool = False


RUN_STATUSES: Mapping[RunStatus, StateInfo] = {
    "complete": StateInfo("Every event was processed.", final=True),
    "partial": StateInfo("Some events are missing. The results of the others are written.", final=True),
    "failed": StateInfo("There are no results.", final=True),
    "interrupted": StateInfo("Ctrl-C, SIGTERM or SIGHUP ended the run.", final=True),
}

CREDENTIAL_STATES: Mapping[CredentialStateName, StateInfo] = {
    "valid": StateInfo("The run begins with it."),
    "renewed": StateInfo("The run, or the user, has replaced it. Workers use the new one."),
    "expiring": StateInfo("Half of the lifetime that was left is over, and only the user can renew it."),
    "not_renewed": StateInfo("Renewing it has failed; `message` says why. The run tries again."),
    "expired": StateInfo("It has expired, and tasks that read files from servers wait for a fresh one."),
    "restored": StateInfo("A fresh one has replaced it, and the tasks that waited continue."),
}

POOL_STATES: Mapping[PoolStateName, StateInfo] = {
    "warming": StateInfo("The first block on this machine starts, before Parsl does."),
    "starting": StateInfo("The interchange runs. Workers may connect."),
    "up": StateInfo("The first workers have connected."),
    "lost": StateInfo("The interchange died. The pool starts again."),
    "failed": StateInfo("The pool is given up. Its tasks fail.", final=True),
    "ended": StateInfo("The run has ended the pool.", final=True),
}

BLOCK_STATES: Mapping[BlockStateName, StateInfo] = {
    "submitted": StateInfo("The batch system has accepted the job."),
    "refused": StateInfo("The batch system has not accepted the job. There is no job id.", final=True, gone=True),
    "waiting": StateInfo("The job is queued; `message` is the reason that the batch system gives."),
    "running": StateInfo("The job has started. No worker has connected yet."),
    "up": StateInfo("Workers have connected."),
    "draining": StateInfo("The workers accept no more tasks, because the time limit is near."),
    "retiring": StateInfo("The block gets no more tasks, because the pool does not need it."),
    "lost": StateInfo("The block ended while its workers had tasks. The job may still have to be removed.", final=True),
    "failed": StateInfo("The block ended before a worker connected. The job may still have to be removed.", final=True),
    "ended": StateInfo("The job has ended.", final=True, gone=True),
    "removed": StateInfo("The run, or `fasthep-parsl cleanup`, has removed the job.", final=True, gone=True),
    "left": StateInfo("The job could not be removed and may still exist.", final=True),
}
