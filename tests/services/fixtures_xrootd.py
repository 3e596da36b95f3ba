"""Pytest fixtures: an authority that issues credentials, and XRootD servers that take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest

from services.fixtures_condor import unavailable

CREDENTIALS = ("X509_USER_PROXY", "X509_CERT_DIR", "BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR")


def _require(module: str, package: str) -> None:
    if find_spec(module) is None:
        unavailable(f"the package {package} is not installed")


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Issues certificates, proxies and tokens; see `services.authority.Authority`."""
    for module, package in (("cryptography", "cryptography"), ("jwt", "PyJWT")):
        _require(module, package)
    from services.authority import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def make_xrootd(authority) -> Iterator[Callable[..., Any]]:
    """Start servers with options of `XRootDServer`; they are stopped at the end of the session."""
    from services.xrootd import XRootDServer, XRootDUnavailableError

    _require("XRootD", "xrootd")
    with ExitStack() as servers:

        def make(**options: Any) -> XRootDServer:
            try:
                return servers.enter_context(XRootDServer(authority, **options))
            except XRootDUnavailableError as error:
                unavailable(str(error))

        yield make


@pytest.fixture(scope="session")
def xrootd_server(make_xrootd):
    """A server shared by all tests, with /protected/small.txt and /vo/small.txt; put files of your own below a new name."""
    server = make_xrootd()
    for folder in ("protected", "vo"):
        (server.data / folder / "small.txt").write_text("it works\n")
    return server


@pytest.fixture
def no_credentials(monkeypatch, tmp_path) -> None:
    """This process and what it starts have no variable of a credential, and find no token of who runs the tests."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # else /tmp/bt_u<uid> would be a token
