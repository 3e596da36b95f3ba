"""Settings of users that break clients of XRootD, all at once, beside a good token; and certificates that nobody names."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.canaries import canaries, in_processes
from integration.protected import User, assert_same, start, urls

pytestmark = [pytest.mark.xrootd, pytest.mark.usefixtures("no_credentials")]


def run_with(authority, server, data, folder, schemes=("root",) * 4, **env):
    """Start a run of a user with a token and these variables; only the site knows where the certificates are."""
    credential = {"kind": "scitoken", "cert_dir": str(authority.certificates)}
    user = User("trap", (credential,), {name: str(value) for name, value in env.items()}, schemes=schemes)
    return start(folder, urls(server, "protected/demo", data, schemes), user)


def test_a_token_in_a_variable_beside_a_missing_proxy(authority, protected_server, demo_data, tmp_path, dimuon_results):
    """The token ends with a line break. The client would crash (XrdSecGSICREATEPROXY), or never try the token."""
    token = authority.token_file()
    run = run_with(
        authority, protected_server, demo_data, tmp_path,
        BEARER_TOKEN=token.read_text(), X509_USER_PROXY="/nonexistent/proxy", XrdSecGSICREATEPROXY=0,
    )  # fmt: skip
    run.wait_for_results()
    leaks = in_processes(canaries(token))
    assert all(f"({run.process.pid})" in place for place in leaks), leaks  # the variable is the user's own
    assert_same(run, dimuon_results)


@pytest.mark.skipif(
    Path("/etc/grid-security/certificates").exists(), reason="this machine has certificates of the grid"
)
def test_certificates_that_nobody_names_are_missed_by_name(authority, protected_server, demo_data, tmp_path):
    """The message says what is not set, instead of the client's "no protocols left"."""
    env = {"BEARER_TOKEN_FILE": str(authority.token_file())}
    user = User("trap", ({"kind": "scitoken"},), env)
    run = start(tmp_path, urls(protected_server, "protected/demo", demo_data, user.schemes), user)
    code, output, _ = run.end(120)
    assert code in {2, 4}, output
    assert "X509_CERT_DIR" in output
    assert not run.events("submitted")
