"""Credential scitoken: every reason to refuse a token, with what to do; what workers and this process get."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import time

import jwt
import pytest
from scitokens.utils.keycache import KeyCache

from credential_samples import ISSUER, key, token, write
from fasthep_parsl.credential_files.signatures import check_signature
from fasthep_parsl.credentials import scitoken
from fasthep_parsl.credentials.base import CLOCK_SKEW
from fasthep_parsl.credentials.scitoken import SciToken
from fasthep_parsl.errors import SiteError
from fasthep_parsl.interfaces import Renewal
from fasthep_parsl.setup_folder import SECRETS, SetupFolder

NAME = f"bt_u{os.geteuid()}"
NOW = 2_000_000_000


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No token and no commands of this machine."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "HTGETTOKENOPTS", "OIDC_SOCK", "X509_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def inspected(tmp_path, content=None, mode=0o600, now=None, **fields):
    path = write(tmp_path / "token", token() if content is None else content, mode)
    return SciToken(path=str(path), **fields).inspect(time.time() if now is None else now)


def reasons(seen):
    return [problem.cause for problem in seen.problems]


def test_a_good_token_has_no_problems(tmp_path):
    seen = inspected(
        tmp_path, token() + b"\n", scope="storage.read:/a", audience="root://x", issuer=ISSUER + "/", min_lifetime="30m"
    )
    assert (seen.problems, seen.warnings) == ((), ())
    assert (seen.facts.issuer, seen.facts.path) == (ISSUER, tmp_path / "token")


@pytest.mark.parametrize(
    ("claims", "fields", "reason", "words"),
    [
        ({"lifetime": -7300}, {}, "expired", "expired 2 h"),
        ({"lifetime": 5}, {}, "expired", "expires in 5 s"),
        ({"nbf": NOW + 2 * CLOCK_SKEW}, {}, "not_yet_valid", "is not valid for another 10 min"),
        ({"lifetime": 600}, {"min_lifetime": "8h"}, "short", "`min_lifetime` is 8 h"),
        ({"scope": "storage.read:/a"}, {"scope": ["storage.read:/b"]}, "scope", "does not permit storage.read:/b"),
        ({"scope": None}, {"scope": "storage.read:/b"}, "scope", "(no scope) does not permit"),
        ({"aud": "a"}, {"audience": "b"}, "audience", "is for a, `audience` is `b`"),
        ({"aud": None}, {"audience": "b"}, "audience", "names no audience"),
        ({}, {"issuer": "https://other"}, "issuer", "`issuer`, which is `https://other`"),
    ],
)
def test_a_token_that_does_not_suffice_is_refused(tmp_path, claims, fields, reason, words):
    content = token(now=NOW, **claims)
    seen = inspected(tmp_path, content, now=NOW, **fields)
    assert reasons(seen) == [reason]
    assert words in seen.problems[0].message
    assert seen.problems[0].hint
    shown = repr(seen) + str(seen.problems[0]) + repr(pickle.dumps(seen))
    assert not [part for part in content.decode().split(".") if part in shown]


def test_several_reasons_are_told_together(tmp_path):
    seen = inspected(
        tmp_path, token(scope="x", aud="y"), 0o644, scope="storage.read:/", audience="z", issuer="https://o"
    )
    assert reasons(seen) == ["mode", "scope", "audience", "issuer"]


@pytest.mark.parametrize("audience", ["https://wlcg.cern.ch/jwt/v1/any", "ANY"])
def test_some_tokens_are_for_all_servers(tmp_path, audience):
    assert not inspected(tmp_path, token(aud=[audience]), audience="root://x").problems


def test_a_clock_that_is_a_little_behind_is_a_warning(tmp_path):
    seen = inspected(tmp_path, token(nbf=time.time() + 200))
    assert not seen.problems
    assert "the clocks" in seen.warnings[0]


def test_what_is_no_token_stops_the_search(tmp_path, monkeypatch):
    write(tmp_path / "runtime" / NAME, token())
    assert SciToken().inspect(time.time()).facts.path == tmp_path / "runtime" / NAME
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(write(tmp_path / "bad", b"my-secret-value")))
    seen = SciToken().inspect(time.time())
    assert reasons(seen) == ["unreadable"]
    assert "my-secret-value" not in repr(seen)
    monkeypatch.setenv("BEARER_TOKEN", "my-secret-value")
    seen = SciToken().inspect(time.time())
    assert seen.problems[0].message == "token in BEARER_TOKEN: it is not a JSON Web Token"


def test_missing_tokens_name_the_places(tmp_path, monkeypatch):
    seen = SciToken().inspect(time.time())
    assert reasons(seen) == ["missing"]
    assert f"`{tmp_path / 'runtime' / NAME}`" in seen.problems[0].message
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/nowhere/token")
    seen = SciToken().inspect(time.time())
    assert seen.problems[0].message == "BEARER_TOKEN_FILE is `/nowhere/token`, which does not exist"


def test_a_value_becomes_a_file(tmp_path, monkeypatch):
    content = token()
    monkeypatch.setenv("BEARER_TOKEN", f" {content.decode()}\n")
    assert SciToken().inspect(time.time()).facts.path is None
    SciToken().prepare(SetupFolder(tmp_path / "run"))
    copy = tmp_path / "run" / SECRETS / "token"
    assert copy.read_bytes() == content
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_prepare_says_why_not_without_the_secret(tmp_path):
    content = token(-60)
    with pytest.raises(SiteError, match="expired") as error:
        SciToken(path=str(write(tmp_path / "token", content))).prepare(SetupFolder(tmp_path / "run"))
    assert not [part for part in content.split(b".") if part in pickle.dumps(error.value)]
    assert not (tmp_path / "run").exists()


def test_a_token_from_a_command_is_checked_like_one_in_a_file():
    assert not SciToken().examine(token() + b"\n", time.time()).problems
    assert reasons(SciToken(scope="storage.read:/").examine(token(scope="x"), time.time())) == ["scope"]
    assert reasons(SciToken().examine(b"error: no vault", time.time())) == ["unreadable"]


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o600, True), (0o400, True), (0o644, False), (0o660, False), (None, False)]
)
def test_workers_get_a_path_and_no_proxy_that_breaks_tokens(tmp_path, mode, kept):
    if mode:
        write(tmp_path / "proxy", b"proxy", mode)
    script = "set -eu\n" + "\n".join([*SciToken().worker_setup().worker_init, "env"])
    environ = {
        "PATH": os.environ["PATH"],
        "FASTHEP_PARSL_SECRETS": str(tmp_path),
        "BEARER_TOKEN": "secret",
        "X509_USER_PROXY": str(tmp_path / "proxy"),
        "XrdSecGSICREATEPROXY": "0",
    }
    done = subprocess.run(["/bin/bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["BEARER_TOKEN_FILE"] == str(tmp_path / "token")
    assert "BEARER_TOKEN" not in found
    assert ("X509_USER_PROXY" in found, "XrdSecGSICREATEPROXY" in found) == (kept, kept)


def test_this_process_uses_the_same_token(tmp_path):
    assert SciToken().variables(tmp_path / "t") == {"BEARER_TOKEN_FILE": str(tmp_path / "t"), "BEARER_TOKEN": ""}


def test_it_is_renewed_by_what_is_set_up(tmp_path, monkeypatch):
    assert SciToken(renew="get-token").renewal() == Renewal(("/bin/sh", "-c", "get-token"), prints=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SciToken().renewal() is None
    write(tmp_path / "htgettoken", b"#!/bin/sh\n", 0o755)
    write(tmp_path / "oidc-token", b"#!/bin/sh\n", 0o755)
    assert SciToken().renewal() is None
    monkeypatch.setenv("OIDC_SOCK", "/run/agent")
    assert SciToken().renewal() is None
    assert SciToken(issuer=ISSUER).renewal().shown == f"oidc-token --time=60 {ISSUER}"
    monkeypatch.setenv("HTGETTOKENOPTS", "-a vault")
    assert SciToken().renewal().command[:2] == ("htgettoken", "--nooidc")


@pytest.fixture
def known_key(monkeypatch, tmp_path):
    """The issuer's key is in the cache of scitokens, so no server is asked."""
    KeyCache().getinstance().addkeyinfo(ISSUER, "issuer", key("issuer").public_key(), 3600, 3600)


def test_a_signature_is_verified_with_the_key_of_the_issuer(known_key):
    good = token().decode()
    assert check_signature(good) == ((), ())
    forged = jwt.encode(
        {**jwt.decode(good, options={"verify_signature": False})}, key("thief"), "ES256", {"kid": "issuer"}
    )
    problems, warnings = check_signature(forged)
    assert [problem.cause for problem in problems] == ["signature"]
    assert not warnings
    assert not [part for part in forged.split(".") if part in repr(problems)]
    assert check_signature(token(nbf=time.time() + 200).decode()) == ((), ())


def test_an_issuer_that_cannot_be_asked_is_a_warning(tmp_path):
    content = token(iss="https://127.0.0.1:1")
    assert check_signature(content.decode())[0] == ()
    assert "not verified" in check_signature(content.decode())[1][0]
    path = str(write(tmp_path / "token", content))
    seen = SciToken(path=path, verify=True).inspect(time.time(), network=True)
    assert not seen.problems
    assert "not verified" in seen.warnings[0]
    assert not SciToken(path=path, verify=True).inspect(time.time()).warnings


def test_a_default_proxy_that_breaks_tokens_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("fasthep_parsl.credentials.scitoken.default_proxy", lambda: tmp_path / "x509up")
    monkeypatch.delenv("X509_USER_PROXY", raising=False)
    assert inspected(tmp_path).warnings == ()
    write(tmp_path / "x509up", b"proxy", 0o644)
    (text,) = inspected(tmp_path).warnings
    assert text.endswith(f"also to connect with a token (run `chmod 600 {tmp_path / 'x509up'}`)")
    monkeypatch.setenv("X509_USER_PROXY", "/nowhere")
    assert inspected(tmp_path).warnings == ()


def test_a_token_of_another_session_is_named(tmp_path, monkeypatch):
    other = write(tmp_path / "other", token())
    looked = [(other, "/tmp")]
    real = scitoken.default_places
    monkeypatch.setattr(scitoken, "default_places", lambda environ: real(environ) if environ else looked)
    hint = SciToken().inspect(time.time()).problems[0].hint
    assert hint.endswith(f"because XDG_RUNTIME_DIR is set: set BEARER_TOKEN_FILE={other}")
    other.unlink()
    assert "htgettoken" in SciToken().inspect(time.time()).problems[0].hint
