"""Replicas on a real XRootD server: one place is dead, one stalls, one has damaged files. All events are read, each once."""

from __future__ import annotations

import shutil

import pytest
import uproot

from conftest import write_small
from fasthep_parsl.driver.api import run
from fasthep_parsl.events import ServerChanged, TaskSubmitted
from services.links import Link, dead_port

pytestmark = [pytest.mark.integration, pytest.mark.xrootd]

FILES, SIZE = 6, 600
EVENTS = FILES * SIZE
DAMAGED = (4, 5)


def damage(path):
    """Change bytes inside the first basket of each branch."""
    with uproot.open(path) as file:
        seeks = [int(branch.member("fBasketSeek")[0]) for branch in file["Events"].branches]
        sizes = [int(branch.member("fBasketBytes")[0]) for branch in file["Events"].branches]
    content = bytearray(path.read_bytes())
    for seek, size in zip(seeks, sizes, strict=True):
        content[seek + size - 20 : seek + size - 10] = bytes(10)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def served(xrootd_server, tmp_path_factory):
    """Folder ``good`` has the files, folder ``damaged`` has them with some changed."""
    folder = tmp_path_factory.mktemp("replicas") / "good"
    folder.mkdir()
    for number in range(FILES):
        write_small(folder / f"{number}.root", number * SIZE, [SIZE // 3] * 3)
    other = folder.with_name("damaged")
    shutil.copytree(folder, other)
    for number in DAMAGED:
        damage(other / f"{number}.root")
    for path in (folder, other):
        xrootd_server.put(path, f"protected/replicas/{path.name}")
    return xrootd_server


@pytest.fixture
def token(no_credentials, authority, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(authority.token_file()))


def check_complete(outcome):
    assert outcome.status == "complete", outcome.summary["failures"]
    assert outcome.products["Sum", "sum"] == EVENTS * (EVENTS - 1) // 2
    assert sorted(outcome.products["Order", "order"]) == list(range(EVENTS))
    assert outcome.summary["events"] == {"total": EVENTS, "done": EVENTS, "read": EVENTS}
    assert sum(server["bytes"] for server in outcome.summary["storage"]) == outcome.summary["bytes_read"]


@pytest.mark.parametrize("backend", ["local", "parsl"])
@pytest.mark.parametrize("scheme", ["root", "https"])
def test_dead_stalling_and_damaged(served, token, flow, scheme, backend):
    with Link(served.port if scheme == "root" else served.https_port) as link:
        dead, stalls = dead_port(), link.port

        def places(number):
            return [
                served.url(f"protected/replicas/good/{number}.root", scheme, dead),
                served.url(f"protected/replicas/good/{number}.root", scheme, stalls),
                served.url(f"protected/replicas/damaged/{number}.root", scheme),
            ]

        execution = {"backend": backend, "pools": flow.pools, "storage": {"open_timeout": "3s", "read_timeout": "3s"}}
        files = [{"any": places(number)} for number in range(FILES)]
        stages = [flow.stage("Sum", "probe.sum"), flow.stage("Order", "probe.order", [])]
        plan = flow.write(stages, files, execution=execution).compile(chunk_size=100)
        assert [name.rpartition(":")[2] for name in plan.source.storage.avoid] == [str(dead)]

        changes, submitted = [], []

        def watch(event):
            if isinstance(event, TaskSubmitted):
                submitted.append(event.task)
                if backend == "local" and len(submitted) == 2:  # tasks run when they are submitted
                    link.resume()
            if isinstance(event, ServerChanged):
                changes.append((int(event.server.rpartition(":")[2]), event.state, event.cause))
                if event.server.endswith(f":{stalls}") and event.state == "avoided":
                    link.resume()  # the damaged files have no other place

        link.stall()
        outcome = run(plan, outdir=flow.folder / "run", plots=False, check=False, observer=watch)
        check_complete(outcome)
        assert changes[0] == (dead, "avoided", "unreachable")
        assert changes[1][0] == stalls
        assert changes[1][1:] in {("avoided", "stalled"), ("avoided", "unreachable")}
    storage = {item["server"].rpartition(":")[2]: item for item in outcome.summary["storage"]}
    port = served.port if scheme == "root" else served.https_port
    assert storage[str(dead)]["files"] == 0
    assert storage[str(port)]["failures"].get("corrupt", 0) >= 1
    assert any(f":{dead} was avoided" in warning for warning in outcome.summary["warnings"])


def test_damaged_files_without_another_place_are_named(served, token, flow):
    files = [{"any": [served.url(f"protected/replicas/{place}/4.root") for place in ("damaged", "nowhere")]}]
    stages = [flow.stage("Sum", "probe.sum")]
    outcome = flow.run(flow.write(stages, files, execution={"backend": "local"}).compile(chunk_size=200))
    assert outcome.status == "partial"
    assert outcome.summary["events"]["done"] == SIZE * 2 // 3  # only the first baskets are damaged
    (failure,) = outcome.summary["failures"]
    assert "none of its 2 places can be read" in failure["message"]
    assert "no such file" in failure["message"]
