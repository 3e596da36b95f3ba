"""Runs over files with replicas on fake servers: all events, each once, whatever fails on the way."""

from __future__ import annotations

import json
import shutil

import pytest

from conftest import write_small
from fake_servers import FakeServers, always, seldom
from fasthep_parsl.driver.api import run
from fasthep_parsl.events import ServerChanged, read_events
from fasthep_parsl.workflow.datasets import resolve_datasets
from fasthep_parsl.workflow.loader import load_workflow

HOSTS = "abc"
FILES = 8
EVENTS = FILES * 60


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Three servers with the same eight files of 60 events, in clusters of 20."""
    folder = tmp_path / "store"
    folder.mkdir()
    for number in range(FILES):
        write_small(folder / f"{number}.root", number * 60, [20, 20, 20])
    servers = FakeServers(folder)
    servers.install(monkeypatch)
    return servers


def replicas(number, hosts=HOSTS):
    return {"any": [f"root://{host}//store/{number}.root" for host in hosts]}


def summed(flow, files):
    return flow.write([flow.stage("Sum", "probe.sum"), flow.stage("Order", "probe.order", [])], files)


def check_complete(outcome):
    assert (outcome.status, outcome.exit_code) == ("complete", 0)
    assert outcome.products["Sum", "sum"] == EVENTS * (EVENTS - 1) // 2
    assert sorted(outcome.products["Order", "order"]) == list(range(EVENTS))
    assert outcome.summary["events"] == {"total": EVENTS, "done": EVENTS, "read": EVENTS}
    # what was read and thrown away is not counted
    assert sum(server["bytes"] for server in outcome.summary["storage"]) == outcome.summary["bytes_read"]


def of(outcome, server):
    return next(item for item in outcome.summary["storage"] if item["server"] == server)


@pytest.mark.slow
@pytest.mark.usefixtures("long_passes")
@pytest.mark.parametrize("seed", range(12))
def test_all_events_are_read_once_under_random_faults(fake, flow, seed):
    """The files of c work always; half of all other operations fail, in the middle of a task."""
    summed(flow, [replicas(n) for n in range(FILES)])
    plan = flow.compile(cache=False, chunk_size=10)
    good = flow.run(plan)
    shutil.rmtree(good.run_dir)
    causes = ("corrupt", "stalled", "unreachable", "not_found", "not_permitted", "")
    fake.faults = {host: seldom(seed * 3 + at, 0.5, causes) for at, host in enumerate("ab")}
    outcome = flow.run(plan)
    check_complete(outcome)
    assert outcome.summary["bytes_read"] == good.summary["bytes_read"]
    assert outcome.products["Order", "order"] == good.products["Order", "order"]


def test_dead_stalling_and_corrupt_servers(fake, flow):
    """The third server has all files; the second one some damaged ones."""
    bad = {"1.root", "4.root"}
    fake.faults = {
        "a": always("unreachable"),
        "b": lambda url, what: "corrupt" if what == "read" and url.rpartition("/")[2] in bad else "",
    }
    outcome = flow.run(summed(flow, [replicas(n) for n in range(FILES)]).compile(cache=False))
    check_complete(outcome)
    dead, damaged = of(outcome, "root://a"), of(outcome, "root://b")
    assert dead["avoided"]["cause"] == "unreachable"
    assert dead["avoided"]["message"] == "open failed: unreachable"
    assert (damaged["failures"], damaged["avoided"]) == ({"corrupt": 2}, None)
    assert of(outcome, "root://c")["files"] == 2
    warning = "root://a was avoided (unreachable: open failed: unreachable); its files were read from other places"
    assert warning in outcome.summary["warnings"]
    changes = [e for e in read_events(outcome.run_dir / "events.jsonl") if isinstance(e, ServerChanged)]
    assert [(e.server, e.state) for e in changes] == [("root://a", "avoided")]


def test_a_server_that_dies_during_the_run_is_asked_once(fake, flow):
    plan = summed(flow, [replicas(n) for n in range(FILES)]).compile(cache=False)
    fake.opened.clear()
    reads = []

    def dies(_url, what):
        reads.append(what)
        return "unreachable" if len(reads) > 6 else ""

    fake.faults["a"] = dies
    outcome = flow.run(plan)
    check_complete(outcome)
    assert of(outcome, "root://a")["failures"] == {"unreachable": 1}
    assert of(outcome, "root://a")["avoided"]["since"] <= outcome_time(outcome)


def outcome_time(outcome):
    return json.loads((outcome.run_dir / "events.jsonl").read_text().splitlines()[-1])["time"]


def test_content_of_another_file_is_not_used(fake, flow, tmp_path):
    """Another file with as many events, under the same name: only the identity in the file differs."""
    other = tmp_path / "other"
    other.mkdir()
    for number in range(FILES):
        write_small(other / f"{number}.root", 5000 + number * 60, [20, 20, 20])
    plan = summed(flow, [replicas(n, "ba") for n in range(FILES)]).compile(cache=False)
    fake.folders["b"] = other
    outcome = flow.run(plan)
    check_complete(outcome)
    assert of(outcome, "root://b")["avoided"]["cause"] == "corrupt"


def test_a_local_place_is_one_of_the_places(fake, flow):
    local = [{"any": [str(fake.folder / f"{n}.root"), f"root://a//store/{n}.root"]} for n in range(FILES)]
    plan = summed(flow, local).compile(cache=False)
    fake.folders["a"] = fake.folder.with_name("elsewhere")
    shutil.copytree(fake.folder, fake.folders["a"], copy_function=shutil.copy2)
    write_small(fake.folder / "2.root", 7000, [20, 20])  # changed after the plan was made
    (fake.folder / "3.root").unlink()
    outcome = flow.run(plan)
    check_complete(outcome)
    assert of(outcome, "root://a")["files"] == 2
    assert of(outcome, "this machine")["files"] == FILES - 2


@pytest.mark.slow
def test_the_failure_has_the_reason_of_each_place_and_resume_reads_it(fake, flow):
    fake.faults = {"a": lambda url, what: "corrupt" if what == "read" and "/3.root" in url else ""}
    fake.faults["b"] = lambda url, what: "not_found" if "/3.root" in url and what == "open" else ""
    plan = summed(flow, [replicas(n, "ab") for n in range(FILES)]).compile(cache=False)
    outcome = flow.run(plan)
    assert (outcome.status, outcome.summary["events"]["done"]) == ("partial", EVENTS - 60)
    failure = outcome.summary["failures"][0]
    assert "root://a: read failed: corrupt; root://b: open failed: not_found" in failure["message"]
    assert failure["file"] == "root://a//store/3.root"
    fake.faults = {}
    content = json.loads(flow.path.read_text())
    for number, file in enumerate(content["data"]["datasets"][0]["files"]):
        file["any"] = [f"root://c//store/{number}.root", *file["any"][::-1]]  # the same content elsewhere
    flow.path.write_text(json.dumps(content))
    again = flow.compile(cache=False)
    assert again.hash == plan.hash
    fake.opened.clear()
    outcome = flow.run(again, mode="resume")
    assert fake.opened == {"c": 1}
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == EVENTS * (EVENTS - 1) // 2
    assert sorted(outcome.products["Order", "order"]) == list(range(EVENTS))


@pytest.mark.slow
def test_missing_json_is_read_as_files_again(fake, flow, tmp_path):
    fake.faults = {host: lambda url, what: "not_found" if "/3.root" in url else "" for host in "ab"}
    plan = summed(flow, [replicas(n, "ab") for n in range(FILES)])
    fake.faults, faults = {}, fake.faults
    plan = plan.compile(cache=False)
    fake.faults = faults
    outcome = flow.run(plan)
    missing = json.loads((outcome.run_dir / "missing.json").read_text())
    content = json.loads(flow.path.read_text())
    content["data"]["datasets"] = missing
    path = tmp_path / "rest.yaml"
    path.write_text(json.dumps(content))
    loaded = load_workflow(path)
    (dataset,) = resolve_datasets(loaded.workflow, loaded.document).value
    assert [file.places for file in dataset.files] == [("root://a//store/3.root", "root://b//store/3.root")]
    fake.faults = {}
    rest = run(path, "local", outdir=tmp_path / "rest", plots=False)
    assert rest.products["Sum", "sum"] == sum(range(180, 240))


def test_servers_that_were_dead_when_the_plan_was_made_are_not_waited_for(fake, flow):
    fake.faults["a"] = always("unreachable")
    plan = summed(flow, [replicas(n) for n in range(FILES)]).compile(cache=False)
    fake.opened.clear()
    check_complete(flow.run(plan))
    assert "a" not in fake.opened
