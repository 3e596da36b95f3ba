"""Credential x509: every reason to refuse a proxy, with what to do; what workers and this process get."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import time

import pytest

from credential_samples import USER, key, pem, proxy, write
from fasthep_parsl.credentials.base import CLOCK_SKEW, EXPIRY_MARGIN
from fasthep_parsl.credentials.x509 import X509
from fasthep_parsl.errors import SiteError
from fasthep_parsl.interfaces import Renewal
from fasthep_parsl.setup_folder import SECRETS, SetupFolder


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No proxy, no certificate and no commands of this machine."""
    for name in ("X509_USER_PROXY", "X509_CERT_DIR", "X509_USER_KEY"):
        monkeypatch.delenv(name, raising=False)
    for module in ("fasthep_parsl.credentials.x509", "fasthep_parsl.credential_files.proxies"):
        monkeypatch.setattr(f"{module}.default_proxy", lambda: tmp_path / "default")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def inspected(tmp_path, content=None, mode=0o600, now=None, **fields):
    path = write(tmp_path / "proxy.pem", proxy(12, vo="cms") if content is None else content, mode)
    return X509(path=str(path), **fields).inspect(time.time() if now is None else now)


def reasons(seen):
    return [problem.cause for problem in seen.problems]


def test_a_good_proxy_has_no_problems(tmp_path):
    seen = inspected(tmp_path, vo="cms", min_lifetime="11h")
    assert (seen.problems, seen.warnings) == ((), ())
    assert (seen.facts.subject, seen.facts.vo, seen.facts.path) == (USER, "cms", tmp_path / "proxy.pem")


@pytest.mark.parametrize("vo", ["cms", "/cms", "/cms/Role=production", "cms:/cms/Role=production", "/cms/Role=NULL"])
def test_the_vo_is_a_name_a_group_or_a_role(tmp_path, vo):
    content = proxy(12, vo="cms", groups=("/cms", "/cms/Role=production"))
    assert not inspected(tmp_path, content, vo=vo).problems


@pytest.mark.parametrize(
    ("content", "fields", "reason", "words"),
    [
        ({"hours": -1, "vo": "cms"}, {}, "expired", "expired 1 h"),
        ({"hours": 12, "user_hours": -1}, {}, "expired", "expired 1 h"),
        ({"hours": 12, "vo": "cms", "vo_hours": -2}, {}, "expired", "the VO attributes of the proxy"),
        ({"hours": 12, "begin": 3}, {}, "not_yet_valid", "is not valid for another 2 h"),
        ({"hours": 3}, {"min_lifetime": "8h"}, "short", "`min_lifetime` is 8 h"),
        ({"hours": 12}, {"vo": "cms"}, "vo", "has no VO attributes, `vo` is `cms`"),
        ({"hours": 12, "vo": "atlas", "groups": ("/atlas",)}, {"vo": "cms"}, "vo", "has /atlas, `vo` is `cms`"),
        ({"hours": 12, "vo": "cms"}, {"vo": "/cms/Role=production"}, "vo", "has /cms"),
    ],
)
def test_a_proxy_that_does_not_suffice_is_refused(tmp_path, content, fields, reason, words):
    seen = inspected(tmp_path, proxy(**content), **fields)
    assert reasons(seen) == [reason]
    assert words in seen.problems[0].message
    assert seen.problems[0].hint
    assert seen.facts is not None


def test_files_that_clients_refuse_are_refused(tmp_path, monkeypatch):
    seen = inspected(tmp_path, mode=0o644)
    assert reasons(seen) == ["mode"]
    assert seen.problems[0].hint == f"run `chmod 600 {tmp_path / 'proxy.pem'}`"
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert reasons(inspected(tmp_path)) == ["owner"]


def test_files_that_are_no_proxy_are_named(tmp_path):
    seen = inspected(tmp_path, b"hello")
    assert reasons(seen) == ["unreadable"]
    assert f"proxy `{tmp_path / 'proxy.pem'}`: it is not a proxy" in seen.problems[0].message
    assert reasons(X509(path=str(tmp_path)).inspect(0)) == ["unreadable"]
    assert reasons(X509(path=str(tmp_path / "no")).inspect(0)) == ["missing"]
    big = write(tmp_path / "big", b"x" * 1_000_001)
    assert reasons(X509(path=str(big)).inspect(0)) == ["unreadable"]


def test_a_clock_that_is_a_little_behind_is_a_warning(tmp_path):
    content = proxy(12)
    begin = X509().read(content).not_before
    early = inspected(tmp_path, content, now=begin - CLOCK_SKEW + 1)
    assert not early.problems
    assert "the clocks" in early.warnings[0]
    assert reasons(inspected(tmp_path, content, now=begin - CLOCK_SKEW - 1)) == ["not_yet_valid"]


def test_the_end_of_its_life_is_exact(tmp_path):
    content = proxy(12)
    end = X509().read(content).expires
    assert not inspected(tmp_path, content, now=end - EXPIRY_MARGIN - 1).problems
    assert reasons(inspected(tmp_path, content, now=end - EXPIRY_MARGIN)) == ["expired"]


def test_it_is_found_where_clients_look(tmp_path, monkeypatch):
    seen = X509().inspect(time.time())
    assert reasons(seen) == ["missing"]
    assert "X509_USER_PROXY is not set" in seen.problems[0].message
    write(tmp_path / "default", proxy(12))
    assert X509().inspect(time.time()).facts.path == tmp_path / "default"
    monkeypatch.setenv("X509_USER_PROXY", "/nowhere/proxy")
    seen = X509(vo="cms").inspect(time.time())
    assert seen.problems[0].message == "X509_USER_PROXY is `/nowhere/proxy`, which does not exist"
    assert seen.problems[0].hint == "run `voms-proxy-init -voms cms`, or unset it"


def test_a_relative_path_begins_at_the_workflow_file(tmp_path):
    assert X509.located({"path": "p.pem", "vo": "cms"}, tmp_path) == {"path": str(tmp_path / "p.pem"), "vo": "cms"}
    assert X509.located({"path": "~/p.pem"}, tmp_path)["path"] == str(tmp_path / "home" / "p.pem")
    assert X509.located({}, tmp_path) == {}


def test_prepare_writes_a_private_copy_or_says_why_not(tmp_path):
    folder = SetupFolder(tmp_path / "run")
    content = proxy(12)
    X509(path=str(write(tmp_path / "p", content))).prepare(folder)
    copy = tmp_path / "run" / SECRETS / "x509"
    assert copy.read_bytes() == content
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(SiteError, match="expired") as error:
        X509(path=str(write(tmp_path / "p", proxy(-1)))).prepare(folder)
    secret = pem(key("proxy")).split(b"\n")[1]
    assert secret in content
    assert secret not in pickle.dumps(error.value)


def test_lines_for_workers_export_paths_and_never_crash_a_client(tmp_path):
    lines = X509(cert_dir=str(tmp_path)).worker_setup().worker_init

    def run(**environ):
        script = "set -eu\n" + "\n".join([*lines, "env"])
        path = {"PATH": os.environ["PATH"], "FASTHEP_PARSL_SECRETS": str(tmp_path)}
        done = subprocess.run(
            ["/bin/bash", "-c", script], env=path | environ, capture_output=True, text=True, check=True
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    without = run(XrdSecGSICREATEPROXY="0")
    assert without["X509_USER_PROXY"] == str(tmp_path / "x509")
    assert "XrdSecGSICREATEPROXY" not in without
    write(tmp_path / "x509", b"proxy")
    good = run(X509_CERT_DIR="/nowhere")
    assert (good["XrdSecGSICREATEPROXY"], good["X509_CERT_DIR"]) == ("0", str(tmp_path))


def test_this_process_uses_the_same_proxy(tmp_path, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path))
    assert X509().variables(tmp_path / "p") == {
        "X509_USER_PROXY": str(tmp_path / "p"),
        "XrdSecGSICREATEPROXY": "0",
        "X509_CERT_DIR": str(tmp_path),
    }


def test_it_is_renewed_by_the_given_command_or_without_a_password(tmp_path, monkeypatch):
    assert X509(renew="kx509 -x").renewal() == Renewal(("/bin/sh", "-c", "kx509 -x"), prints=True)
    assert X509(renew="kx509 -x").renewal().shown == "kx509 -x"
    assert X509().renewal() is None
    write(tmp_path / "voms-proxy-init", b"#!/bin/sh\n", 0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert X509().renewal() is None
    own = write(tmp_path / "key.pem", pem(key("user")))
    monkeypatch.setenv("X509_USER_KEY", str(own))
    expected = (
        "voms-proxy-init",
        "-rfc",
        "-voms",
        "cms:/cms/Role=x",
        "-valid",
        "12:00",
        "-out",
        str(tmp_path / "default"),
    )
    assert X509(vo="/cms/Role=x").renewal().command == expected
    write(own, pem(key("user"), b"password"))
    assert X509().renewal() is None
