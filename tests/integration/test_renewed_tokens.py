"""Runs that are longer than their token, which is renewed on the way: nothing fails, and no worker is started again."""

from __future__ import annotations

import pytest

from integration.protected import UNSHARED
from integration.renewing import WORKERS, assert_undisturbed, start, write_files
from services.links import Link

pytestmark = [pytest.mark.xrootd, pytest.mark.condor, pytest.mark.usefixtures("no_credentials")]

LIFETIME, SECONDS = 30, 45
"""s: the token is renewed every 15 s."""


def test_tokens_are_renewed_in_time(protected_server, authority, counted, tmp_path, hidden_submit, condor_blind):
    """On workers that see the run directory, and at the same time on workers that do not."""
    paths = write_files(protected_server, "renewed", counted, SECONDS)
    folder = hidden_submit / "renewed"
    folder.mkdir()
    with Link(protected_server.port) as link, Link(protected_server.port) as other:
        here, there = ([protected_server.url(path, port=at.port) for path in paths] for at in (link, other))
        runs = [
            start(tmp_path, authority, here, LIFETIME),
            start(folder, authority, there, LIFETIME, "generic_htcondor", env=condor_blind.env, **UNSHARED),
        ]
        for run, at in zip(runs, (link, other), strict=True):
            states = assert_undisturbed(run, len(paths) * 200 * 199 // 2, 200)
            assert states["renewed"] >= 2
            assert "expired" not in states
            assert at.connections >= WORKERS * 2  # a worker connects anew with each token
