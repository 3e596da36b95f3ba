"""Files and secrets of worker setups on every kind of block: tasks read them, and no secret is left anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import probe_setups
from integration.cluster_runs import ClusterRun, write_site
from integration.runs import Driver
from services.fixtures_condor import used

HERE = Path(__file__).parent
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "6GB"}, "walltime": "1d"}}


@pytest.fixture
def token(tmp_path):
    """A secret of the user, nowhere else in the world."""
    path = tmp_path / "home" / "token"
    path.parent.mkdir()
    path.write_text(secrets.token_hex(24))
    path.chmod(0o600)
    return path


@pytest.fixture
def env(tmp_path):
    return {"PYTHONPATH": str(probe_setups.install(tmp_path / "plugin"))}


def write_workflow(folder, data, token, **execution):
    """Write a workflow with a probe environment and a probe credential into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "setup_ops.py", folder / "setup_ops.py")
    shutil.copyfile(HERE / "fault_ops.py", folder / "fault_ops.py")
    content = {
        "version": "1.0",
        "use": {"modules": ["setup_ops.py", "fault_ops.py"]},
        "data": {"datasets": [{"name": "small", "files": [str(data)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [
            {"id": "Seen", "op": "setup.seen", "needs": []},
            {"id": "Sleep", "op": "fault.sleep", "needs": [], "params": {"seconds": execution.pop("seconds", 0)}},
        ]},
        "execution": {
            "pools": {"default": {"workers": 2}},
            "environment": "probe",
            "credentials": [{"kind": "probe", "path": str(token)}],
            **execution,
        },
    }  # fmt: skip
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "flow.yaml"


def check(run, token, *, seconds=150.0):
    """Wait for the end; return what tasks have found, and make sure that the secret is nowhere any more."""
    code, output, _ = run.end(seconds)
    assert code == 0, output
    rows = json.loads((run.run_dir / "results" / "Seen" / "seen.json").read_text())
    for row in rows:
        assert row["greeting"] == probe_setups.GREETING
        assert row["sha256"] == hashlib.sha256(token.read_bytes()).hexdigest()
        assert (row["mode"], row["folder_mode"]) == ("0o600", "0o700")
        assert row["order"] == "environment, credential, site"
        wait_until_gone(Path(row["secret"]))
    assert token.read_text() not in output
    assert "writing the greeting" in output
    assert not places_of(token.read_text(), run.run_dir)
    return rows


def wait_until_gone(path, seconds=60.0):
    """Wait until a batch system has removed the folder of a job that has ended."""
    until = time.monotonic() + seconds
    while path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.05)


def places_of(secret, folder):
    """Return the files below `folder` that hold a secret or have its name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if path.name == "probe.token" or secret.encode() in path.read_bytes()]


SITE_LINE = 'export PROBE_ORDER="$PROBE_ORDER, site"'


def test_on_this_machine(counted, tmp_path, token, env):
    flow = write_workflow(tmp_path / "flow", counted, token, worker_init=[SITE_LINE])
    run = Driver(flow, "--site", "local", env={**os.environ, **env})
    (row,) = check(run, token)
    assert row["secret"] == str(run.run_dir / "secrets" / "probe.token")


@pytest.mark.slurm
def test_on_a_shared_file_system(counted, tmp_path, token, env, slurm):
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, worker_init=[SITE_LINE], environment={"kind": "probe"})
    flow = write_workflow(tmp_path / "flow", counted, token)
    run = ClusterRun(flow, site, env={**env, **slurm.env})
    (row,) = check(run, token)
    assert row["secret"] == str(run.run_dir / "secrets" / "probe.token")


@pytest.mark.condor
def test_on_nodes_that_see_nothing(counted, tmp_path, token, env, make_condor_pool):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    with used(make_condor_pool(hide=[hidden, token.parent])) as pool:
        site = write_site(
            tmp_path, "generic_htcondor", queues=QUEUES, worker_init=[SITE_LINE], shared_filesystem=False,
            shared_folders=[str(counted.parent)], environment={"kind": "probe"}, scaling={"poll": "1s"},
        )  # fmt: skip
        flow = write_workflow(hidden / "flow", counted, token, seconds=0.2)
        run = ClusterRun(flow, site, env={**env, **pool.env})
        ad = pool.job(run.wait_for_block("submitted")["job"]).ad
        assert "probe.token" in {Path(name).name for name in ad["EncryptInputFiles"].split(",")}
        assert "greeting.txt" in {Path(name).name for name in ad["TransferInput"].split(",")}
        rows = check(run, token)
        for row in rows:
            assert not Path(row["secret"]).is_relative_to(hidden)
        assert not places_of(token.read_text(), tmp_path / "hidden")


@pytest.mark.parametrize("end", ["interrupted", "killed"])
def test_secrets_go_with_a_run_that_does_not_end_well(counted, tmp_path, token, env, end):
    flow = write_workflow(tmp_path / "flow", counted, token, seconds=30, worker_init=[SITE_LINE])
    run = ClusterRun(flow, Path("local"), env=env)
    run.wait_until(lambda: "up" in run.states())
    assert places_of(token.read_text(), run.run_dir) == [run.run_dir / "secrets" / "probe.token"]
    run.signal(signal.SIGINT if end == "interrupted" else signal.SIGKILL)
    code, output, _ = run.end()
    if end == "interrupted":
        assert code == 130, output
    else:
        assert run.clean_up()[0] == 0
    assert not places_of(token.read_text(), run.run_dir)


def test_a_credential_that_is_missing_ends_the_run_before_any_worker(counted, tmp_path, token, env):
    flow = write_workflow(tmp_path / "flow", counted, token.parent / "none", worker_init=[SITE_LINE])
    run = ClusterRun(flow, Path("local"), env=env)
    code, output, _ = run.end()
    assert code == 4, output
    assert f"`{token.parent}/none` does not exist" in output.replace("\n", " ")
    assert not run.events("pool")


def test_a_live_check_of_a_site_uses_them(tmp_path, token, env):
    keys = {"environment": {"kind": "probe"}, "credentials": [{"kind": "probe", "path": str(token)}]}
    lines = ['test -s "$PROBE_TOKEN_FILE"', 'test -s "$PROBE_GREETING"']
    site = write_site(tmp_path, "local", worker_init=lines, **keys)
    command = [sys.executable, "-m", "fasthep_parsl", "sites", "check", str(site), "--live"]
    env = {**os.environ, **env}

    def check_site():
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    done = check_site()
    assert done.returncode == 0, done.stdout + done.stderr
    assert places_of(token.read_text(), tmp_path) == [token]
    token.unlink()
    done = check_site()
    assert done.returncode == 4
    assert "does not exist" in done.stdout.replace("\n", " ")
