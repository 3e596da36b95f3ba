"""Proxies and tokens that break clients, against a real server: refused before a file is opened, or they do no harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.xrootd
X509, TOKEN = {"kind": "x509"}, {"kind": "scitoken"}
OPTIONAL = [{**X509, "required": False}, {**TOKEN, "required": False}]


@pytest.fixture(scope="module")
def url(xrootd_server, counted):
    folder = xrootd_server.data / "protected" / "traps"
    folder.mkdir()
    shutil.copyfile(counted, folder / "counted.root")
    (folder / "counted.root").chmod(0o644)
    return xrootd_server.url("protected/traps/counted.root")


@pytest.fixture
def run(tmp_path, url, xrootd_server):
    """Run an analysis of the protected file in one process; return exit code, output, and the file's events."""

    def run(*credentials, backend="local", **environ):
        content = {
            "version": "1.0",
            "data": {"datasets": [{"name": "small", "files": [url]}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {
                "stages": [{"id": "Cut", "op": "hep.selection.cutflow", "params": {"selection": {"all": ["x >= 0"]}}}]
            },
            "execution": {"credentials": list(credentials), "pools": {"default": {"workers": 1}}},
        }
        (tmp_path / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
        variables |= xrootd_server.env | {name: str(value) for name, value in environ.items()}
        command = [sys.executable, "-m", "fasthep_parsl", "run", "flow.yaml", "--backend", backend, "--no-plots"]
        done = subprocess.run(
            [*command, "-o", "run", "--force"], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=200, check=False
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_headers_and_workers_use_the_credential(run, authority, backend):
    known = {**X509, "cert_dir": str(authority.certificates)}
    code, output = run(known, backend=backend, X509_USER_PROXY=authority.proxy(), X509_CERT_DIR="")
    assert code == 0, output
    assert "200" in output


def test_a_proxy_that_does_not_exist_does_not_break_a_token(run, authority):
    trap = {"X509_USER_PROXY": "/nowhere/proxy", "XrdSecGSICREATEPROXY": "0"}
    code, output = run(*OPTIONAL, BEARER_TOKEN_FILE=authority.token_file(), **trap)
    assert code == 0, output
    assert "credential `x509` is not used: X509_USER_PROXY is `/nowhere/proxy`, which does not exist" in output


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_a_proxy_that_others_can_read_does_not_break_a_token(run, authority, backend):
    proxy = authority.proxy()
    proxy.chmod(0o644)
    code, output = run(TOKEN, backend=backend, BEARER_TOKEN_FILE=authority.token_file(), X509_USER_PROXY=proxy)
    assert code == 0, output


def test_a_token_without_the_scope_does_not_hide_a_good_proxy(run, authority):
    wrong = authority.token_file("storage.read:/elsewhere")
    code, output = run(X509, X509_USER_PROXY=authority.proxy(), BEARER_TOKEN_FILE=wrong)
    assert code == 0, output


def test_a_token_with_a_line_break_in_a_variable_is_used(run, authority):
    code, output = run(TOKEN, BEARER_TOKEN=f"{authority.token()}\n")
    assert code == 0, output


def test_the_client_does_not_crash_without_a_proxy(run):
    code, output = run(*OPTIONAL, XrdSecGSICREATEPROXY="0")
    assert code == 2, output
    assert "E135" in output


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"lifetime": -60}, "expired"),
        ({"scope": "storage.read:/elsewhere"}, "does not permit storage.read:/protected"),
        ({"audience": "https://elsewhere"}, "is for https://elsewhere, `audience` is `https://localhost`"),
        ({"mode": 0o644}, "other users may access it"),
        ({"missing": True}, "does not exist"),
    ],
    ids=["expired", "scope", "audience", "mode", "missing"],
)
def test_a_token_that_does_not_suffice_is_refused_before_a_file_is_opened(run, authority, wrong, reason):
    mode, missing = wrong.pop("mode", 0o600), wrong.pop("missing", False)
    path = authority.token_file(**wrong)
    path.chmod(mode)
    if missing:
        path.unlink()
    wanted = {**TOKEN, "scope": "storage.read:/protected", "audience": "https://localhost"}
    code, output = run(wanted, BEARER_TOKEN_FILE=path)
    assert code == 4, output
    assert "E115" in output
    assert reason in output
    assert "nothing was started" in output


def test_vo_attributes_that_have_expired_are_named(run, authority):
    code, output = run({**X509, "vo": "fasthep"}, X509_USER_PROXY=authority.proxy(hours=12, voms_hours=-1))
    assert code == 4, output
    assert "the VO attributes of the proxy" in output
