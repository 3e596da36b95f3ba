"""Credentials that HTCondor itself brings: the run copies nothing, and workers look where HTCondor puts them."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from credential_samples import proxy, write
from fasthep_parsl.credentials.scitoken import SciToken
from fasthep_parsl.credentials.x509 import X509
from fasthep_parsl.interfaces import BlockLocation
from fasthep_parsl.plan import PlanBatchCredential
from fasthep_parsl.setup_folder import SECRETS, SetupFolder
from fasthep_parsl.strategies.htcondor import HTCondor
from services.condor_records import CondorUnavailableError, dry_run
from services.fixtures_condor import unavailable
from strategy_cases import pool


def test_the_run_copies_no_proxy(tmp_path):
    path = write(tmp_path / "proxy", proxy(12))
    credential = X509(path=str(path), carry="batch")
    setup = credential.worker_setup()
    assert (setup.secrets, setup.batch_credentials) == ((), (PlanBatchCredential(kind="x509", name=str(path)),))
    assert not any(SECRETS.upper() in line for line in setup.worker_init)
    credential.prepare(SetupFolder(tmp_path / "run"))
    assert not (tmp_path / "run" / SECRETS).exists()


def test_workers_find_tokens_where_htcondor_puts_them():
    setup = SciToken(carry="batch", oauth_service="cms").worker_setup()
    assert (setup.secrets, setup.batch_credentials) == ((), (PlanBatchCredential(kind="oauth", name="cms"),))
    assert 'export BEARER_TOKEN_FILE="$_CONDOR_CREDS/cms.use"' in setup.worker_init


def test_htcondor_needs_the_name_of_the_service():
    with pytest.raises(ValidationError, match="needs the service that HTCondor gets tokens from"):
        SciToken(carry="batch")


@pytest.mark.condor
def test_condor_submit_accepts_the_proxy(tmp_path):
    path = write(tmp_path / "proxy", proxy(12))
    asked = pool().model_copy(
        update={"batch_credentials": X509(path=str(path), carry="batch").worker_setup().batch_credentials}
    )
    try:
        found = dry_run(HTCondor().script(asked, BlockLocation(str(tmp_path), "x", 1)).text, tmp_path)
    except CondorUnavailableError as error:
        unavailable(str(error))
        raise
    assert not found.problems
    assert found.value("x509userproxy") == f'"{path}"'


def test_a_token_that_htcondor_gets_later_is_no_reason_to_refuse_a_run(tmp_path, monkeypatch):
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    absent = {"path": str(tmp_path / "absent")}
    seen = SciToken(carry="batch", oauth_service="cms", **absent).inspect(time.time())
    assert (seen.facts, seen.problems) == (None, ())
    assert "the batch system gets the token for the jobs" in seen.warnings[0]
    SciToken(carry="batch", oauth_service="cms", **absent).prepare(SetupFolder(tmp_path / "run"))
    assert not (tmp_path / "run" / SECRETS).exists()
    assert SciToken(**absent).inspect(time.time()).problems
    assert X509(carry="batch", **absent).inspect(time.time()).problems
