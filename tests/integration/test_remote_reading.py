"""Protected files of a real XRootD server: root:// and https, proxies and tokens, what a server refuses, slow links."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.plan import PlanSource, PlanStorage
from fasthep_parsl.sources.files import open_file, prefetch_fields, read_fields
from fasthep_parsl.storage import Range, StorageLimits, ahead, open_remote
from fasthep_parsl.storage.login import current_login
from fasthep_parsl.storage.xrootd_file import MOST_BYTES, XRootDFile
from services.links import Link, dead_port

pytestmark = [pytest.mark.integration, pytest.mark.xrootd]

SCHEMES = ("root", "roots", "xroot", "xroots", "https", "davs")
EVENTS, COLUMNS = 100_000, ("a", "b", "c", "d")
FORMATS = ("tree.root", "ntuple.root", "table.parquet")
TREE, PARQUET = PlanSource(params={"tree": "Events"}), PlanSource(kind="parquet")
SHORT = StorageLimits(open_timeout=3, read_timeout=3, retries=1)


@pytest.fixture(scope="module")
def columns():
    random = np.random.default_rng(1)
    return {name: random.random(EVENTS) for name in COLUMNS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, columns):
    """Files of each format with the same events, and one of 5 MB."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import uproot

    folder = tmp_path_factory.mktemp("files")
    with uproot.recreate(folder / "tree.root", compression=None) as file:
        tree = file.mktree("Events", dict.fromkeys(COLUMNS, "f8"))
        for start in range(0, EVENTS, 20_000):
            tree.extend({name: values[start : start + 20_000] for name, values in columns.items()})
    with uproot.recreate(folder / "ntuple.root") as file:
        ntuple = file.mkrntuple("Events", dict.fromkeys(COLUMNS, "f8"))
        for start in range(0, EVENTS, 20_000):
            ntuple.extend({name: values[start : start + 20_000] for name, values in columns.items()})
    pq.write_table(pa.table(columns), folder / "table.parquet", row_group_size=20_000)
    (folder / "big.bin").write_bytes(np.random.default_rng(2).bytes(5_000_000))
    return folder


@pytest.fixture(scope="module")
def served(xrootd_server, folder):
    xrootd_server.put(folder, "protected/remote")
    xrootd_server.put(folder / "tree.root", "vo/remote.root")
    return xrootd_server


@pytest.fixture
def proxy(no_credentials, authority, monkeypatch):
    """This process has a good proxy."""
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    path = authority.proxy()
    monkeypatch.setenv("X509_USER_PROXY", str(path))
    return path


@pytest.fixture
def token(no_credentials, authority, monkeypatch):
    """This process has a good token."""
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    path = authority.token_file()
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_are_read_with_a_token(served, token, columns, scheme, name):
    source = PARQUET if name.endswith("parquet") else TREE
    file = open_file(served.url(f"protected/remote/{name}", scheme), source)
    found = read_fields(file, source, COLUMNS, 15_000, 75_000)
    assert file.entries == EVENTS
    for column in COLUMNS:
        np.testing.assert_array_equal(found[column], columns[column][15_000:75_000])
    file.close()


@pytest.mark.parametrize("scheme", ["root", "https"])
def test_a_proxy_is_used(served, proxy, columns, scheme):
    file = open_file(served.url("protected/remote/tree.root", scheme), TREE)
    np.testing.assert_array_equal(read_fields(file, TREE, ["c"], 0, 10)["c"], columns["c"][:10])


def test_large_and_many_ranges_are_cut(served, token, folder):
    content = (folder / "big.bin").read_bytes()
    file = XRootDFile(served.url("protected/remote/big.bin"), StorageLimits())
    assert bytes(file.read(1000, 2 * MOST_BYTES)) == content[1000 : 1000 + 2 * MOST_BYTES]
    ranges = [Range(at, at + 7) for at in range(0, 4_990_000, 4_500)]
    assert len(ranges) > 1024
    assert [bytes(found) for found in file.read_many(ranges)] == [content[start:stop] for start, stop in ranges]
    assert file.bytes_read < len(content) * 2


# ------------------------------------------------------------------------------------------------- what is refused

PROBE = """
import json, sys
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage import StorageLimits, open_remote
found = []
for url in sys.argv[1:]:
    try:
        found.append(["", str(open_remote(url, StorageLimits(10, 10, 1)).size)])
    except InputFileError as error:
        found.append([error.cause, str(error)])
print(json.dumps(found))
"""


def probe(server, *urls, trusted=True, **variables):
    """Open URLs in a new process, as the XRootD client sets up TLS and GSI once; return cause and message of each."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"}
    environment |= server.env if trusted else {}
    environment |= {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-c", PROBE, *urls]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return [tuple(item) for item in json.loads(done.stdout.splitlines()[-1])]


def both(server, path="protected/remote/tree.root"):
    return server.url(path), server.url(path, "https")


CASES = {
    "anonymous": ({}, "not_authenticated", "no credential was found"),
    "expired proxy": ({"X509_USER_PROXY": "expired"}, "not_authenticated", "run `voms-proxy-init`"),
    "expired token": ({"BEARER_TOKEN_FILE": "expired"}, "not_authenticated", "get a new token"),
    "0644 token": ({"BEARER_TOKEN_FILE": "open"}, "not_authenticated", "chmod 600"),
    "0644 proxy": ({"X509_USER_PROXY": "open"}, "not_authenticated", "chmod 600"),
    "missing token": ({"BEARER_TOKEN_FILE": "missing"}, "not_authenticated", "does not exist"),
    "garbage token": ({"BEARER_TOKEN_FILE": "garbage"}, "not_authenticated", "not a JSON Web Token"),
    "other scope": ({"BEARER_TOKEN_FILE": "scope"}, "not_permitted", "use a token whose scope covers"),
    "other audience": ({"BEARER_TOKEN_FILE": "audience"}, "not_permitted", "may be for another server"),
    "missing proxy, good token": ({"X509_USER_PROXY": "missing", "BEARER_TOKEN_FILE": "good"}, "", ""),
    "0644 proxy, good token": ({"X509_USER_PROXY": "open", "BEARER_TOKEN_FILE": "good"}, "", ""),
    "other scope, good proxy": ({"X509_USER_PROXY": "good", "BEARER_TOKEN_FILE": "scope"}, "", ""),
    "other scope, good proxy, both protocols": (
        {"X509_USER_PROXY": "good", "BEARER_TOKEN_FILE": "scope", "XrdSecPROTOCOL": "gsi,ztn,unix"},
        "",
        "",
    ),
    "other scope, good proxy, tokens only": (
        {"X509_USER_PROXY": "good", "BEARER_TOKEN_FILE": "scope", "XrdSecPROTOCOL": "ztn,unix"},
        "not_permitted",
        "scope",
    ),
    "no proxy to create": ({"XrdSecGSICREATEPROXY": "0", "BEARER_TOKEN_FILE": "good"}, "", ""),
}


@pytest.fixture(scope="module")
def probed(served, authority, tmp_path_factory):
    """What `probe` finds in each case, by its name."""
    folder = tmp_path_factory.mktemp("credentials")
    variables = [
        {key: credential(authority, folder, key, what) for key, what in case[0].items()} for case in CASES.values()
    ]
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(lambda found: probe(served, *both(served), **found), variables), strict=True))


def credential(authority, folder, variable, what):
    """Return a credential: kind of variable, and what is wrong with it."""
    path = folder / f"{variable}-{what}"
    proxy = variable == "X509_USER_PROXY"
    if what == "garbage":
        path.write_text("garbage")
        path.chmod(0o600)
    elif variable.startswith("Xrd"):
        return what
    elif what != "missing":
        options = {"expired": {"hours": -1} if proxy else {"lifetime": -3600}}.get(what, {})
        options |= {"scope": {"scope": "storage.read:/none"}, "audience": {"audience": "https://a.test"}}.get(what, {})
        (authority.proxy if proxy else authority.token_file)(path=path, **options)
        path.chmod(0o644 if what == "open" else 0o600)
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_its_reason(probed, authority, name):
    _, cause, text = CASES[name]
    for found, message in probed[name]:
        if name == "0644 proxy" and found == "":
            continue  # GSI takes it, TLS does not
        if name.endswith("tokens only") and found == "":
            continue  # the variable is for XRootD only
        assert found == cause, message
        assert text in message
        if cause == "not_permitted":
            assert authority.issuer in message
            assert "left" in message


def test_other_refusals(served, authority):
    attributes_expired = authority.proxy(voms_hours=-2)
    urls = served.url("vo/remote.root"), served.url("protected/none.root"), served.url("protected/none.root", "https")
    denied, *missing = probe(served, *urls, X509_USER_PROXY=attributes_expired)
    assert denied[0] == "not_authenticated"
    assert "expired" in denied[1]
    assert [cause for cause, _ in missing] == ["not_found"] * 2
    denied, granted = probe(
        served, urls[0], served.url("protected/remote/tree.root"), X509_USER_PROXY=authority.proxy()
    )
    assert denied[0] == "not_permitted"
    assert "no VO" in denied[1]
    assert granted[0] == ""


def test_without_authorities_nothing_is_trusted(served, token):
    by_xrootd, by_https = probe(served, *both(served), trusted=False, BEARER_TOKEN_FILE=token)
    assert by_xrootd[0] == "not_authenticated"
    assert by_https[0] == "unreachable"
    assert all("X509_CERT_DIR" in message for _, message in (by_xrootd, by_https))


def test_servers_that_are_not_there(token):
    limits = StorageLimits(10, 10, 1)
    for url in (f"root://localhost:{dead_port()}//a", "root://nowhere.invalid//a"):
        with pytest.raises(InputFileError) as caught:
            open_remote(url, limits)
        assert caught.value.cause == "unreachable"


def test_a_token_in_a_variable_may_end_with_a_line_break(served, token):
    assert [cause for cause, _ in probe(served, *both(served), BEARER_TOKEN=token.read_text() + "\n")] == ["", ""]


# ------------------------------------------------------------------------------------- connections and their credential


def test_a_new_token_needs_no_new_process(served, authority, token):
    """The connection keeps the token with which it has begun, so each token has a connection of its own."""
    url = served.url("protected/remote/tree.root")
    authority.token_file("storage.read:/none", path=token)
    with pytest.raises(InputFileError) as caught:
        open_remote(url, StorageLimits())
    assert caught.value.cause == "not_permitted"
    authority.token_file(path=token)
    assert open_remote(url, StorageLimits()).size > 0


def test_files_share_a_connection_while_the_token_is_the_same(served, authority, token):
    with Link(served.port) as link:
        url = served.url("protected/remote/tree.root", port=link.port)
        for _ in range(3):
            open_remote(url, StorageLimits())
        assert link.connections == 1
        authority.token_file(path=token)
        open_remote(url, StorageLimits())
        assert link.connections == 2


def test_the_credential_costs_little(served, token):
    file = XRootDFile(served.url("protected/remote/tree.root"), StorageLimits())
    assert min(seconds(current_login) for _ in range(300)) <= 0.05 * min(seconds(file._open, 10.0) for _ in range(50))


def seconds(call, *arguments):
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def test_a_process_that_uses_xrootd_is_not_forked(token, served):
    code = "from fasthep_parsl.blocks.fork import can_fork; print(can_fork()); import XRootD.client; print(can_fork())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


# ------------------------------------------------------------------------------------------------------ bad and far links


@pytest.mark.parametrize("scheme", ["root", "https"])
def test_a_server_that_stops_in_the_middle_of_a_read(served, token, folder, scheme):
    port = served.port if scheme == "root" else served.https_port
    with Link(port, stall_after=2_000_000) as link:
        url = served.url("protected/remote/big.bin", scheme, port=link.port)
        file = open_remote(url, SHORT)
        began = time.monotonic()
        with pytest.raises(InputFileError) as caught:
            file.read(0, 4_000_000)
        assert caught.value.cause == "stalled"
        assert time.monotonic() - began < 30
        began = time.monotonic()
        file.close()
        assert time.monotonic() - began < 1
        with pytest.raises(InputFileError) as caught:
            open_remote(url, SHORT)
        assert caught.value.cause == "unreachable"
        link.resume()
        assert (
            bytes(open_remote(url, StorageLimits()).read(0, 4_000_000)) == (folder / "big.bin").read_bytes()[:4_000_000]
        )


HEADERS = """
import sys
from fasthep_parsl.plan import PlanSource, PlanStorage
from fasthep_parsl.sources.headers import read_headers
storage = PlanStorage(open_timeout=300, read_timeout=300)
try:
    read_headers([sys.argv[1]] * 20, PlanSource(params={"tree": "Events"}, storage=storage))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("scheme", ["root", "https"])
def test_an_interrupt_does_not_wait_for_a_server(served, token, scheme):
    with Link(served.port if scheme == "root" else served.https_port) as link:
        link.stall()
        url = served.url("protected/remote/tree.root", scheme, port=link.port)
        process = subprocess.Popen([sys.executable, "-c", HEADERS, url], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: link.connections or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "interrupted\n"
        assert process.returncode == 0


@pytest.fixture
def requests(monkeypatch):
    """The requests for data that XRootD servers get."""
    found = []
    send = XRootDFile._request
    monkeypatch.setattr(XRootDFile, "_request", lambda file, pieces: found.append(pieces) or send(file, pieces))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_few_round_trips(served, token, requests, name):
    source = PARQUET if name.endswith("parquet") else TREE
    file = open_file(served.url(f"protected/remote/{name}"), source)
    assert file.branches().found
    assert file.clusters()
    assert len(requests) == (2 if name.startswith("ntuple") else 1)  # the pages of its clusters are in lists
    requests.clear()
    read_fields(file, source, COLUMNS, 0, 20_000)
    assert len(requests) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_reading_ahead_needs_no_request_later(served, token, requests, columns, name):
    source = PARQUET if name.endswith("parquet") else TREE
    file = open_file(served.url(f"protected/remote/{name}"), source)
    requests.clear()
    prefetch_fields(file, source, [*COLUMNS, "none"], 20_000, 40_000)
    found = read_fields(file, source, COLUMNS, 20_000, 40_000)
    assert len(requests) == 1
    np.testing.assert_array_equal(found["d"], columns["d"][20_000:40_000])


def test_a_failure_of_reading_ahead_is_an_ordinary_read(served, token, columns, monkeypatch):
    file = open_file(served.url("protected/remote/tree.root"), TREE)
    with monkeypatch.context() as broken:
        broken.setattr(XRootDFile, "read_many", lambda *_: (_ for _ in ()).throw(InputFileError("", "broken")))
        prefetch_fields(file, TREE, COLUMNS, 20_000, 40_000)
        wait_until(file._file.file.source._file._ahead._found.done)
    np.testing.assert_array_equal(read_fields(file, TREE, ["a"], 20_000, 40_000)["a"], columns["a"][20_000:40_000])


def test_reading_ahead_is_bounded(served, token, requests, monkeypatch):
    monkeypatch.setattr(ahead, "MOST_AHEAD", 1000)
    file = open_file(served.url("protected/remote/tree.root"), TREE)
    requests.clear()
    prefetch_fields(file, TREE, COLUMNS, 20_000, 40_000)
    assert requests == []


def wait_until(condition, limit=30.0):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_limits_of_a_plan_are_used(served, token):
    storage = PlanStorage(open_timeout=1, read_timeout=1, retries=0)
    with Link(served.https_port) as link:
        link.stall()
        began = time.monotonic()
        with pytest.raises(InputFileError, match="within 1 s"):
            open_file(
                served.url("protected/remote/tree.root", "https", port=link.port),
                TREE.model_copy(update={"storage": storage}),
            )
        assert time.monotonic() - began < 20
