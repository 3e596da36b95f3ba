"""Replicas on a worker: the next place in the middle of a task, servers that are avoided, and what is reported."""

from __future__ import annotations

import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.plan import PlanFile
from fasthep_parsl.worker import replicas
from fasthep_parsl.worker.replicas import Replicas


def file(number, *hosts):
    places = tuple(f"root://{host}//{number}.root" if host else f"/data/{number}.root" for host in hosts)
    return PlanFile(path=places[0], entries=10, edges=(0, 10), replicas=places if len(places) > 1 else ())


class Servers:
    """Attempts to read, with the faults of each server or place."""

    def __init__(self, **faults):
        self.faults = faults
        self.asked = []

    def __call__(self, place, patient):
        host = place.partition("://")[2].partition("/")[0] or "local"
        self.asked.append((host, patient))
        fault = self.faults.get(host, "")
        if callable(fault):
            fault = fault(place)
        if isinstance(fault, Exception):
            raise fault
        if fault:
            raise InputFileError(place, f"is {fault}", cause=fault)
        return host

    def hosts(self):
        asked, self.asked = [host for host, _ in self.asked], []
        return asked


def test_the_first_place_is_read_while_it_works():
    servers, known = Servers(), Replicas("s")
    assert [known.read(file(n, "a", "b"), servers) for n in range(3)] == ["a"] * 3
    assert servers.asked == [("a", False)] * 3


@pytest.mark.parametrize("cause", ["unreachable", "stalled"])
def test_a_server_that_does_not_answer_is_avoided_at_once(cause):
    servers, known = Servers(a=cause), Replicas("s")
    assert [known.read(file(n, "a", "b"), servers) for n in range(3)] == ["b"] * 3
    assert servers.hosts() == ["a", "b", "b", "b"]
    use = known.take()["root://a"]
    assert (use.failures, use.avoid, use.message) == ({cause: 1}, cause, f"is {cause}")


@pytest.mark.parametrize("cause", ["corrupt", "not_found", "not_permitted", "not_authenticated"])
def test_what_is_wrong_with_a_file_concerns_other_files_only_if_there_are_several(cause):
    servers, known = Servers(a=lambda place: cause if place[-6] in "024" else ""), Replicas("s")
    assert [known.read(file(n, "a", "b"), servers) for n in range(4)] == ["b", "a", "b", "a"]
    assert known.read(file(0, "a", "b"), servers) == "b"
    assert servers.hosts() == ["a", "b", "a", "a", "b", "a", "b"]
    use = known.take()["root://a"]
    assert (use.avoid, use.bad) == ("", ("root://a//0.root", "root://a//2.root"))
    assert known.read(file(4, "a", "b"), servers) == "b"
    assert known.read(file(5, "a", "b"), servers) == "b"
    assert servers.hosts() == ["a", "b", "b"]
    assert known.take()["root://a"].avoid == cause


def test_a_few_wrong_files_of_many_do_not_concern_the_server():
    servers, known = Servers(a=lambda place: "corrupt" if place.endswith("7.root") else ""), Replicas("s")
    for n in range(60):
        known.read(file(n, "a", "b"), servers)
    assert known.take()["root://a"].failures == {"corrupt": 6}
    servers.hosts()
    known.read(file(60, "a", "b"), servers)
    assert servers.hosts() == ["a"]


def test_servers_that_other_workers_avoid_are_tried_last():
    servers, known = Servers(), Replicas("s")
    known.begin({"root://a": "unreachable"})
    assert known.read(file(1, "a", "b"), servers) == "b"
    known.begin({})
    assert known.read(file(1, "a", "b"), servers) == "a"


def test_avoided_servers_are_tried_in_the_order_of_their_faults():
    """A server with some damaged files is better than a slow one, and this one is better than a silent one."""
    servers, known = Servers(), Replicas("s")
    known.begin({"root://a": "unreachable", "root://b": "slow", "root://c": "corrupt"})
    assert known.read(file(1, "a", "b", "c"), servers) == "c"
    servers.faults = {"c": "corrupt"}
    assert known.read(file(1, "a", "b", "c"), servers) == "b"
    assert known.read(file(1, "a", "b", "c"), servers) == "b"
    servers.faults = {"b": "not_found"}
    servers.asked.clear()
    assert known.read(file(1, "a", "b", "c"), servers) == "a"
    assert servers.asked == [("b", False), ("a", True)]
    servers.faults = {"a": "unreachable", "b": "not_found"}
    known.begin({})
    assert known.read(file(1, "a", "b", "c"), servers) == "c"  # wrong before, and now the last


def test_avoided_servers_are_asked_again_if_there_is_no_other_place():
    servers, known = Servers(a="unreachable"), Replicas("s")
    known.read(file(1, "a", "b"), servers)
    servers.faults = {"b": "not_found"}
    servers.asked.clear()
    assert known.read(file(2, "a", "b"), servers) == "a"
    assert servers.asked == [("b", False), ("a", True)]
    use = known.take()["root://a"]
    assert (use.works, use.avoid) == (True, "")
    assert known.read(file(3, "a", "b"), servers) == "a"
    assert servers.hosts()[-1] == "a"


def test_a_server_that_stalled_stays_the_last_although_a_read_from_it_ends():
    servers, known = Servers(a="stalled"), Replicas("s")
    assert known.read(file(1, "a", "b"), servers) == "b"
    servers.faults = {"b": "not_found"}
    assert known.read(file(2, "a", "b"), servers) == "a"
    use = known.take()["root://a"]
    assert (use.works, use.avoid) == (False, "stalled")
    servers.faults = {}
    assert known.read(file(3, "a", "b"), servers) == "b"


def test_a_server_that_stalls_is_asked_before_one_that_cannot_be_reached():
    servers, known = Servers(c="corrupt"), Replicas("s")
    known.begin({"root://a": "unreachable", "root://b": "stalled"})
    assert known.read(file(1, "a", "b", "c"), servers) == "b"
    assert servers.asked == [("c", False), ("b", True)]


def test_a_server_that_works_again_is_reported():
    servers, known = Servers(b="not_found"), Replicas("s")
    known.begin({"root://a": "unreachable"})
    assert known.read(file(1, "a", "b"), servers) == "a"
    assert known.take()["root://a"].works
    assert known.read(file(2, "a", "b"), servers) == "a"


def test_passing_faults_are_waited_for_only_if_no_place_works():
    servers, known = Servers(a="unreachable", b="stalled", c="corrupt"), Replicas("s")
    with pytest.raises(InputFileError) as caught:
        known.read(file(1, "a", "b", "c"), servers)
    assert servers.asked == [("a", False), ("b", False), ("c", False), ("a", True), ("b", True)]
    assert caught.value.message == (
        "none of its 3 places can be read: root://a: is unreachable; root://b: is stalled; root://c: is corrupt"
    )
    assert caught.value.path == "root://a//1.root"
    assert caught.value.cause == "corrupt"  # other parts of the file may be readable there
    with pytest.raises(InputFileError) as caught:
        Replicas("s").read(file(1, "a", "b"), servers)
    assert caught.value.cause == "unreachable"


def test_a_silent_server_is_asked_again_only_after_a_while(monkeypatch):
    """Each part of a pass that fails would wait for it."""
    servers, known = Servers(a="unreachable", b="corrupt"), Replicas("s")
    for _ in range(3):
        with pytest.raises(InputFileError, match="root://a: is unreachable; root://b: is corrupt"):
            known.read(file(1, "a", "b"), servers)
    assert servers.hosts() == ["a", "b", "a", "b", "b"]
    with pytest.raises(InputFileError):
        known.read(file(2, "a", "b"), servers)
    assert servers.hosts() == ["b", "a"]
    monkeypatch.setattr(replicas, "AGAIN", -1.0)
    servers.faults = {"b": "corrupt"}
    assert known.read(file(1, "a", "b"), servers) == "a"


def test_a_refused_credential_is_the_cause_if_one_of_the_places_says_so():
    servers = Servers(a="unreachable", b="not_authenticated")
    with pytest.raises(InputFileError) as caught:
        Replicas("s").read(file(1, "a", "b"), servers)
    assert caught.value.cause == "not_authenticated"


def test_equal_reasons_are_told_once_and_long_ones_are_cut():
    with pytest.raises(InputFileError) as caught:
        Replicas("s").read(file(1, "a", "b"), Servers(a="not_found", b="not_found"))
    assert caught.value.message == "is not_found (in all 2 places)"
    long = InputFileError("x", "word " * 200)
    with pytest.raises(InputFileError) as caught:
        Replicas("s").read(file(1, "a", "b"), Servers(a=long, b="not_found"))
    assert len(caught.value.message) < 300


def test_any_error_of_a_library_leads_to_the_next_place():
    known = Replicas("s")
    assert known.read(file(1, "a", "b"), Servers(a=ValueError("cannot decompress"))) == "b"
    assert known.take()["root://a"].failures == {"corrupt": 1}
    with pytest.raises(MemoryError):
        known.read(file(2, "a", "b"), Servers(a=MemoryError()))


def test_a_local_place_is_never_avoided():
    servers, known = Servers(local="not_found"), Replicas("s")
    for n in range(6):
        assert known.read(file(n, "", "b"), servers) == "b"
    assert known.take()[""].avoid == ""
    assert servers.hosts().count("local") == 6


def test_a_file_with_one_place_is_opened_twice_if_it_is_remote():
    servers, known = Servers(a="stalled", local="corrupt"), Replicas("s")
    with pytest.raises(InputFileError, match="is stalled"):
        known.read(file(1, "a"), servers)
    with pytest.raises(InputFileError, match="is corrupt"):
        known.read(file(1, ""), servers)
    assert servers.asked == [("a", True), ("a", True), ("local", True)]
    assert known.take()["root://a"].failures == {"stalled": 2}


# --- slow servers ---------------------------------------------------------------------------------------------


def reading(known, rates, limit=60.0):
    """Return an attempt with servers that send so many bytes per second."""

    def attempt(place, _patient):
        host = place.partition("://")[2].partition("/")[0]
        known.received(file(0, "a", "b"), place, int(2e6), 2e6 / rates[host], limit)
        return host

    return attempt


def test_a_far_slower_server_is_avoided():
    known = Replicas("s")
    attempt = reading(known, {"a": 0.3e6, "b": 20e6})
    read = [known.read(file(n, "a", "b"), attempt) for n in range(6)]
    assert read == ["a", "a", "b", "b", "b", "b"]
    assert known.take()["root://a"].avoid == "slow"


def test_a_server_that_is_as_slow_as_the_others_is_not_avoided():
    known = Replicas("s")
    attempt = reading(known, {"a": 0.3e6, "b": 0.4e6})
    read = [known.read(file(n, "a", "b"), attempt) for n in range(12)]
    assert read.count("b") < 3
    assert known.take()["root://a"].avoid == ""


def test_a_server_of_usual_speed_is_not_compared():
    known = Replicas("s")
    attempt = reading(known, {"a": 3e6, "b": 1000e6})
    assert {known.read(file(n, "a", "b"), attempt) for n in range(30)} == {"a"}


def test_a_read_that_nearly_times_out_is_enough():
    """The client of XRootD connects again after a stall and continues, so that nothing fails."""
    known = Replicas("s")
    attempt = reading(known, {"a": 0.3e6, "b": 20e6}, limit=8.0)
    assert [known.read(file(n, "a", "b"), attempt) for n in range(3)] == ["a", "b", "b"]
    use = known.take()["root://a"]
    assert (use.avoid, use.message) == ("slow", "2.0 MB took 7 s")


def test_servers_that_are_all_slow_are_used_in_order():
    known = Replicas("s")
    attempt = reading(known, {"a": 0.3e6, "b": 0.3e6}, limit=8.0)
    assert [known.read(file(n, "a", "b"), attempt) for n in range(4)] == ["a", "b", "a", "a"]


def test_knowledge_is_that_of_one_execution():
    one = replicas.replicas_of("one")
    one.read(file(1, "a", "b"), Servers(a="unreachable"))
    assert replicas.replicas_of("one") is one
    assert one.first(file(2, "a", "b")) == "root://b//2.root"
    assert replicas.replicas_of("two").first(file(2, "a", "b")) == "root://a//2.root"
