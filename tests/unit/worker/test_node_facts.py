"""Facts about a node: recorded once, sent by each process with its first result only."""

from __future__ import annotations

import os
import pickle

import pytest

from fasthep_parsl.tasks import NodeFacts
from fasthep_parsl.worker import node_facts
from fasthep_parsl.worker.node_facts import FACTS_VARIABLE, describe_node, first_facts, own_facts, record_facts


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv(FACTS_VARIABLE, str(tmp_path / "node.json"))
    monkeypatch.setattr(node_facts, "_sent_by", set())
    return tmp_path / "node.json"


def test_what_is_recorded_comes_back(file):
    facts = NodeFacts("n1", 3, software={"numpy": "2"}, gpus=({"device": "0"},))
    record_facts(facts)
    assert own_facts() == facts
    assert pickle.loads(pickle.dumps(facts)) == facts


def test_only_the_first_result_of_a_process_has_them(file):
    record_facts(NodeFacts("n1"))
    assert [first_facts(), first_facts()] == [NodeFacts("n1"), None]


def test_a_fork_sends_its_own(file):
    record_facts(NodeFacts("n1"))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if first_facts() == NodeFacts("n1") and first_facts() is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert first_facts() == NodeFacts("n1")


@pytest.mark.parametrize("content", [None, "half a li", "{}", "[]", '{"node": "n", "gpus": [], "more": 1}'])
def test_without_a_file_of_ours_there_are_none(file, content):
    if content is not None:
        file.write_text(content)
    assert own_facts() is None


def test_a_disk_that_cannot_be_written_stops_nobody(monkeypatch, tmp_path):
    monkeypatch.setenv(FACTS_VARIABLE, str(tmp_path / "missing" / "node.json"))
    record_facts(NodeFacts("n1"))
    assert own_facts() is None


def test_a_node_describes_itself(monkeypatch):
    monkeypatch.setenv("FASTHEP_PARSL_NODE", "n042")
    facts = describe_node({"numpy": "2"}, "5")
    assert (facts.node, facts.block, facts.software) == ("n042", 5, {"numpy": "2"})
    assert facts.platform == f"linux-{os.uname().machine}"
    assert describe_node({}, "").block == -1
