"""The keeper: credentials are renewed in time, checked, written at once, and noticed when the user renews them."""

from __future__ import annotations

import stat
import threading
import time
from types import SimpleNamespace

import pytest

from credential_samples import token, write
from fasthep_parsl.credential_files import CredentialFacts, CredentialProblem
from fasthep_parsl.credentials.scitoken import SciToken
from fasthep_parsl.driver import credential_schedule as schedule
from fasthep_parsl.driver.credential_keeper import POLL, POLL_WAITING, CredentialKeeper, keeper
from fasthep_parsl.interfaces import Inspection
from fasthep_parsl.plan import PlanCredential
from fasthep_parsl.setup_folder import SECRETS, SetupFolder


class Bench:
    """A keeper of a token in a file, with a clock that a test moves."""

    def __init__(self, tmp_path, renew=None, lifetime=3600.0, **claims):
        self.tmp_path = tmp_path
        self.late = 0.0
        self.file = tmp_path / "user" / "token"
        self.file.parent.mkdir()
        self.next = tmp_path / "next"
        self.claims = claims
        self.user(lifetime)
        self.credential = SciToken(path=str(self.file), renew=renew and renew.format(next=self.next))
        self.folder = SetupFolder(tmp_path)
        self.credential.prepare(self.folder)
        self.events = []
        self.woken = []
        self.keeper = CredentialKeeper(
            {"scitoken": self.credential}, self.folder, self.events.append, lambda: time.time() + self.late
        )
        self.start, self.keeper.start = self.keeper.start, lambda: None  # `hold` starts the thread, too
        self.keeper.listen(lambda: self.woken.append(self.secret()))
        self.keeper.__enter__()
        self.events.clear()  # of the kind `valid`

    def user(self, lifetime, mode=0o600, **claims):
        """Replace the token, as a user does in another terminal."""
        draft = write(self.file.with_suffix(".new"), token(lifetime, **{**self.claims, **claims}), mode)
        draft.replace(self.file)

    def offer(self, lifetime, **claims):
        """Write what a command may print."""
        write(self.next, token(lifetime, **{**self.claims, **claims}))

    def after(self, seconds):
        """Let time pass, and the keeper look once; return for how long it sleeps then."""
        self.late += seconds
        return self.keeper.step()

    def states(self):
        found = [event.state for event in self.events]
        self.events.clear()
        return found

    def secret(self):
        return (self.tmp_path / SECRETS / "token").read_bytes()


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(*args, **options):
        made.append(Bench(tmp_path, *args, **options))
        return made[-1]

    yield make
    for item in made:
        item.keeper.__exit__(None, None, None)


def test_it_is_renewed_at_half_of_its_life_and_again(bench):
    b = bench("cat {next}")
    b.offer(2 * 3600)
    assert b.after(0) == POLL
    assert b.after(1790) == pytest.approx(10, abs=2)
    assert not b.states()
    b.after(15)
    assert b.states() == ["renewed"]
    assert b.secret().strip() == b.file.read_bytes().strip() == b.next.read_bytes()
    assert stat.S_IMODE(b.file.stat().st_mode) == 0o600
    assert b.woken == [b.secret()]  # workers had the new one before the scheduler was woken
    assert b.keeper.version == 1
    b.offer(3 * 3600)
    b.after(2600)
    assert not b.states()
    b.after(200)
    assert b.states() == ["renewed"]


def test_a_command_that_replaces_the_file_is_fine_too(bench, monkeypatch):
    b = bench('cp {next} {next}.draft && mv {next}.draft "$BEARER_TOKEN_FILE"; test -z "$BEARER_TOKEN"')
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/nowhere/else")  # as `prepared_setups` sets it to the copy of the run
    monkeypatch.setenv("BEARER_TOKEN", "no")
    b.offer(2 * 3600)
    b.after(1805)
    assert b.states() == ["renewed"]
    assert b.secret().strip() == b.next.read_bytes()


def test_a_failed_renewal_is_told_once_and_tried_well_before_the_end(bench):
    b = bench("echo 'kinit: no ticket' >&2; false")
    b.after(1805)
    (event,) = b.events
    assert (event.state, event.message) == ("not_renewed", "echo: kinit: no ticket")
    assert event.advice.startswith("run `echo 'kinit: no ticket'")
    assert 1795 - 300 < b.keeper._kept[0].due - b.keeper._clock() + 1200 < 1795
    tries = 1
    while b.keeper.usable:
        b.after(10)
        tries = max(tries, b.keeper._kept[0].failed)
    assert tries >= 6
    assert b.states() == ["not_renewed"]
    b.after(1000)
    assert b.keeper._kept[0].due <= b.keeper._clock() + schedule.LATEST


def test_without_a_command_the_user_is_told_once_what_to_do(bench):
    b = bench()
    b.after(1805)
    (event,) = b.events
    assert (event.state, event.expires) == ("expiring", pytest.approx(time.time() + 3600, abs=60))
    assert "htgettoken" in event.advice
    for _ in range(100):
        b.after(17)
    assert b.states() == ["expiring"]


def test_what_the_user_renews_is_noticed(bench):
    b = bench()
    b.user(2 * 3600)
    b.after(15)
    assert b.states() == ["renewed"]
    assert b.secret().strip() == b.file.read_bytes()
    b.after(15)
    assert not b.states()
    b.file.touch()  # the same token
    b.after(15)
    assert not b.states()
    b.file.unlink()
    b.after(15)
    b.user(3 * 3600)
    b.after(15)
    assert b.states() == ["renewed"]


@pytest.mark.parametrize(
    ("lifetime", "options", "message"),
    [
        (7200, {"sub": "eve"}, "its subject is eve, and the run began with ada"),
        (7200, {"iss": "https://other"}, "its issuer is https://other"),
        (7200, {"scope": "storage.read:/store"}, "it lacks storage.read:/, which the one before had"),
        (7200, {"aud": "https://one-server"}, "it is not for https://wlcg.cern.ch/jwt/v1/any, which the one before"),
        (7200, {"mode": 0o644}, "has mode 0644"),
        (-5, {}, "expired"),
    ],
)
def test_a_token_that_may_not_replace_the_old_one_is_refused(bench, lifetime, options, message):
    b = bench()
    before = b.secret()
    b.user(lifetime, **options)
    b.after(15)
    b.after(15)
    (event,) = b.events
    assert event.state == "not_renewed"
    assert message in event.message
    assert b.secret() == before
    assert b.keeper.version == 0
    assert b.keeper.usable


def test_a_command_that_prints_the_same_token_again_has_failed(bench):
    b = bench("cat {next}")
    write(b.next, b.file.read_bytes())
    b.after(1805)
    (event,) = b.events
    assert event.message.endswith(schedule.NOT_LONGER)


def test_work_waits_from_the_expiry_until_a_fresh_one_is_there(bench):
    b = bench()
    assert b.keeper.usable
    b.after(3590)
    assert b.keeper.usable
    b.after(10)
    assert not b.keeper.usable
    assert b.states() == ["expiring"]
    for _ in range(3):
        b.keeper.hold()
    assert b.states() == ["expired"]
    assert b.after(0) == POLL_WAITING
    assert not b.woken
    b.user(10800)
    b.after(1)
    assert b.states() == ["restored"]
    assert b.keeper.usable
    assert b.woken == [b.secret()]
    b.after(3600)
    b.events.clear()
    b.keeper.hold()
    assert not b.states()
    b.after(3600)
    b.events.clear()
    b.keeper.hold()
    assert b.states() == ["expired"]


def test_a_refusal_near_the_end_counts_as_expired_and_renews_at_once(bench):
    b = bench("cat {next}")
    assert not b.keeper.suspect()
    b.offer(60)
    b.after(1805)
    b.after(3600 - 1805 - 200)
    assert b.keeper.suspect()
    assert not b.keeper.usable
    b.offer(7200)
    b.after(0)
    assert b.keeper.usable
    assert not b.keeper.suspect()
    assert b.states()[-1] == "renewed"


def test_short_tokens_are_not_always_near_their_end(bench):
    b = bench(lifetime=60)
    assert not b.keeper.suspect()
    b.after(40)
    assert not b.keeper.suspect()
    b.after(8)
    assert b.keeper.suspect()


def test_a_missing_token_is_waited_for(bench, tmp_path):
    b = bench()
    b.file.unlink()
    fresh = CredentialKeeper({"scitoken": b.credential}, b.folder, b.events.append)
    fresh.start = lambda: None
    with fresh:
        assert not fresh.usable
        fresh.hold()
        assert b.states() == ["valid", "expired"]
        b.user(3600)
        fresh.step()
        assert fresh.usable
        assert b.states() == ["restored"]


def test_a_kind_that_fails_is_told_and_the_others_are_kept(bench, monkeypatch):
    b = bench()

    def broken(self):
        raise ValueError("who wrote this?")

    monkeypatch.setattr(SciToken, "renewal", broken)
    b.after(1805)
    assert [event.message for event in b.events] == ["ValueError: who wrote this?"]
    assert b.after(0) > 0
    b.user(7200)
    b.after(15)
    assert b.states()[-1] == "renewed"


@pytest.mark.slow
def test_the_thread_renews_and_ends_at_once_with_a_hanging_command(bench, tmp_path):
    b = bench("touch {next}.began; sleep 1000", lifetime=12)
    b.start()
    b.start()
    began = tmp_path / "next.began"
    deadline = time.monotonic() + 60
    while not began.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert began.exists()
    assert sum(thread.name == "credentials" for thread in threading.enumerate()) == 1
    start = time.monotonic()
    b.keeper.__exit__(None, None, None)
    assert time.monotonic() - start < 20
    assert not [thread for thread in threading.enumerate() if thread.name == "credentials"]
    assert not b.states()


def test_the_thread_notices_a_fresh_token_soon_while_work_waits(bench):
    b = bench()
    woken = threading.Event()
    b.keeper.listen(woken.set)
    b.keeper.start = b.start
    b.late = 3600
    b.keeper.hold()
    b.user(7200)
    assert woken.wait(30)
    assert b.keeper.usable


@pytest.mark.slow
def test_the_thread_sleeps_while_nothing_is_due(bench, monkeypatch):
    b = bench()
    looks = []
    step = b.keeper.step
    monkeypatch.setattr(b.keeper, "step", lambda: looks.append(1) or step())
    b.start()
    time.sleep(2)
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (Inspection(CredentialFacts("token", expires=10.0), (CredentialProblem("short", "short"),)), ""),
        (Inspection(None, (CredentialProblem("missing", "gone"),)), "gone"),
        (Inspection(None), ""),
        (Inspection(CredentialFacts("token")), ""),
    ],
)
def test_what_may_replace_a_credential(new, expected):
    assert schedule.objection(new, CredentialFacts("token", expires=5.0)) == expected


def test_a_credential_without_an_end_is_never_due():
    assert schedule.due(0.0, float("inf")) == float("inf")
    assert not schedule.is_over(0.0, float("inf"))
    assert not schedule.is_near_end(0.0, 0.0, float("inf"))


def test_the_file_of_the_user_is_watched_not_the_copy_of_the_run(tmp_path, monkeypatch):
    """While a run is open, the variables of this process name its copies."""
    own = write(tmp_path / "bt", token())
    monkeypatch.delenv("BEARER_TOKEN", raising=False)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(own))
    plan = SimpleNamespace(credentials=(PlanCredential(kind="scitoken", params={"min_lifetime": "10h"}),))
    kept = keeper(plan, tmp_path, [].append)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / SECRETS / "token"))
    write(own, token(7200))
    kept.step()
    assert (tmp_path / SECRETS / "token").read_bytes() == own.read_bytes()
    assert kept.version == 1


@pytest.mark.parametrize("required", [False, True])
def test_a_credential_that_nobody_needs_is_not_waited_for(tmp_path, required):
    late = [0.0]
    files = {name: write(tmp_path / name, token(lifetime)) for name, lifetime in (("short", 3600), ("long", 36000))}
    kinds = {name: SciToken(path=str(path), required=required) for name, path in files.items()}
    events = []
    kept = CredentialKeeper(kinds, SetupFolder(tmp_path), events.append, lambda: time.time() + late[0])
    kept.start = lambda: None
    late[0] = 4000.0
    assert kept.usable is not required
    assert kept.suspect()  # a server refuses
    assert not kept.usable
    kept.hold()
    assert [(event.credential, event.state) for event in events] == [("short", "expired")]
    write(files["short"], token(7200))
    kept.step()
    assert kept.usable
    late[0] = 40000.0
    assert not kept.usable
