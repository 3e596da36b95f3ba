"""Proxies: what a chain states, its VO attributes, and what is no proxy."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credential_samples import USER, attributes, certificate, key, pem, proxy
from fasthep_parsl.credential_files import CredentialFileError
from fasthep_parsl.credential_files.proxies import find_proxy, read_proxy
from fasthep_parsl.credential_files.voms import read_attributes


def hours(facts):
    return (facts.expires - time.time()) / 3600


def test_a_proxy_states_its_user_and_its_end():
    facts = read_proxy(proxy(12))
    assert (facts.kind, facts.subject, facts.issuer, facts.vo) == ("x509", USER, "/DC=test/CN=Authority", "")
    assert hours(facts) == pytest.approx(12, abs=0.02)
    assert facts.describe(facts.expires - 3 * 3600 - 720) == f"proxy of {USER} (no VO), 3 h 12 min left"


def test_its_end_is_the_earliest_of_the_chain():
    assert hours(read_proxy(proxy(12, user_hours=2))) == pytest.approx(2, abs=0.02)
    assert hours(read_proxy(proxy(1, user_hours=2))) == pytest.approx(1, abs=0.02)


def test_its_end_is_that_of_the_vo_attributes_if_they_end_first():
    facts = read_proxy(proxy(12, vo="cms", groups=("/cms", "/cms/Role=production"), vo_hours=-1))
    assert (facts.vo, facts.scopes) == ("cms", ("/cms", "/cms/Role=production"))
    assert hours(facts) == pytest.approx(-1, abs=0.02)
    assert facts.vo_expires == facts.expires


def test_a_proxy_before_rfc_3820_is_of_its_user():
    old = certificate(f"{USER}/CN=proxy", USER, "proxy", "user", 1)
    chain = old + pem(key("proxy")) + certificate(USER, "/CN=A", "user", "authority", 9)
    assert read_proxy(chain).subject == USER


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no certificate"),
        (b"hello", "has no certificate"),
        (certificate(USER, USER, "user", "user", 1), "has no private key"),
        (certificate(USER, USER, "user", "user", 1) + pem(key("user"), b"password"), "has a password"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + pem(key("user")), "cannot be read"),
    ],
)
def test_what_is_no_proxy_is_refused(content, message):
    with pytest.raises(CredentialFileError, match=message) as error:
        read_proxy(content)
    assert error.value.problem.cause == "unreadable"


def test_a_broken_extension_is_no_crash():
    with pytest.raises(CredentialFileError, match="cannot be read"):
        read_proxy(proxy(12, vo="cms", groups=()).replace(b"MII", b"MIJ"))


@given(st.binary(max_size=200))
def test_any_bytes_as_attributes_are_read_or_refused(content):
    with contextlib.suppress(ValueError):
        assert isinstance(read_attributes(content), tuple)


@given(st.integers(0, 400), st.integers(0, 255))
def test_changed_attributes_are_read_or_refused(place, byte):
    content = bytearray(attributes("cms", ("/cms",), 1))
    content[place % len(content)] = byte
    with contextlib.suppress(ValueError):
        read_attributes(bytes(content))


def test_the_variable_comes_first_also_if_it_points_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr("fasthep_parsl.credential_files.proxies.default_proxy", lambda: tmp_path / "default")
    assert find_proxy({}) is None
    (tmp_path / "default").touch()
    assert find_proxy({}) == find_proxy({"X509_USER_PROXY": " "}) == tmp_path / "default"
    assert find_proxy({"X509_USER_PROXY": "/nowhere"}) == Path("/nowhere")


def test_the_default_is_that_of_all_clients():
    from fasthep_parsl.credential_files.proxies import default_proxy

    assert str(default_proxy()) == f"/tmp/x509up_u{os.getuid()}"


def test_facts_have_no_secret():
    content = proxy(12)
    secret = pem(key("proxy")).split(b"\n")[1].decode()
    facts = read_proxy(content)
    assert secret in content.decode()
    assert secret not in repr(facts) + str(facts) + repr(pickle.dumps(facts))
