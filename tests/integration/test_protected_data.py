"""The shipped analysis over protected data: each credential, on each strategy; who may not read is told so at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.protected import UNSHARED, User, assert_same, start, urls, users
from services.fixtures_slurm import used

pytestmark = [pytest.mark.xrootd, pytest.mark.usefixtures("no_credentials")]

QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"}}


def files_for(server, user: User, data: Path):
    return urls(server, f"{user.folder}/demo", data, user.schemes)


# ------------------------------------------------------------------------------------------------ strategies


@pytest.mark.parametrize("name", ["proxy", "voms", "wlcg", "scitokens"])
def test_local_workers(protected_server, authority, demo_data, dimuon_results, tmp_path, name):
    """With URLs of all schemes that the credential opens."""
    user = users(authority)[name]
    assert_same(start(tmp_path, files_for(protected_server, user, demo_data), user), dimuon_results)


def both(server, authority, data, folder, site, batch, **keys):
    """Run with a proxy and with a token at the same time."""
    chosen = users(authority)
    return [
        start(folder / name, files_for(server, chosen[name], data), chosen[name], site, env=batch.env, **keys)
        for name in ("proxy", "wlcg")
    ]


@pytest.mark.slurm
def test_slurm(protected_server, authority, demo_data, dimuon_results, tmp_path, make_slurm):
    with used(make_slurm()) as cluster:
        for run in both(protected_server, authority, demo_data, tmp_path, "generic_slurm", cluster, queues=QUEUES):
            assert_same(run, dimuon_results)


@pytest.mark.condor
def test_htcondor(protected_server, authority, demo_data, dimuon_results, tmp_path, condor):
    for run in both(protected_server, authority, demo_data, tmp_path, "generic_htcondor", condor, queues=QUEUES):
        assert_same(run, dimuon_results)


@pytest.mark.condor
def test_htcondor_without_shared_folders(
    protected_server, authority, demo_data, dimuon_results, hidden_submit, condor_blind
):
    for run in both(
        protected_server, authority, demo_data, hidden_submit / "both", "generic_htcondor", condor_blind, **UNSHARED
    ):
        assert_same(run, dimuon_results)


# ------------------------------------------------------------------------------------------------ refusals

REFUSALS = {
    "expired-proxy": ("x509", lambda a: a.proxy(hours=-1), {}, "expired"),
    "no-attributes": ("x509", lambda a: a.proxy(), {"vo": "fasthep"}, "has no VO attributes"),
    "short-proxy": ("x509", lambda a: a.proxy(hours=1), {"min_lifetime": "2h"}, "min_lifetime"),
    "readable-proxy": ("x509", lambda a: readable(a.proxy()), {}, "chmod"),
    "missing-proxy": ("x509", lambda a: Path("/nonexistent/proxy"), {}, "/nonexistent/proxy"),
    "expired-token": ("scitoken", lambda a: a.token_file(lifetime=-60), {}, "expired"),
    "wrong-issuer": ("scitoken", lambda a: a.token_file(), {"issuer": "https://b.test"}, "https://b.test"),
}  # fmt: skip
"""Kind, file, fields of the credential, part of the message. More are in `test_credential_traps.py`."""


def readable(path: Path) -> Path:
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_before_anything_starts(protected_server, authority, demo_data, tmp_path, name):
    kind, make, fields, reason = REFUSALS[name]
    variable = {"x509": "X509_USER_PROXY", "scitoken": "BEARER_TOKEN_FILE"}[kind]
    user = User(name, ({"kind": kind, **fields},), {variable: str(make(authority)), **authority.env})
    run = start(tmp_path, files_for(protected_server, user, demo_data), user)
    code, output, _ = run.end(60)
    assert code == 4, output
    text = " ".join(output.split())
    assert reason in text
    assert "local_tests.yaml" in text  # its place
    assert "Traceback" not in output
    assert not run.events("submitted")
    assert not run.events("block")
