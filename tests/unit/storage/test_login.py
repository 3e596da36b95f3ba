"""The credentials of a process: found as clients do, seen when they change, variables that would break clients corrected."""

from __future__ import annotations

import pytest

from fasthep_parsl.storage import login
from fasthep_parsl.storage.login import Logins


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """No credential of the user who runs the tests is found."""
    monkeypatch.setattr(login, "_DEFAULT_PROXY", str(tmp_path / "default-proxy"))
    monkeypatch.setattr(login, "AUTHORITY_FOLDERS", ())


@pytest.fixture
def variables(tmp_path):
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def secret(path, content, mode=0o600):
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def test_without_credentials_connections_have_no_tag(variables):
    assert Logins(variables).current() == login.Login()


def test_the_order_is_that_of_wlcg(variables, tmp_path):
    import os

    logins = Logins(variables)
    secret(tmp_path / f"bt_u{os.geteuid()}", "runtime")
    assert logins.current().token == "runtime"
    variables["BEARER_TOKEN_FILE"] = secret(tmp_path / "empty", " \n")
    assert logins.current().token == "runtime"
    variables["BEARER_TOKEN_FILE"] = secret(tmp_path / "file", "\tfile\r\n")
    assert logins.current().token == "file"
    variables["BEARER_TOKEN"] = "value\n"
    assert logins.current().token == "value"


def test_a_new_token_or_proxy_has_another_tag(variables, tmp_path):
    logins = Logins(variables)
    variables["BEARER_TOKEN_FILE"] = secret(tmp_path / "token", "one")
    first = logins.current()
    assert logins.current() is first
    secret(tmp_path / "new", "two")
    (tmp_path / "new").replace(tmp_path / "token")
    second = logins.current()
    variables["X509_USER_PROXY"] = secret(tmp_path / "proxy", "proxy")
    third = logins.current()
    assert len({first.tag, second.tag, third.tag}) == 3
    assert all(len(found.tag) == 8 and found.tag.isalnum() for found in (first, second, third))
    assert third.proxy == variables["X509_USER_PROXY"]


def test_secrets_are_not_shown(variables):
    variables["BEARER_TOKEN"] = "canary"
    assert "canary" not in repr(Logins(variables).current())


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640])
def test_files_that_others_can_read_are_not_used(variables, tmp_path, mode):
    variables["BEARER_TOKEN_FILE"] = secret(tmp_path / "token", "one", mode)
    variables["X509_USER_PROXY"] = secret(tmp_path / "proxy", "proxy", mode)
    assert Logins(variables).current() == login.Login()


def test_a_bad_proxy_does_not_break_tokens_and_returns_when_it_is_good(variables, tmp_path):
    logins = Logins(variables)
    proxy = tmp_path / "proxy"
    variables["BEARER_TOKEN_FILE"] = secret(tmp_path / "token", "one")
    variables["X509_USER_PROXY"] = str(proxy)
    assert logins.current().token == "one"
    assert "X509_USER_PROXY" not in variables
    secret(proxy, "proxy")
    assert logins.current().proxy == str(proxy)
    assert variables["X509_USER_PROXY"] == str(proxy)


def test_a_bad_proxy_stays_where_there_is_no_token(variables, tmp_path):
    variables["X509_USER_PROXY"] = str(tmp_path / "none")
    Logins(variables).current()
    assert variables["X509_USER_PROXY"] == str(tmp_path / "none")


def test_the_client_is_not_told_to_create_a_proxy_from_nothing(variables, tmp_path):
    variables["XrdSecGSICREATEPROXY"] = "0"
    logins = Logins(variables)
    logins.current()
    assert "XrdSecGSICREATEPROXY" not in variables
    variables |= {"X509_USER_PROXY": secret(tmp_path / "proxy", "proxy"), "XrdSecGSICREATEPROXY": "0"}
    logins.current()
    assert variables["XrdSecGSICREATEPROXY"] == "0"
