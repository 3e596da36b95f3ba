"""Events for tests: complete ones, of which a test gives only what it is about."""

from __future__ import annotations

from fasthep_parsl.events import BlockChanged, NodeSeen, PartitionFailed, RunStarted, TaskFinished, TaskSubmitted


def run_started(**facts):
    base = {"state": "started", "plan": "", "session": "", "host": "here", "pid": 1, "since": 0.0, "ticks": 0}
    return RunStarted(**{**base, **facts})


def submitted(**facts):
    return TaskSubmitted(
        **{"task": 0, "what": "map", "segment": 0, "pool": "default", "partitions": ((0, 1),), **facts}
    )


def finished(**facts):
    base = {
        "task": 0,
        "what": "map",
        "segment": 0,
        "done": ((0, 1),),
        "dataset": -1,
        "inputs": (),
        "session": "",
        "partial": "",
        "size": 0,
        "parts": (),
        "whole": False,
        "broken": (),
        "merged": (),
        "refs": {},
        "events": 0,
        "bytes": 0,
        "wall": 0.0,
        "cpu": 0.0,
        "peak_memory": 0,
        "host": "here",
        "pid": 1,
        "stages": {},
    }
    return TaskFinished(**{**base, **facts})


def partition_failed(**facts):
    base = {"segment": 0, "cause": "user", "partition": 0, "stage": "A", "message": "bad", "where": "", "detail": ""}
    return PartitionFailed(**{**base, **facts})


def block(state, job="", **facts):
    return BlockChanged(**{"pool": "default", "block": 0, "state": state, "job": job, **facts})


def node(name, **facts):
    base = {"pool": "default", "block": 0, "python": "3.11.9", "platform": "linux-x86_64", "system": "", "cpu": ""}
    return NodeSeen(**{**base, "node": name, "software": {}, **facts})
