"""Which servers a run avoids, and what its summary says."""

from __future__ import annotations

from fasthep_parsl.driver.servers import Avoidance, ServerTally
from fasthep_parsl.events import ServerChanged
from fasthep_parsl.plan import Plan, PlanPool, PlanSegment, PlanSource, PlanStage, PlanStorage
from fasthep_parsl.tasks import ServerUse
from sample_events import finished, run_started


def avoidance(**avoid):
    return Avoidance(
        Plan(
            name="p",
            chunk_size=10,
            source=PlanSource(storage=PlanStorage(avoid=avoid)),
            stages=(PlanStage(id="A", op="hep.select"),),
            segments=(PlanSegment(id=0, pool="default", stages=("A",)),),
            pools=(PlanPool(name="default", workers=2),),
        )
    )


def shown(changes):
    return [(change.server, change.state, change.cause) for change in changes]


def test_what_one_worker_avoids_is_avoided_by_all():
    found = avoidance()
    assert found.servers == {}
    use = ServerUse(failures={"stalled": 1}, avoid="stalled", message="silent")
    assert shown(found.add({"root://a": use, "root://b": ServerUse(files=1)})) == [("root://a", "avoided", "stalled")]
    assert found.servers == {"root://a": "stalled"}
    assert found.add({"root://a": use}) == []


def test_servers_that_were_dead_when_headers_were_read_are_avoided_from_the_start():
    found = avoidance(**{"root://a": "refused"})
    assert shown(found.begin()) == [("root://a", "avoided", "unreachable")]
    assert found.servers == {"root://a": "unreachable"}


def test_a_server_that_works_again_is_used_again_unless_it_is_slow_or_stalls():
    found = avoidance(**{"root://a": "refused"})
    found.begin()
    found.add({"root://b": ServerUse(avoid="slow"), "root://c": ServerUse(avoid="stalled")})
    working = {f"root://{name}": ServerUse(works=True) for name in "abc"}
    assert shown(found.add(working)) == [("root://a", "used", "unreachable")]
    assert found.servers == {"root://b": "slow", "root://c": "stalled"}


def test_wrong_files_are_counted_over_all_workers():
    found = avoidance()
    for number in range(2):
        use = ServerUse(failures={"corrupt": 1}, bad=(f"root://a//{number}",))
        assert found.add({"root://a": use}) == []
        assert found.add({"root://a": use}) == []  # the same file on another worker
    changes = found.add({"root://a": ServerUse(failures={"corrupt": 1}, bad=("root://a//2",), message="damaged")})
    assert shown(changes) == [("root://a", "avoided", "corrupt")]
    assert changes[0].message == "damaged"


def test_a_few_wrong_files_of_many_are_no_reason():
    found = avoidance()
    found.add({"root://a": ServerUse(files=100)})
    bad = tuple(f"root://a//{number}" for number in range(5))
    assert found.add({"root://a": ServerUse(failures={"corrupt": 5}, bad=bad)}) == []


def test_local_places_are_never_avoided():
    assert avoidance().add({"": ServerUse(avoid="corrupt", bad=tuple("abcdef"))}) == []


def test_the_summary():
    tally = ServerTally()
    tally(finished(storage={"root://a": ServerUse(files=2, bytes=10, seconds=0.5), "": ServerUse(files=1, bytes=99)}))
    tally(finished(storage={"root://a": ServerUse(files=1, bytes=5, failures={"stalled": 1}, message="silent")}))
    event = ServerChanged(server="root://a", state="avoided", cause="stalled", message="silent")
    tally(event)
    local, server = tally.summary()
    assert (local["server"], local["files"], local["bytes"], local["avoided"]) == ("this machine", 1, 99, None)
    assert server == {
        "server": "root://a",
        "files": 3,
        "bytes": 15,
        "wait_seconds": 0.5,
        "failures": {"stalled": 1},
        "avoided": {"since": event.time, "cause": "stalled", "message": "silent"},
    }
    assert tally.warnings() == ["root://a was avoided (stalled: silent); its files were read from other places"]
    tally(ServerChanged(server="root://a", state="used", cause="stalled"))
    assert tally.warnings() == []


def test_a_resumed_run_tries_all_servers_again():
    tally = ServerTally()
    tally(ServerChanged(server="root://a", state="avoided", cause="slow"))
    tally(run_started(state="resumed"))
    assert tally.warnings() == []
    assert tally.summary() == []
