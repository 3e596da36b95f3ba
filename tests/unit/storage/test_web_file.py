"""Files over https: ranges, credentials that stay where they belong, faults by the status, and time limits that end."""

from __future__ import annotations

import os
import time

import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage import Range, StorageLimits, open_remote
from fasthep_parsl.storage.web_file import GAP, WebFile
from services.web import WebServer

CONTENT = bytes(os.urandom(1_000_000))
SHORT = StorageLimits(open_timeout=10, read_timeout=1, retries=2)


@pytest.fixture(autouse=True)
def environment(no_credentials, authority, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))


@pytest.fixture
def server(authority):
    with WebServer(authority.host) as server:
        server.files["/a.root"] = CONTENT
        yield server


@pytest.fixture
def token(monkeypatch, authority, tmp_path):
    path = authority.token_file(path=tmp_path / "token")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    return path


def text(path):
    return path.read_text().strip()


def cause(call, *arguments):
    with pytest.raises(InputFileError) as caught:
        call(*arguments)
    return caught.value


def test_ranges_are_read_and_close_ones_are_one_request(server):
    file = WebFile(server.url("/a.root"), StorageLimits(), 1000)
    assert (file.size, file.head) == (len(CONTENT), CONTENT[:1000])
    before = len(server.requests)
    ranges = [Range(500_000, 500_100), Range(10, 20), Range(500_100 + GAP, 500_200 + GAP)]
    assert [bytes(found) for found in file.read_many(ranges)] == [CONTENT[start:stop] for start, stop in ranges]
    assert len(server.requests) == before + 2
    assert bytes(file.read(999_990, 100)) == CONTENT[-10:]


def test_a_connection_is_kept(server):
    file = WebFile(server.url("/a.root"), StorageLimits(), 1000)
    for start in range(0, 500_000, 100_000):
        file.read(start, 50_000)
    assert server.connections == 1
    server.ranges = False
    file.read(5, 5)


def test_davs_is_https(server):
    assert open_remote(server.url("/a.root").replace("https", "davs"), StorageLimits()).size == len(CONTENT)


def test_a_server_without_ranges_is_read(server):
    server.ranges = False
    file = WebFile(server.url("/a.root"), StorageLimits(), 1000)
    assert bytes(file.read(5000, 10)) == CONTENT[5000:5010]


def test_the_token_is_sent_and_read_again_at_each_open(server, token, authority):
    server.tokens = {text(token)}
    url = server.url("/a.root")
    WebFile(url, StorageLimits(), 10)
    authority.token_file(path=token)
    assert cause(WebFile, url, StorageLimits(), 10).cause == "not_permitted"
    server.tokens = {text(token)}
    WebFile(url, StorageLimits(), 10)
    assert all(text(token) not in path for path, _, _ in server.requests)


def test_an_open_file_uses_a_renewed_token(server, token, authority):
    server.tokens = {text(token)}
    file = WebFile(server.url("/a.root"), StorageLimits(), 10)
    authority.token_file(path=token)
    server.tokens = {text(token)}
    assert bytes(file.read(0, 5)) == CONTENT[:5]


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_token_that_others_can_read_is_not_sent(server, token, mode):
    token.chmod(mode)
    server.tokens = {text(token)}
    error = cause(WebFile, server.url("/a.root"), StorageLimits(), 10)
    assert error.cause == "not_authenticated"
    assert "chmod 600" in str(error)
    assert {authorization for _, _, authorization in server.requests} == {""}


def test_redirects_keep_the_token_on_the_same_host(server, token):
    server.tokens = {text(token)}
    server.redirects["/old.root"] = "/a.root?ticket=secret"
    file = WebFile(server.url("/old.root"), StorageLimits(), 10)
    before = len(server.requests)
    file.read(0, 10)
    assert [path for path, _, _ in server.requests[before:]] == ["/a.root?ticket=secret"]  # not asked twice
    assert "secret" not in file.url


@pytest.mark.parametrize("secure", [False, True])
def test_redirects_do_not_take_the_token_to_plain_http_or_to_strangers(server, token, authority, secure):
    with WebServer(authority.host if secure else None) as other:
        other.files["/a.root"] = CONTENT
        server.redirects["/old.root"] = other.url("/a.root", "127.0.0.1")
        file = WebFile(server.url("/old.root"), StorageLimits(), 10)
        file.read(100, 10)
        assert len(other.requests) == 2
        assert {authorization for _, _, authorization in other.requests} == {""}


def test_plain_http_gets_no_token(token):
    with WebServer() as server:
        server.files["/a.root"] = CONTENT
        open_remote(server.url("/a.root"), StorageLimits())
        assert {authorization for _, _, authorization in server.requests} == {""}


@pytest.mark.parametrize("location", ["https://a[]b/a.root", "ftp://a/a.root"])
def test_redirects_to_what_cannot_be_read_are_faults(server, location):
    server.redirects["/old.root"] = location
    error = cause(WebFile, server.url("/old.root"), StorageLimits(), 10)
    assert error.cause == "unreachable"
    assert "the server redirects to" in str(error)


def test_a_ticket_of_a_redirect_that_has_expired_is_renewed(server):
    server.files["/b.root"] = CONTENT
    server.redirects["/old.root"] = "/a.root?ticket=1"
    file = WebFile(server.url("/old.root"), StorageLimits(), 10)
    server.statuses["/a.root"] = [403] * 100
    server.redirects["/old.root"] = "/b.root?ticket=2"
    assert bytes(file.read(0, 10)) == CONTENT[:10]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "not_authenticated"), (404, "not_found"), (410, "not_found"), (418, "unreachable")],
)
def test_lasting_faults_are_not_tried_again(server, status, expected):
    server.statuses["/a.root"] = [status] * 10
    error = cause(WebFile, server.url("/a.root"), StorageLimits(), 10)
    assert error.cause == expected
    assert f"[HTTP {status}]" in str(error)
    assert len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_faults_are_tried_again(server, status):
    server.statuses["/a.root"] = [status, status]
    file = WebFile(server.url("/a.root"), StorageLimits(), 10)
    assert file.size == len(CONTENT)
    server.statuses["/a.root"] = [status] * 10
    assert cause(file.read, 0, 10).cause == "unreachable"
    assert len(server.requests) == 3 + 4


def test_permission_with_a_good_token_is_denied_and_the_hint_names_the_scope(server, monkeypatch, authority, tmp_path):
    path = authority.token_file("storage.read:/elsewhere", path=tmp_path / "token")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    server.statuses["/a.root"] = [403] * 10
    error = cause(WebFile, server.url("/a.root"), StorageLimits(), 10)
    assert error.cause == "not_permitted"
    assert authority.issuer in str(error)
    assert "use a token whose scope covers `/a.root`" in str(error)
    assert text(path) not in repr(error)


def test_a_proxy_is_tried_where_the_token_is_refused(server, token, monkeypatch, authority):
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    server.statuses["/a.root"] = [403]
    WebFile(server.url("/a.root"), StorageLimits(), 10)
    assert [authorization for _, _, authorization in server.requests] == [f"Bearer {text(token)}", ""]


def test_a_server_that_nobody_vouches_for_is_refused(server, monkeypatch, tmp_path):
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path))
    error = cause(WebFile, server.url("/a.root"), StorageLimits(), 10)
    assert error.cause == "unreachable"
    assert "certificate cannot be trusted" in str(error)
    assert "X509_CERT_DIR" in str(error)
    assert server.requests == []


@pytest.mark.slow
def test_a_read_that_stalls_ends_in_time(server):
    file = WebFile(server.url("/a.root"), SHORT, 1000)
    server.stall_after = 10_000
    began = time.monotonic()
    error = cause(file.read, 0, 100_000)
    assert error.cause == "stalled"
    assert 0.9 < time.monotonic() - began < 30
    server.stall_after = None
    assert bytes(file.read(0, 100_000)) == CONTENT[:100_000]


def test_an_open_that_stalls_is_unreachable(server):
    server.stall_after = 10
    assert cause(WebFile, server.url("/a.root"), StorageLimits(open_timeout=0.5), 1000).cause == "unreachable"


def test_a_host_that_refuses_or_is_unknown_is_unreachable():
    from services.links import dead_port

    limits = StorageLimits(retries=0)
    assert cause(open_remote, f"https://localhost:{dead_port()}/a", limits).cause == "unreachable"
    assert "host name" in str(cause(open_remote, "https://nowhere.invalid/a", limits))


def test_a_file_that_changes_its_size_is_corrupt(server):
    file = WebFile(server.url("/a.root"), StorageLimits(), 10)
    server.files["/a.root"] = CONTENT[:1000]
    assert cause(file.read, 0, 10).cause == "corrupt"


def test_an_empty_file_says_so(server):
    from fasthep_parsl.plan import PlanSource
    from fasthep_parsl.sources.files import open_file

    server.files["/empty.root"] = b""
    error = cause(open_file, server.url("/empty.root"), PlanSource(params={"tree": "Events"}))
    assert error.cause == "corrupt"
    assert "empty (0 bytes)" in str(error)


def test_queries_and_passwords_are_not_shown(server):
    error = cause(open_remote, server.url("/none?authz=Bearer%20secret", "user:secret@localhost"), StorageLimits())
    assert "secret" not in repr(error)
    assert "none" in str(error)


def test_a_token_in_the_environment_may_end_with_a_line_break(server, monkeypatch, authority):
    token = authority.token()
    monkeypatch.setenv("BEARER_TOKEN", f"{token}\r\n")
    server.tokens = {token}
    assert WebFile(server.url("/a.root"), StorageLimits(), 10).size == len(CONTENT)


def test_a_folder_of_authorities_that_does_not_exist_is_replaced_by_the_first_default(monkeypatch, tmp_path):
    from fasthep_parsl.storage import login

    monkeypatch.setattr(login, "AUTHORITY_FOLDERS", (str(tmp_path / "none"), str(tmp_path)))
    variables = {"X509_CERT_DIR": "/nowhere"}
    login.Logins(variables).current()
    assert variables["X509_CERT_DIR"] == str(tmp_path)
