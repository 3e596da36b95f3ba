"""Renewal without the user: the right command, which asks nothing, leaves nothing and says no secret."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from credential_samples import ISSUER, key, pem, token, write
from fasthep_parsl.credential_files import CredentialFacts
from fasthep_parsl.credentials.renewal import attempt, last_line, proxy_renewal, replace_file, token_renewal
from fasthep_parsl.interfaces import Renewal

NOW = 1_800_000_000.0
TOKEN = CredentialFacts(
    "token",
    Path("/run/bt_u1"),
    issuer=ISSUER,
    scopes=("storage.read:/", "openid"),
    audience=("https://a",),
    expires=NOW + 100,
)
PROXY = CredentialFacts("x509", Path("/tmp/x509up_u1"), vo="cms", scopes=("/cms",), expires=NOW + 3600)


def installed(*names):
    return lambda name: f"/bin/{name}" if name in names else None


def line(text, **facts):
    return Renewal(("/bin/sh", "-c", text), **facts)


def never():
    return False


@pytest.mark.parametrize(
    ("environ", "programs", "expected"),
    [
        ({}, ("htgettoken", "oidc-token"), None),
        ({"HTGETTOKENOPTS": "-a vault.x -i dune"}, (), None),
        ({"HTGETTOKENOPTS": "--nokerberos"}, ("htgettoken",), None),
        (
            {"HTGETTOKENOPTS": "-a vault.x -i dune"},
            ("htgettoken",),
            "htgettoken --nooidc --minsecs=160 --outfile /run/bt_u1",
        ),
        ({"HTGETTOKENOPTS": "--vaultserver=vault.x"}, ("htgettoken",), "htgettoken --nooidc --minsecs=160 --outfile /run/bt_u1"),
        ({"OIDC_SOCK": "/run/agent"}, (), None),
        (
            {"OIDC_SOCK": "/run/agent"},
            ("oidc-token",),
            f"oidc-token --time=160 '--scope=storage.read:/ openid' --aud=https://a {ISSUER}",
        ),
        (
            {"OIDC_SOCK": "/run/agent", "OIDC_AGENT_ACCOUNT": "mine"},
            ("oidc-token",),
            "oidc-token --time=160 '--scope=storage.read:/ openid' --aud=https://a mine",
        ),
    ],
)  # fmt: skip
def test_a_token_is_renewed_by_what_is_set_up(environ, programs, expected):
    found = token_renewal(TOKEN, environ, installed(*programs), NOW)
    assert (found.shown if found else None) == expected


@pytest.mark.parametrize(
    ("facts", "vo", "expected"),
    [
        (PROXY, "", "-voms cms -valid 12:00"),
        (PROXY, "atlas", "-voms atlas -valid 12:00"),
        (CredentialFacts("x509", PROXY.path, expires=NOW + 20 * 3600), "", "-valid 40:00"),
        (
            CredentialFacts("x509", PROXY.path, vo="cms", scopes=("/cms/Role=production", "/cms"), expires=NOW),
            "",
            "-voms cms:/cms/Role=production -valid 12:00",
        ),
        (None, "", "-valid 12:00"),
    ],
)
def test_a_proxy_is_renewed_with_its_vo_and_a_longer_life(tmp_path, facts, vo, expected):
    environ = {"X509_USER_KEY": str(write(tmp_path / "key.pem", pem(key("user"))))}
    found = proxy_renewal(facts, PROXY.path, vo, environ, installed("voms-proxy-init"), NOW)
    assert found.shown == f"voms-proxy-init -rfc {expected} -out /tmp/x509up_u1"
    assert proxy_renewal(facts, PROXY.path, vo, environ, installed(), NOW) is None


def test_a_key_with_a_password_cannot_be_used(tmp_path):
    (tmp_path / ".globus").mkdir()
    write(tmp_path / ".globus" / "userkey.pem", pem(key("user"), b"password"))
    assert proxy_renewal(PROXY, PROXY.path, "", {"HOME": str(tmp_path)}, installed("voms-proxy-init"), NOW) is None


def test_the_command_has_no_input_no_terminal_and_the_given_variables():
    say = 'test -t 0 || printf "no terminal "; cat; (: </dev/tty) 2>/dev/null || printf "$MINE"'
    done = attempt(line(say), {"PATH": os.environ["PATH"], "MINE": "good"}, never)
    assert (done.output, done.error) == (b"no terminal good", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("/nowhere/get-token",), "/nowhere/get-token: No such file or directory"),
        (("/bin/sh", "-c", "get() { echo first >&2; echo 'no ticket' >&2; exit 3; }; get"), "no ticket"),
        (("/bin/sh", "-c", "false"), "false: exit status 1"),
        (("/bin/sh", "-c", "yes"), "it prints more than 1,000,000 bytes"),
        (("/bin/sh", "-c", "sleep 60"), "sleep: no end after 1 s"),
    ],
)
def test_a_command_that_fails_says_why(command, expected):
    done = attempt(Renewal(command), os.environ, never, timeout=1.0)
    assert expected in done.error
    assert done.output == b""


def test_a_command_is_ended_with_its_children(tmp_path):
    pid = tmp_path / "pid"
    asked = []

    def stopped():
        asked.append(1)
        return pid.exists()

    done = attempt(line(f"(echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 1000; true); true"), os.environ, stopped)
    assert done.error.endswith("stopped")
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_child_that_keeps_the_output_open_does_not_matter():
    began = time.monotonic()
    assert attempt(line("echo token; sleep 1000 & true"), os.environ, never).output == b"token\n"
    assert time.monotonic() - began < 60


def test_no_secret_is_in_the_message_or_the_repr():
    secret = token().decode()
    vault = "hvs.CAESIJ3Xfake9fakefakefakefakefake"
    said = last_line(f"server said\nrefused {secret} with {vault} and {'QUJD' * 20}\n\n".encode())
    assert said == "refused … with … and …"
    done = attempt(line(f"echo {secret}; echo {secret} >&2; exit 1"), os.environ, never)
    assert secret not in done.error
    good = attempt(line(f"echo {secret}"), os.environ, never)
    assert good.output.decode().strip() == secret
    assert secret not in repr(good)


def test_a_file_is_replaced_at_once_behind_its_link(tmp_path):
    real = write(tmp_path / "real", b"old", 0o644)
    (tmp_path / "link").symlink_to(real)
    replace_file(tmp_path / "link", b"new \n")
    assert (tmp_path / "link").is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (b"new\n", 0o600)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link", "real"]
