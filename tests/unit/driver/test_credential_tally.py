"""Renewals and waits in run.json, also over several sessions of a run."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.driver.credential_tally import CredentialTally
from fasthep_parsl.events import CredentialChanged, RunEnded
from sample_events import run_started


def at(seconds):
    return f"2026-11-29T12:{seconds // 60:02}:{seconds % 60:02}.000Z"


def changed(seconds, state, expires=1795953600.0, name="scitoken"):
    owner = "token of https://issuer (scope storage.read:/)"
    return CredentialChanged(time=at(seconds), credential=name, state=state, expires=expires, owner=owner)


def tally(*events):
    found = CredentialTally()
    for event in events:
        found(event)
    return found.summary()


def test_nothing_is_listed_without_credentials():
    assert tally(run_started(), RunEnded(status="complete", exit_code=0)) == []


def test_renewals_waits_and_ends_of_life_are_counted():
    (found,) = tally(
        changed(0, "valid"),
        changed(10, "renewed", 1795953660.0),
        changed(20, "not_renewed"),
        changed(30, "expired"),
        changed(75, "restored", 0.0),
        RunEnded(time=at(80), status="complete", exit_code=0),
    )
    assert found == {
        "kind": "scitoken",
        "description": "token of https://issuer (scope storage.read:/)",
        "renewed": 2,
        "not_renewed": 1,
        "expiries": ["2026-11-29T12:00:00Z", "2026-11-29T12:01:00Z"],
        "waited": 45.0,
    }
    json.dumps(found)


def test_a_wait_ends_with_the_session_or_is_not_known_if_the_driver_was_killed():
    (found,) = tally(changed(0, "expired"), RunEnded(time=at(5), status="interrupted", exit_code=130))
    assert found["waited"] == 5.0
    (found,) = tally(
        changed(0, "expired"), run_started(time=at(3000)), changed(3010, "expired"), changed(3011, "restored")
    )
    assert found["waited"] == 1.0


def test_a_wait_that_still_goes_on_counts_up_to_now():
    (found,) = tally(CredentialChanged(credential="x509", state="expired", expires=0.0))
    assert found["waited"] == pytest.approx(0.0, abs=30)
