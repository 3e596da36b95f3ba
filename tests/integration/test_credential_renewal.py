"""Tokens that expire while a run reads from a real XRootD server: renewed on the way, or waited for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fasthep_parsl.driver.credential_gate import MAX_REFUSED
from integration.runs import Driver, Records

HERE = Path(__file__).parent
FILES, EVENTS = 20, 400
LIFETIME = 16  # s; a credential needs more than 10 s to be used at all
pytestmark = pytest.mark.usefixtures("no_credentials")


@pytest.fixture(scope="module")
def protected(xrootd_server, tmp_path_factory):
    """URLs of files with 20 events each: x = 0 … 399. A run has a partition for each event."""
    import uproot

    folder = tmp_path_factory.mktemp("protected") / "renewal"
    folder.mkdir()
    for number in range(FILES):
        with uproot.recreate(folder / f"{number:02}.root") as file:
            tree = file.mktree("Events", {"x": np.dtype("int64")})
            for x in range(number, EVENTS, FILES):
                tree.extend({"x": np.array([x])})
    path = xrootd_server.put(folder, "protected/renewal")
    return [xrootd_server.url(f"{path}/{number:02}.root") for number in range(FILES)]


class Protected:
    """A workflow over protected files, as its user starts it.

    Parameters
    ----------
    folder : Path
        Where everything goes.
    urls : list of str
        The files.
    authority : Authority
        Issues the tokens.
    renew : str, optional
        A command that prints a fresh token.
    seconds : float
        Time for a partition, until `quick` exists.
    """

    def __init__(self, folder, urls, authority, renew=None, seconds=0.2):
        self.folder, self.authority = folder, authority
        self.token = folder / "token"
        self.quick = folder / "quick"
        self.env = {**os.environ, **authority_env(authority), "BEARER_TOKEN_FILE": str(self.token)}
        shutil.copyfile(HERE / "renewal_ops.py", folder / "renewal_ops.py")
        params = {"seconds": seconds, "unless": str(self.quick)}
        credential = {"kind": "scitoken", **({"renew": renew} if renew else {})}
        content = {
            "version": "1.0",
            "use": {"modules": ["renewal_ops.py"]},
            "data": {"datasets": [{"name": "far", "files": urls}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": [{"id": "Read", "op": "renewal.read", "needs": [], "params": params}]},
            "execution": {"pools": {"default": {"workers": 2}}, "credentials": [credential]},
        }
        self.flow = folder / "flow.yaml"
        self.flow.write_text(json.dumps(content))  # JSON is YAML
        self.issue(3600)
        self.start = self._time_to_plan()

    def issue(self, lifetime):
        """Replace the token, as `htgettoken` does."""
        draft = self.authority.token_file(lifetime=lifetime, path=self.token.with_suffix(".new"))
        self.expires = time.time() + lifetime
        draft.replace(self.token)

    def expire(self, run):
        """Wait until the token has expired and no task runs; tasks that run then end soon."""
        run.wait_until(lambda: time.time() > self.expires)
        self.quick.touch()
        run.wait_until(lambda: states(run)[-1:] == ["expired"] and not _open(run))
        self.quick.unlink()

    def _time_to_plan(self):
        """Return how long this machine takes for a plan, with the headers of all files, in seconds."""
        began = time.monotonic()
        command = [sys.executable, "-m", "fasthep_parsl", "plan", str(self.flow)]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return time.monotonic() - began

    def run(self, lifetime, *arguments):
        self.issue(lifetime)
        return Driver(self.flow, *arguments, env=self.env)


def authority_env(authority):
    return {"X509_CERT_DIR": str(authority.certificates)}


def states(run):
    return [event["state"] for event in run.events("credential")]


def rows(run):
    return json.loads((run.run_dir / "results" / "Read" / "read.json").read_text())


def check(run):
    """Every event was read once, by the workers that began, and nothing failed."""
    summary = run.summary()
    assert summary["status"] == "complete"
    assert summary["partitions"] == {"total": EVENTS, "done": EVENTS, "failed": 0, "missing": 0}
    assert sorted(x for x, _ in rows(run)) == list(range(EVENTS))
    assert not run.events("failed")
    assert not run.events("lost")
    assert len({event["pid"] for event in run.events("finished")}) <= 2
    assert not (run.run_dir / "secrets").exists()
    return summary


def test_a_token_is_renewed_on_the_way(tmp_path, protected, authority):
    case = Protected(tmp_path, protected, authority, authority.tokens.command(lifetime=LIFETIME))
    run = case.run(LIFETIME + 3 * case.start)
    run.wait_until(lambda: states(run).count("renewed") >= 2)
    done = len(run.events("finished"))
    run.wait_until(lambda: len(run.events("finished")) > done + 2)
    case.quick.touch()
    code, output, _ = run.end()
    assert code == 0, output
    summary = check(run)
    (found,) = summary["credentials"]
    assert found["kind"] == "scitoken"
    assert found["renewed"] >= 2
    assert len(found["expiries"]) == found["renewed"] + 1
    assert found["waited"] == 0
    assert found["description"] == f"token of {authority.issuer} (scope storage.read:/)"
    assert len({token for _, token in rows(run)}) >= 2  # workers have read the new one
    assert "credential scitoken: renewed, valid until " in output
    assert set(states(run)) == {"valid", "renewed"}


def test_work_waits_for_a_token_that_the_user_renews(tmp_path, protected, authority):
    """The run is interrupted while it waits, and resumed; then it waits again."""
    case = Protected(tmp_path, protected, authority, seconds=0.5)
    run = case.run(LIFETIME + 2 * case.start)
    case.expire(run)
    run.signal(signal.SIGINT)
    code, output, seconds = run.end()
    assert code == 130, output
    assert seconds < 60
    assert "credential scitoken has expired, new work waits: get a new token" in output
    summary = run.summary()
    assert summary["partitions"]["failed"] == 0
    assert summary["partitions"]["missing"] > 0
    assert summary["credentials"][0]["waited"] > 0

    again = case.run(LIFETIME + 2 * case.start, "--resume")
    case.expire(again)
    assert states(again).count("expired") == 2
    case.quick.touch()
    case.issue(3600)
    code, output, _ = again.end()
    assert code == 0, output
    assert "credential scitoken: renewed, valid until" in output
    assert ", the run continues" in output
    summary = again.summary()
    assert summary["partitions"] == {"total": EVENTS, "done": EVENTS, "failed": 0, "missing": 0}
    assert sorted(x for x, _ in rows(again)) == list(range(EVENTS))
    assert states(again)[-1] == "restored"
    assert summary["credentials"][0]["renewed"] == 1
    assert summary["credentials"][0]["waited"] > 0
    assert not again.events("failed")


def _open(run):
    """Return the tasks that run."""
    events = run.events()
    last = max(number for number, event in enumerate(events) if event["kind"] == "run")
    ended = {event["task"] for event in events[last:] if event["kind"] in ("finished", "lost")}
    return {event["task"] for event in events[last:] if event["kind"] == "submitted"} - ended


PLANNED_BEFORE = """
import sys
import fasthep_parsl as fp
flow, bad, token = sys.argv[1:]
plan = fp.compile_plan(flow, chunk_size=1)
import os
os.replace(bad, token)
outcome = fp.run(plan, outdir="run", plots=False, check=False)
print(outcome.status, outcome.error)
"""


def test_a_token_that_the_server_refuses_ends_a_run_soon_and_says_why(tmp_path, protected, authority):
    """Nothing is wrong with it here. It was replaced after the headers were read."""
    case = Protected(tmp_path, protected, authority)
    case.quick.touch()
    bad = authority.token_file("storage.read:/elsewhere", path=tmp_path / "bad")
    command = [sys.executable, "-c", PLANNED_BEFORE, str(case.flow), str(bad), str(case.token)]
    done = subprocess.run(command, env=case.env, cwd=tmp_path, capture_output=True, text=True, check=False)
    run = Records(tmp_path / "run")
    assert done.stdout.startswith("failed reading: "), done.stdout + done.stderr
    assert "scope storage.read:/elsewhere" in done.stdout
    summary = run.summary()
    assert summary["failures"][0]["kind"] == "data"
    assert all(failure["kind"] == "data" for failure in summary["failures"])
    (blocked,) = summary["blocked"].values()
    assert blocked.startswith("servers refuse the credentials of this run: root://localhost")
    tries = Counter(p for event in run.events("submitted") for span in event["partitions"] for p in range(*span))
    assert max(tries.values()) == MAX_REFUSED
    assert summary["partitions"]["missing"] == EVENTS
