"""Tokens: WLCG's discovery, what a token states, and what is no token."""

from __future__ import annotations

import math
import os
import time

import jwt
import pytest

from credential_samples import ISSUER, token, write
from fasthep_parsl.credential_files import CredentialFileError, current
from fasthep_parsl.credential_files.tokens import find_token, read_token, token_text

NAME = f"bt_u{os.geteuid()}"


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "runtime").mkdir()
    return {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}


def test_the_order_of_discovery_is_that_of_wlcg(environ, tmp_path):
    assert find_token(environ) == (None, "")
    runtime = write(tmp_path / "runtime" / NAME, token())
    assert find_token(environ) == (runtime, "XDG_RUNTIME_DIR")
    named = write(tmp_path / "named", token())
    assert find_token({**environ, "BEARER_TOKEN_FILE": str(named)}) == (named, "BEARER_TOKEN_FILE")
    assert find_token({**environ, "BEARER_TOKEN_FILE": str(named), "BEARER_TOKEN": "x"}) == (None, "BEARER_TOKEN")


def test_what_is_empty_is_the_next_step(environ, tmp_path):
    runtime = write(tmp_path / "runtime" / NAME, token())
    empty = write(tmp_path / "empty", b" \n")
    assert find_token({**environ, "BEARER_TOKEN": " \t\n", "BEARER_TOKEN_FILE": str(empty)})[0] == runtime
    assert find_token({**environ, "BEARER_TOKEN_FILE": ""})[0] == runtime
    write(runtime, b"\n")
    assert find_token(environ) == (None, "")


def test_what_is_named_and_cannot_be_used_is_not_skipped(environ, tmp_path):
    write(tmp_path / "runtime" / NAME, token())
    assert find_token({**environ, "BEARER_TOKEN_FILE": "/nowhere/token"})[1] == "BEARER_TOKEN_FILE"
    bad = write(tmp_path / "bad", b"no token")
    assert find_token({**environ, "BEARER_TOKEN_FILE": str(bad)})[0] == bad


def test_tmp_is_for_those_without_a_runtime_folder(monkeypatch):
    looked = []
    monkeypatch.setattr(os.path, "lexists", lambda path: looked.append(str(path)) or True)
    assert find_token({})[1] == "/tmp"
    assert looked == [f"/tmp/{NAME}"]


def test_white_space_is_no_part_of_a_token():
    assert token_text(b"\n  a.b.c \r\n\f\v") == "a.b.c"
    facts = read_token(token(scope="storage.read:/ compute.create", aud=["a", "b"]) + b"\n")
    assert (facts.kind, facts.issuer, facts.subject) == ("token", ISSUER, "ada")
    assert (facts.scopes, facts.audience) == (("storage.read:/", "compute.create"), ("a", "b"))
    assert facts.describe(facts.expires + 300) == (
        f"token of {ISSUER} (scope storage.read:/ compute.create), expired 5 min ago"
    )


def test_expired_tokens_and_those_without_an_end_are_read():
    assert read_token(token(lifetime=-1000)).expires < time.time()
    facts = read_token(token(exp=None, nbf=None, scope=None, aud=None, scp=["read:/"], **{"wlcg.groups": ["/cms/it"]}))
    assert (facts.expires, facts.not_before, facts.scopes, facts.vo) == (math.inf, 0, ("read:/",), "cms")
    assert "no end of life" in facts.describe(0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "missing"),
        (b"\n", "missing"),
        (b"hello", "unreadable"),
        (b"a.b.c", "unreadable"),
        (b"two words", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b"\0" * 30, "unreadable"),
        (token(exp="soon"), "unreadable"),
        (jwt.encode({"iss": ISSUER}, "", algorithm="none").encode(), "signature"),
    ],
)
def test_what_is_no_token_is_refused(content, reason):
    with pytest.raises(CredentialFileError) as error:
        read_token(content)
    assert error.value.problem.cause == reason
    secret = content.strip().decode("latin1")
    assert not secret or secret not in str(error.value) + repr(error.value)


def test_current_names_what_clients_use_and_reads_what_changed(environ, tmp_path, monkeypatch):
    monkeypatch.setattr("fasthep_parsl.credential_files.proxies.default_proxy", lambda: tmp_path / "no")
    assert current(environ) == ()
    path = write(tmp_path / "runtime" / NAME, token(sub="one"))
    assert [facts.subject for facts in current(environ)] == ["one"]
    assert current(environ)[0].path == path
    write(tmp_path / "new", token(sub="two")).replace(path)
    assert [facts.subject for facts in current(environ)] == ["two"]
    assert [facts.subject for facts in current({"BEARER_TOKEN": token(sub="value").decode()})] == ["value"]
    assert current({**environ, "BEARER_TOKEN_FILE": "/nowhere", "X509_USER_PROXY": "/nowhere"}) == ()
    assert current({"BEARER_TOKEN": "no token", "X509_USER_PROXY": str(path)}) == ()
