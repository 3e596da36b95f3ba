"""Headers of files with several places: the first place that can be read is taken, and dead servers are tried last."""

from __future__ import annotations

import pytest

from fake_servers import FakeServers, always
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import PlanSource, PlanStorage
from fasthep_parsl.sources.headers import read_headers
from fasthep_parsl.sources.server_health import Servers

SOURCE = PlanSource(params={"tree": "Events"}, storage=PlanStorage(retries=2))
A, B, C = (f"root://{host}//store/a.root" for host in "abc")


@pytest.fixture
def fake(small_files, monkeypatch):
    servers = FakeServers(small_files)
    servers.install(monkeypatch)
    return servers


def test_the_first_place_is_used(fake):
    (header,) = read_headers([(A, B)], SOURCE)
    assert (header.path, header.place, header.entries, header.problem) == (A, "", 100, "")
    assert fake.opened == {"a": 1}


def test_the_next_place_is_used_without_waiting_for_the_first(fake):
    fake.faults["a"] = always("unreachable")
    servers = Servers()
    (header,) = read_headers([(A, B)], SOURCE, servers=servers)
    assert (header.path, header.place, header.entries) == (A, B, 100)
    assert fake.limits == [("a", 0), ("b", 0)]
    assert servers.dead == {"root://a": "open failed: unreachable"}


def test_a_dead_server_is_tried_last(fake):
    fake.faults["a"] = always("unreachable")
    servers = Servers()
    for _ in range(3):
        read_headers([(A, B)], SOURCE, servers=servers)
    assert fake.opened == {"a": 1, "b": 3}


@pytest.mark.parametrize("cause", ["not_found", "not_permitted", "not_authenticated", "corrupt", ""])
def test_a_fault_of_one_file_does_not_concern_the_server(fake, cause):
    fake.faults["a"] = lambda url, what: cause
    if not cause:
        fake.folders["a"] = fake.folder / "nowhere"
    servers = Servers()
    (header,) = read_headers([(A, B)], SOURCE, servers=servers)
    assert header.place == B
    assert not servers.dead
    assert [fault.place for fault in servers.faults] == [A]


def test_a_passing_fault_is_waited_for_if_there_is_no_other_place(fake):
    left = [3]

    def passing(_url, _what):
        left[0] -= 1
        return "unreachable" if left[0] >= 0 else ""

    fake.faults = {"a": passing, "b": always("not_found")}
    fake.faults["a"] = lambda url, what: passing(url, what) if fake.opened["a"] == 1 else ""
    servers = Servers()
    (header,) = read_headers([(A, B)], SOURCE, servers=servers)
    assert (header.problem, header.place) == ("", "")
    assert fake.limits == [("a", 0), ("b", 0), ("a", 2)]
    assert not servers.dead


def test_the_error_has_the_reason_of_each_place(fake):
    fake.faults = {"a": always("unreachable"), "b": always("not_permitted"), "c": always("not_found")}
    (header,) = read_headers([(A, B, C)], SOURCE)
    assert header.problem == (
        "none of its 3 places can be read: root://a: open failed: unreachable; root://b: open failed: not_permitted; "
        "root://c: open failed: not_found"
    )


def test_a_wrong_tree_is_reported_once(fake):
    (header,) = read_headers([(A, B)], PlanSource(params={"tree": "Evnts"}))
    assert header.problem == "no tree `Evnts` (in all 2 places)"
    assert header.key == "tree"


def test_a_local_place_has_size_and_time_only_if_it_was_read(fake, small_files, tmp_path):
    mine = str(small_files / "a.root")
    assert read_headers([(mine, A)], SOURCE)[0].size > 0
    assert read_headers([(A, mine)], SOURCE)[0].size == -1
    gone = str(tmp_path / "gone.root")
    (header,) = read_headers([(gone, A)], SOURCE)
    assert (header.path, header.place, header.size, header.entries) == (gone, A, -1, 100)


def test_a_header_of_another_place_is_not_remembered_under_the_wrong_name(fake, small_files, tmp_path):
    mine = str(small_files / "a.root")
    fake.faults["a"] = always("unreachable")
    (first,) = read_headers([(A, mine)], SOURCE, cache=tmp_path)
    assert (first.path, first.place) == (A, mine)
    (again,) = read_headers([mine], SOURCE, cache=tmp_path)
    assert (again.path, again.place, again.size > 0) == (mine, "", True)


def test_a_plan_has_the_places_and_avoids_dead_servers(fake, flow):
    fake.faults["a"] = always("unreachable")
    flow.write([flow.stage("Sum", "probe.sum")], [{"any": [A, B]}])
    plan = flow.compile(cache=False)
    (file,) = plan.datasets[0].files
    assert (file.path, file.replicas, file.entries, file.size) == (A, (A, B), 100, -1)
    assert plan.source.storage.avoid == {"root://a": "open failed: unreachable"}
    assert any("root://a does not answer" in warning for warning in plan.warnings)
    fake.faults["b"] = always("not_found")
    with pytest.raises(ConfigError) as caught:
        flow.compile(cache=False)
    (problem,) = caught.value.problems
    assert problem.code == "E135"
    assert "root://a: open failed: unreachable; root://b: open failed: not_found" in problem.message
    assert problem.where.line == 1


def test_a_plan_warns_of_places_without_the_file(fake, flow):
    fake.faults["a"] = always("not_found")
    flow.write([flow.stage("Sum", "probe.sum")], [{"any": [A, B]}])
    plan = flow.compile(cache=False)
    assert plan.source.storage.avoid == {}
    (warning,) = plan.warnings
    assert warning == f"`{A}` cannot be read from root://a (open failed: not_found): other places are used"
