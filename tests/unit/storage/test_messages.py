"""Messages of faults: who was refused, for how long the credential lives, and what to do."""

from __future__ import annotations

import pickle

import pytest

from fasthep_parsl.storage.faults import Fault
from fasthep_parsl.storage.messages import input_error

DENIED = Fault("not_permitted", False, "permission denied [3010]")
REFUSED = Fault("not_authenticated", False, "the server accepts none of the credentials")
URL = "root://host//store/a.root"


@pytest.fixture(autouse=True)
def environment(no_credentials, authority, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))


def test_without_a_credential_a_denial_is_a_missing_credential():
    error = input_error(URL, DENIED)
    assert error.cause == "not_authenticated"
    assert "no credential was found" in error.message
    assert "voms-proxy-init" in str(error.hint)


@pytest.mark.parametrize(
    ("options", "cause", "texts"),
    [
        ({"lifetime": -600}, "not_authenticated", ("expired 10 min", "get a new token")),
        ({"begins": 3600}, "not_authenticated", ("check the clock",)),
        ({"scope": "storage.read:/other"}, "not_permitted", ("storage.read:/other", "covers `/store/a.root`")),
        ({"scope": "storage.read:/sto"}, "not_permitted", ("covers `/store/a.root`",)),
        (
            {"scope": "storage.read:/store", "audience": "https://b.test"},
            "not_permitted",
            ("https://b.test", "min left"),
        ),
    ],
    ids=["expired", "not-yet", "scope", "part-of-a-name", "audience"],
)
def test_tokens(authority, monkeypatch, options, cause, texts):
    path = authority.token_file(**options)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    error = input_error(URL, DENIED)
    assert error.cause == cause
    assert all(text in str(error) for text in (*texts, authority.issuer)), str(error)
    assert path.read_text().strip() not in repr(error)
    assert pickle.loads(pickle.dumps(error)).cause == cause


def test_proxies(authority, monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    error = input_error(URL, DENIED)
    assert (error.cause, "no VO" in str(error), "--voms VO" in str(error)) == ("not_permitted", True, True)
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy(hours=-1)))
    error = input_error(URL, REFUSED)
    assert (error.cause, "expired 1 h" in str(error)) == ("not_authenticated", True)
    assert str(error.hint) == "run `voms-proxy-init`"


def test_a_good_credential_that_nobody_knows(authority, monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    assert "does not know the issuer" in str(input_error(URL, REFUSED))
    monkeypatch.delenv("X509_CERT_DIR")
    assert "set X509_CERT_DIR" in str(input_error(URL, REFUSED))


def test_a_server_that_hangs_up_on_an_expired_certificate(authority, monkeypatch):
    lost = Fault("unreachable", True, "the connection was lost", hung_up=True)
    assert input_error("https://host/a", lost).cause == "unreachable"
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy(hours=-1)))
    assert input_error("https://host/a", lost).cause == "not_authenticated"
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    assert input_error("https://host/a", lost).cause == "unreachable"


@pytest.mark.parametrize("cause", ["not_found", "unreachable", "stalled", "corrupt"])
def test_other_faults_name_no_credential(cause, authority, monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    error = input_error(URL, Fault(cause, False, "what happened"), "reading fails")
    assert (error.cause, error.message) == (cause, "reading fails: what happened")
    assert error.hint
