"""A batch system that is registered by an entry point alone works everywhere: the fake one of `fake_batch`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.cluster_runs import ClusterRun, differences, processes_with, results

FAKE = Path(__file__).parent / "fake_batch"
LOOPBACK = "network.address=127.0.0.1"
METADATA = "Metadata-Version: 2.1\nName: fake-batch\nVersion: 1.0\n"
ENTRY_POINTS = "[fasthep_parsl.strategies]\nfake_batch = fake_batch:FakeBatch\n"


@pytest.fixture
def fake(tmp_path):
    """The environment of a machine where the fake batch system and its plug-in are installed."""
    installed = tmp_path / "site-packages"
    info = installed / "fake_batch-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(FAKE / "fake_batch.py", installed)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    added = {"PYTHONPATH": str(installed), "FAKE_BATCH_JOBS": str(jobs), "PATH": f"{FAKE}:{os.environ['PATH']}"}
    yield {**os.environ, **added}
    until = time.monotonic() + 10
    while left := processes_with(f"FAKE_BATCH_JOBS={jobs}"):
        assert time.monotonic() < until, left
        time.sleep(0.1)


@pytest.fixture
def command(fake, tmp_path):
    """Run a command; return its exit code and what it prints."""

    def run(*arguments, cwd=tmp_path, **variables):
        done = subprocess.run(
            [sys.executable, "-m", "fasthep_parsl", *map(str, arguments)],
            env={**fake, **variables},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def site(command, tmp_path):
    """A profile that `sites init` has drafted."""
    code, output = command("sites", "init", "drafted", "--outdir", tmp_path)
    assert code == 0, output
    return tmp_path / "drafted.yaml"


def test_init_finds_it_and_drafts_a_profile(site, command):
    text = site.read_text()
    assert re.search(r"^strategy:\n  kind: fake_batch\n  project: drafted$", text, re.MULTILINE)
    assert re.search(r"^  day:.*\n    node: \{cpus: 4, memory: 16GiB\}", text, re.MULTILINE)
    assert "\n  week:" in text
    code, output = command("sites", "check", site, "--scripts")
    assert (code, "✗" in output) == (0, False), output
    assert "#FAKE project=drafted queue=day cpus=1\n" in output


def test_a_live_check_runs_a_task_on_each_queue(site, command):
    code, output = command("sites", "check", site, "--live", "--set", LOOPBACK)
    assert (code, "✗" in output) == (0, False), output
    assert "✓ commands" in output
    assert len(re.findall(r"^✓ probe (day|week) +fake-node ", output, re.MULTILINE)) == 2


def test_an_analysis_has_the_results_of_backend_local(site, command, checkout, tmp_path):
    flow = checkout / "configs" / "dimuon.yaml"
    shown, run, reference = tmp_path / "scripts", tmp_path / "run", tmp_path / "reference"
    code, output = command("plan", flow, "--site", site, "--scripts", shown, cwd=checkout)
    assert code == 0, output
    (script,) = shown.glob("*/block.0.sh")
    options = ("--site", site, "--set", LOOPBACK, "--chunk-size", "1000", "--outdir", run, "--no-plots")
    code, output = command("run", flow, *options, cwd=checkout, FAKE_BATCH_REFUSE="1")
    assert code == 0, output
    summary = json.loads((run / "run.json").read_text())
    assert (summary["status"], summary["pools"]["default"]["strategy"]) == ("complete", "fake_batch")
    submitted = next((tmp_path / "jobs").glob("*/script")).read_text()
    assert submitted.splitlines()[1] == script.read_text().splitlines()[1]
    code, output = command("run", flow, "--backend", "local", "--outdir", reference, "--no-plots", cwd=checkout)
    assert code == 0, output
    found = results(run)
    assert found.keys() == results(reference).keys()
    assert differences(found, results(reference)) == []


def test_cleanup_removes_what_a_killed_driver_leaves(site, command, write_flow, fake, tmp_path):
    flow = write_flow(tmp_path / "flow", ("Sleep", "fault.sleep", {"seconds": 0.2}), default={"workers": 2})
    run = ClusterRun(flow, site, "--set", LOOPBACK, env=fake)
    try:
        run.wait_for_results()
    finally:
        run.kill()
    (job,) = run.jobs()
    code, output = command("cleanup", run.run_dir)
    assert (code, output) == (0, f"removed job {job} of pool default (running on fake-node)\n")
    code, output = command("cleanup", run.run_dir)
    assert (code, output.startswith("nothing to remove")) == (0, True)
