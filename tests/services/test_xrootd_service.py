"""The XRootD server of the tests takes and refuses what a real one does, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from services.links import Link, dead_port

pytestmark = pytest.mark.xrootd

READ = """
import sys
from XRootD import client
file = client.File()
status, _ = file.open(sys.argv[1], timeout=30)
if status.ok:
    status, data = file.read(timeout=int(sys.argv[2]))
print(data.decode() if status.ok else status.message)
"""
DENIED, REFUSED = "[3010]", "Auth failed"


def read(server, path, *, seconds=60, port=None, **credentials):
    """Read a file with the plain client in a process of its own; return its text, or the error."""
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/nonexistent", "HOME": "/nonexistent", **server.env}
    env |= {name: str(value) for name, value in credentials.items()}
    command = [sys.executable, "-c", READ, server.url(path, port=port), str(seconds)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def get(server, path, *, token="", proxy=None):
    """Read a file over https; return its text, or the status."""
    context = ssl.create_default_context(cafile=server.authority.ca)
    if proxy:
        context.load_cert_chain(proxy)
    request = urllib.request.Request(server.url(path, "https"))
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nobody_reads_without_a_credential(xrootd_server):
    assert REFUSED in read(xrootd_server, "protected/small.txt")
    assert get(xrootd_server, "protected/small.txt") == 403


@pytest.mark.parametrize(
    ("options", "protected", "vo"),
    [
        ({}, "it works", DENIED),
        ({"voms_hours": 12}, "it works", "it works"),
        ({"voms_hours": -2}, "it works", DENIED),
        ({"hours": -1}, REFUSED, REFUSED),
        ({"begins": 1}, REFUSED, REFUSED),
    ],
    ids=["plain", "voms", "voms-expired", "expired", "not-yet"],
)
def test_proxies(xrootd_server, authority, options, protected, vo):
    proxy = authority.proxy(**options)
    assert proxy.stat().st_mode & 0o777 == 0o600
    assert protected in read(xrootd_server, "protected/small.txt", X509_USER_PROXY=proxy)
    assert vo in read(xrootd_server, "vo/small.txt", X509_USER_PROXY=proxy)
    if protected == "it works":
        assert get(xrootd_server, "protected/small.txt", proxy=proxy) == "it works"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, "it works"),
        ({"profile": "scitokens"}, "it works"),
        ({"scope": "storage.read:/protected"}, "it works"),
        ({"scope": "storage.read:/elsewhere"}, DENIED),
        ({"scope": "storage.create:/protected"}, DENIED),
        ({"audience": "https://elsewhere.test"}, DENIED),
        ({"lifetime": -60}, REFUSED),
    ],
    ids=["wlcg", "scitokens", "path", "other-path", "write-only", "other-audience", "expired"],
)
def test_tokens(xrootd_server, authority, options, found):
    file = authority.token_file(**options)
    assert file.stat().st_mode & 0o777 == 0o600
    assert found in read(xrootd_server, "protected/small.txt", BEARER_TOKEN_FILE=file)
    over_https = get(xrootd_server, "protected/small.txt", token=file.read_text().strip())
    assert over_https == ("it works" if found == "it works" else 403)


def test_an_unknown_issuer_is_refused(xrootd_server, authority):
    token = authority.token_file(iss="https://localhost/another-issuer")
    assert "it works" not in read(xrootd_server, "protected/small.txt", BEARER_TOKEN_FILE=token)


def test_two_servers_serve_different_files(make_xrootd, xrootd_server, authority, tmp_path):
    other = make_xrootd()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "b.txt").write_text("the other")
    assert other.put(tmp_path / "two", "protected/two") == "/protected/two"
    proxy = authority.proxy()
    assert read(other, "protected/two/b.txt", X509_USER_PROXY=proxy) == "the other"
    assert "[3011]" in read(xrootd_server, "protected/two/b.txt", X509_USER_PROXY=proxy)


def test_it_listens_on_the_loopback_address_only_and_leaves_nothing(make_xrootd, authority):
    from services.xrootd import XRootDServer

    with XRootDServer(authority) as server:
        folder, ports = server.folder, (server.port, server.https_port)
        listening = {line.split()[1] for line in _tcp_table() if int(line.split()[1][-4:], 16) in ports}
        assert listening
        assert all(address[:-5] in _LOOPBACK for address in listening), listening
        assert _processes_of(folder)
    assert not folder.exists()
    assert not _processes_of(folder)
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


_LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def _tcp_table():
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [line for line in lines if line.split()[3] == "0A"]  # LISTEN


def _processes_of(folder):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


# --------------------------------------------------------------------------------------------------- links


def test_a_link_delays_each_way(xrootd_server, authority):
    token = authority.token()
    with Link(xrootd_server.https_port, delay=0.05) as link, socket.socket() as probe:
        began = time.monotonic()
        probe.connect(("127.0.0.1", link.port))
        context = ssl.create_default_context(cafile=authority.ca)
        with context.wrap_socket(probe, server_hostname="localhost") as wrapped:
            seconds = time.monotonic() - began
            assert seconds >= 0.1  # one round trip at least
            text = f"GET /protected/small.txt HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            began = time.monotonic()
            wrapped.sendall(text.encode())
            assert b" 200 " in wrapped.recv(1 << 16)
            assert time.monotonic() - began >= 0.1
        assert link.connections == 1
        assert link.received > 1000


def test_a_link_that_stalls_keeps_its_connections(xrootd_server, authority):
    proxy = authority.proxy()
    path = xrootd_server.data / "protected" / "large.bin"
    path.write_bytes(b"a" * 3_000_000)
    with Link(xrootd_server.port, stall_after=1_000_000) as link:
        short = {"XRD_STREAMTIMEOUT": 2, "XRD_TIMEOUTRESOLUTION": 1}  # s; the read's own does not end it
        error = read(xrootd_server, "protected/large.bin", seconds=2, port=link.port, X509_USER_PROXY=proxy, **short)
        assert "expired" in error, error[:200]
        assert link.received > 1_000_000
        link.resume()
        text = read(xrootd_server, "protected/large.bin", port=link.port, X509_USER_PROXY=proxy)
        assert len(text) == 3_000_000


def test_each_connection_of_a_link_can_stall(xrootd_server, authority):
    for name, size in (("medium", 600_000), ("large", 3_000_000)):
        (xrootd_server.data / "protected" / f"{name}.bin").write_bytes(b"a" * size)
    with Link(xrootd_server.https_port, stall_after=1_000_000, each=True) as link:
        for _ in range(2):  # more than 1 MB together
            assert received(link, authority, "protected/medium.bin") > 600_000
        assert 900_000 < received(link, authority, "protected/large.bin") < 1_500_000


def received(link, authority, path):
    """Return the bytes that come over a connection of its own, until it ends or is silent for two seconds."""
    context, total = ssl.create_default_context(cafile=authority.ca), 0
    lines = (
        f"GET /{path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {authority.token()}",
        "Connection: close",
    )
    with (
        socket.create_connection(("127.0.0.1", link.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall("\r\n".join([*lines, "", ""]).encode())
        total += len(wrapped.recv(1 << 16))
        wrapped.settimeout(2)
        with contextlib.suppress(TimeoutError):
            while data := wrapped.recv(1 << 16):
                total += len(data)
    return total


def test_a_link_that_is_cut_refuses(xrootd_server):
    with Link(xrootd_server.port) as link, socket.create_connection(("127.0.0.1", link.port)) as probe:
        while link.connections < 1:
            time.sleep(0.01)
        link.cut()
        probe.settimeout(10)
        try:
            while probe.recv(100):
                pass
        except ConnectionResetError:
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", link.port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", dead_port()))
