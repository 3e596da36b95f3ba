"""Variables of this process: paths for the block only, nothing that breaks a client, no token in a variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from credential_samples import proxy, token, write
from fasthep_parsl.credentials.scitoken import SciToken
from fasthep_parsl.credentials.x509 import X509
from fasthep_parsl.driver.credential_variables import PROTOCOL, credential_variables
from fasthep_parsl.setup_folder import SetupFolder

NAMES = (
    "XrdSecPROTOCOL",
    "X509_USER_PROXY",
    "X509_CERT_DIR",
    "XrdSecGSICREATEPROXY",
    "BEARER_TOKEN",
    "BEARER_TOKEN_FILE",
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for module in ("fasthep_parsl.credentials.x509", "fasthep_parsl.credential_files.proxies"):
        monkeypatch.setattr(f"{module}.default_proxy", lambda: tmp_path / "default")


def now():
    return {
        name: os.environ[name]
        for name in NAMES
        if name in os.environ and name not in {"X509_CERT_DIR", "XrdSecPROTOCOL"}
    }


def test_paths_of_the_user_are_set_for_the_block(tmp_path, monkeypatch):
    own, other = write(tmp_path / "own", proxy(12)), write(tmp_path / "other", proxy(12))
    monkeypatch.setenv("X509_USER_PROXY", str(other))
    before = dict(os.environ)

    def fail():
        with credential_variables([X509(path=str(own))]):
            assert now() == {"X509_USER_PROXY": str(own), "XrdSecGSICREATEPROXY": "0"}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert dict(os.environ) == before


def test_a_token_in_a_variable_becomes_a_private_file(monkeypatch):
    value = token()
    monkeypatch.setenv("BEARER_TOKEN", value.decode())
    with credential_variables([SciToken()]):
        path = Path(os.environ["BEARER_TOKEN_FILE"])
        assert "BEARER_TOKEN" not in os.environ
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert path.read_bytes() == value
    assert not path.parent.parent.exists()
    assert set(now()) == {"BEARER_TOKEN"}


def test_prepared_secrets_are_used_in_a_run(tmp_path):
    credential = SciToken(path=str(write(tmp_path / "token", token())))
    credential.prepare(SetupFolder(tmp_path / "run"))
    with credential_variables([credential], tmp_path / "run"):
        assert now() == {"BEARER_TOKEN_FILE": str(tmp_path / "run" / "secrets" / "token")}


@pytest.mark.parametrize("mode", [None, 0o644, 0o660])
def test_a_proxy_that_breaks_tokens_is_not_set(tmp_path, monkeypatch, mode):
    path = tmp_path / "proxy"
    if mode:
        write(path, proxy(12), mode)
    monkeypatch.setenv("X509_USER_PROXY", str(path))
    monkeypatch.setenv("XrdSecGSICREATEPROXY", "0")
    good = SciToken(path=str(write(tmp_path / "token", token())))
    with credential_variables([good]):
        assert now() == {"BEARER_TOKEN_FILE": str(tmp_path / "token")}
    assert now() == {"X509_USER_PROXY": str(path), "XrdSecGSICREATEPROXY": "0"}


def test_without_a_proxy_nothing_asks_the_client_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XrdSecGSICREATEPROXY", "0")
    with credential_variables([]):
        assert now() == {}
    write(tmp_path / "default", proxy(12))
    with credential_variables([]):
        assert now() == {"XrdSecGSICREATEPROXY": "0"}


def test_what_does_not_suffice_is_not_used(tmp_path):
    with credential_variables([X509(path=str(write(tmp_path / "p", proxy(-1)))), SciToken()]):
        assert now() == {}


def test_the_client_uses_only_what_is_listed_unless_the_user_chooses(tmp_path, monkeypatch):
    one = X509(path=str(write(tmp_path / "p", proxy(12))))
    other = SciToken(path=str(write(tmp_path / "t", token())))
    with credential_variables([one]):
        assert os.environ[PROTOCOL] == "gsi,krb5,sss,unix,host"
    with credential_variables([one, other]):
        assert os.environ[PROTOCOL] == "gsi,ztn,krb5,sss,unix,host"
    monkeypatch.setenv("XrdSecPROTOCOL", "ztn")
    with credential_variables([one]):
        assert os.environ[PROTOCOL] == "ztn"
