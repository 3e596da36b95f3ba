"""The interchange loses the tasks of a dead block at once on a command, not after 30 s without heartbeats."""

from __future__ import annotations

import pickle
import time

import pytest
import zmq
from parsl.serialize import deserialize

from fasthep_parsl.backends.parsl.interchange import FORGET_BLOCK, pool_interchange


class Radio:
    """Takes the place of a socket: hands out what was sent to it, and keeps what it sends."""

    def __init__(self, *received):
        self.received, self.sent = list(received), []

    def recv_pyobj(self):
        return self.received.pop(0)

    def send_pyobj(self, message):
        self.sent.append(message)

    send = send_pyobj


def manager(block):
    now = time.time()
    return {
        "block_id": block, "tasks": [int(block) * 10], "last_heartbeat": now, "idle_since": None, "active": True,
        "hostname": "here", "worker_count": 1, "parsl_version": "", "python_version": "", "draining": False,
    }  # fmt: skip


@pytest.fixture
def interchange():
    kind = pool_interchange()
    made = kind.__new__(kind)  # without its sockets
    made.heartbeat_threshold = 30
    made._ready_managers = {b"a": manager("1"), b"b": manager("2")}
    made.results_outgoing = Radio()
    return made


def send(interchange, command):
    channel = interchange.command_channel = Radio(command)
    interchange.socks = {channel: zmq.POLLIN}
    interchange.process_command(None)
    assert interchange.command_channel is channel
    interchange.expire_bad_managers(set(), None)
    return channel.sent


def test_tasks_of_a_block_are_lost_at_once_and_those_of_others_are_not(interchange):
    assert send(interchange, [FORGET_BLOCK, "1"]) == [None]
    assert list(interchange._ready_managers) == [b"b"]
    (lost,) = map(pickle.loads, interchange.results_outgoing.sent)
    assert lost["task_id"] == 10
    assert "loss of manager" in str(deserialize(lost["exception"]).e_value)


def test_a_block_without_managers_is_not_an_error(interchange):
    assert send(interchange, [FORGET_BLOCK, "7"]) == [None]
    assert len(interchange._ready_managers) == 2
    assert interchange.results_outgoing.sent == []


def test_commands_of_parsl_are_answered_by_parsl(interchange):
    ((first, second),) = send(interchange, "MANAGERS")
    assert (first["manager"], first["block_id"], first["tasks"], second["manager"]) == ("a", "1", 1, "b")
    assert send(interchange, ["HOLD_MANAGER", "a"]) == [None]
    assert not interchange._ready_managers[b"a"]["active"]
