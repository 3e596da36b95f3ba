"""``sites``, ``plan --scripts`` and ``cleanup`` as users type them; on real batch systems where it matters."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.sites import load_site
from integration.cluster_runs import ClusterRun
from services.fixtures_condor import used

LOOPBACK = "network.address=127.0.0.1"
QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 8, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def command(here, capsys):
    """Run a command; return its exit code and what it prints."""

    def run(*arguments):
        code = invoke([str(item) for item in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def profile(folder, name="mine", **keys):
    path = folder / f"{name}.yaml"
    content = {"extends": "generic_slurm", "network": {"address": "127.0.0.1"}, "queues": QUEUES, **keys}
    path.write_text(json.dumps(content))
    return path


def lines(out, mark):
    return [line for line in out.splitlines() if line.startswith(mark)]


# --- without a batch system -------------------------------------------------------------------------------


def test_list_has_the_sites_and_names_wrong_ones(command, here, monkeypatch):
    (here / "site_profiles").mkdir()
    (here / "site_profiles" / "broken.yaml").write_text("strategie: local\n")
    for width in ("40", "80", "200"):
        monkeypatch.setenv("COLUMNS", width)
        code, out, err = command("sites", "list")
        assert (code, err) == (0, "")
        assert re.search(r"^broken +wrong", out, re.MULTILINE)
        assert re.search(r"^lxplus +(htcondor +)?\w+", out, re.MULTILINE)
        assert not re.search(r"^_", out, re.MULTILINE)  # bases
        assert max(map(len, out.splitlines())) <= int(width)


def test_show_prints_the_file_and_what_it_amounts_to(command):
    site = load_site("perlmutter_gpu")
    code, out, _ = command("sites", "show", "perlmutter_gpu")
    assert code == 0
    assert out.endswith(site.path.read_text())
    code, out, _ = command("sites", "show", "perlmutter_gpu", "--resolved")
    assert code == 0
    Path("copy.yaml").write_text(out)
    copy = load_site("./copy.yaml")
    assert copy.execution_layer.data == site.execution_layer.data
    assert [item.path for item in copy.requires] == [item.path for item in site.requires]


def test_show_says_which_line_set_a_value(command):
    code, out, _ = command("sites", "show", "perlmutter_gpu", "--origin")
    assert code == 0
    places = dict(re.findall(r"^(\S+) = .*  (\S+:\d+)$", out, re.MULTILINE))
    for key, name in (("strategy.constraint", "perlmutter_gpu"), ("environment.prefix", "_slurm")):
        file, _, number = places[key].rpartition(":")
        assert Path(file).stem == name
        assert key.rpartition(".")[2] in Path(file).read_text().splitlines()[int(number) - 1]


def test_schema_is_that_of_profiles(command):
    code, out, _ = command("sites", "schema")
    assert code == 0
    assert {"meta", "extends", "requires", "strategy", "queues", "network"} <= set(json.loads(out)["properties"])


def test_check_says_what_must_be_filled_in(command):
    code, out, err = command("sites", "check", "perlmutter_gpu")
    assert (code, err) == (2, "")
    assert re.search(r"^✗ strategy.account +is missing$", out, re.MULTILINE)
    assert "project that is charged" in out
    code, out, _ = command("sites", "check", "perlmutter_gpu", "--set", "strategy.account=m1", "--scripts")
    assert (code, lines(out, "✗")) == (0, [])
    assert "#SBATCH --account=m1" in out
    assert out.count("worker_pool") == 1  # node.sh stands there once


def test_check_of_what_is_no_site(command, here):
    code, _, err = command("sites", "check", "lxpluss")
    assert (code, "did you mean `lxplus`?" in err) == (2, True)
    (here / "bad.yaml").write_text("extends: _slurm\nmeta: {description: x}\nqueus: {}\n")
    code, _, err = command("sites", "check", "./bad.yaml")
    assert code == 2
    assert "bad.yaml:3:1" in err
    assert "did you mean `queues`?" in err


def test_live_check_of_this_machine(command, here):
    code, out, _ = command("sites", "check", "local", "--live")
    assert (code, lines(out, "✗")) == (0, [])
    assert re.search(r"^✓ probe default +\S+: Python 3\.\d+\.\d+, Parsl \S+, fasthep-parsl ", out, re.MULTILINE)
    assert list(here.iterdir()) == []


def test_live_check_without_the_commands(command, here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    code, out, _ = command("sites", "check", profile(here), "--live")
    assert code == 4
    assert re.search(r"^✗ commands +not on PATH: sbatch, squeue, scancel$", out, re.MULTILINE)
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


def test_live_check_where_nothing_can_be_written(command, here):
    (here / "file").touch()
    code, out, _ = command("sites", "check", "local", "--live", "--outdir", here / "file" / "x")
    assert code == 4
    assert lines(out, "✗ run directory")


def test_init_without_a_name_prints(command, here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    code, out, err = command("sites", "init")
    assert (code, err) == (0, "")
    assert "kind: local" in out
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here))
    code, out, _ = command("sites", "init", "home")
    assert code == 0
    assert (here / "fasthep-parsl" / "sites" / "home.yaml").is_file()
    assert command("sites", "check", "home")[0] == 0
    code, _, err = command("sites", "init", "home")
    assert (code, "exists" in err) == (2, True)


# --- Slurm ------------------------------------------------------------------------------------------------


@pytest.mark.slurm
def test_a_draft_made_on_slurm_is_right_there(command, here, slurm):
    assert command("sites", "init", "drafted", "--outdir", here)[0] == 0
    code, out, _ = command("sites", "check", "./drafted.yaml", "--live", "--set", LOOPBACK)
    assert (code, lines(out, "✗")) == (0, [])
    nodes = dict(re.findall(r"^✓ probe (\w+) +(\w+) ", out, re.MULTILINE))
    assert {name: nodes[name] for name in ("highmem", "gpu")} == {"highmem": "m1", "gpu": "g1"}
    assert nodes["cpu"] in {"c1", "c2"}
    assert re.search(r"^✓ probe gpu .* GPU \d+ \(", out, re.MULTILINE)
    assert [path.name for path in here.iterdir()] == ["drafted.yaml"]


@pytest.mark.slurm
def test_live_check_says_which_queue_is_wrong_in_the_words_of_slurm(command, here, slurm):
    queues = {**QUEUES, "nope": QUEUES["cpu"], "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 9}}}
    code, out, _ = command("sites", "check", profile(here, queues=queues), "--live")
    assert code == 4
    assert [re.split(r"  +", line)[0] for line in lines(out, "✗")] == ["✗ queue gpu", "✗ queue nope"]
    assert "invalid partition specified: nope" in out
    assert "9 gpus, 10m:" in out
    assert "Requested node configuration is not available" in out
    assert sorted(re.findall(r"^✓ probe (\w+)", out, re.MULTILINE)) == ["cpu", "gpu", "highmem"]


@pytest.mark.slurm
def test_live_check_says_which_address_cannot_be_reached(command, here, slurm):
    path = profile(here, queues={"cpu": QUEUES["cpu"]}, network={"address": "127.0.0.2"})
    began = time.monotonic()
    code, out, _ = command("sites", "check", path, "--live")
    assert code == 4
    assert time.monotonic() - began < 150
    assert re.search(r"^✗ probe cpu +job \d+ on c[12]: ", out, re.MULTILINE)
    assert re.search(r"cannot reach the driver at 127\.0\.0\.2:\d+ \(Connection refused\)", out)
    kept = re.search(r"its output: (\S+)", out)
    assert kept
    assert "cannot reach" in Path(kept[1], "block.0.err").read_text()


@pytest.mark.slurm
def test_live_check_gives_up_after_a_while(command, here, slurm):
    blocker = slurm.run("sbatch", "--parsable", "-p", "highmem", "-c", "8", "--wrap", "sleep 100", "-o", "/dev/null")
    path = profile(here, queues={"highmem": QUEUES["highmem"]})
    try:
        code, out, err = command("sites", "check", path, "--live", "--wait", "8s")
    finally:
        slurm.run("scancel", blocker.strip())
    assert code == 4
    assert re.search(r"^✗ probe highmem +no answer after 8s; highmem: queued", out, re.MULTILINE)
    assert "highmem: queued" in err


@pytest.mark.slurm
def test_an_interrupted_live_check_leaves_nothing(here, slurm):
    blocker = slurm.run("sbatch", "--parsable", "-p", "highmem", "-c", "8", "--wrap", "sleep 100", "-o", "/dev/null")
    words = [sys.executable, "-m", "fasthep_parsl", "sites", "check", str(profile(here)), "--live"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    try:
        until = time.monotonic() + 60
        while "fasthep-highmem" not in slurm.run("squeue", "-h", "-o", "%j"):
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=200)
    finally:
        process.kill()
        slurm.run("scancel", blocker.strip())
    assert process.returncode == 130, out
    assert "interrupted: all jobs of the check are removed" in out
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


@pytest.mark.slurm
def test_one_port_for_several_queues(command, here, slurm, free_port):
    """Each pool needs a port of its own: they are tried one after the other."""
    path = profile(here, network={"address": "127.0.0.1", "ports": free_port})
    code, out, _ = command("sites", "check", path, "--live")
    assert (code, lines(out, "✗")) == (0, [])
    assert len(lines(out, "✓ probe")) == 3


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as handle:
        handle.bind(("127.0.0.1", 0))
        return handle.getsockname()[1]


@pytest.mark.slurm
def test_slurm_takes_the_scripts_of_a_plan(command, here, checkout, slurm):
    site = profile(here)
    options = ("--site", site, "--scripts", "scripts")
    code, out, _ = command("plan", checkout / "configs" / "heterogeneous.yaml", *options)
    assert code == 0
    assert "nothing was started" in out
    written = sorted(here.glob("scripts/*/block.0.sh"))
    assert [path.parent.name for path in written] == ["default", "gpu", "high_memory"]
    for path in written:
        done = subprocess.run(["sbatch", "--test-only", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    code, _, err = command("plan", checkout / "configs" / "heterogeneous.yaml", *options)
    assert (code, "is not empty" in err) == (2, True)


@pytest.mark.slurm
def test_the_scripts_of_a_plan_are_those_of_a_run(command, here, checkout, slurm):
    site, flow = profile(here), checkout / "configs" / "heterogeneous.yaml"
    assert command("plan", flow, "--site", site, "--scripts", "scripts")[0] == 0
    assert command("run", flow, "--site", site, "--outdir", "run", "--no-plots", "--quiet")[0] == 0
    for pool in ("default", "gpu", "high_memory"):
        planned, ran = here / "scripts" / pool, here / "run" / "log" / "blocks" / pool
        for name in ("block.0.sh", "node.sh"):
            text = (ran / name).read_text().replace(str(ran), str(planned))
            assert without_link(text) == without_link((planned / name).read_text())


def without_link(text):
    """Return a script without what only a run knows: where its driver is, and its files."""
    *head, command = text.splitlines()
    known = ("--addresses=", "--port=", "--cert_dir=", "--logdir=", "--logconf=")
    return [*head, *(word for word in shlex.split(command) if not word.startswith(known))]


@pytest.mark.slurm
def test_what_a_killed_driver_leaves_is_cleaned_up(command, write_flow, here, slurm):
    flow = write_flow(here, ("Sleep", "fault.sleep", {"seconds": 0.2}), default={"workers": 2, "queue": "cpu"})
    run = ClusterRun(flow, profile(here), env=slurm.env)
    try:
        run.wait_for_results()
        code, _, err = command("cleanup", run.run_dir)
        assert (code, "is in use by `fasthep-parsl run`" in err) == (2, True)
        assert slurm.run("squeue", "-h").strip()
    finally:
        run.kill()
    (job,) = run.jobs()
    code, out, err = command("cleanup", run.run_dir)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"removed job {job} of pool default \(running on c[12]\)\n", out)
    assert command("cleanup", run.run_dir) == (0, "nothing to remove: all jobs of this run have ended\n", "")


@pytest.mark.slurm
def test_a_run_that_cannot_remove_its_jobs_says_so(command, write_flow, here, slurm, monkeypatch):
    monkeypatch.setattr("fasthep_parsl.backends.parsl.block_monitor.LAST_CHANCE", 3.0)
    flow = write_flow(here, default={"workers": 2, "queue": "cpu"})
    slurm.commands.fail("scancel", code=1, stderr="scancel: error: Unable to contact slurm controller")
    code, out, err = command("run", flow, "--site", profile(here), "--outdir", "run", "--no-plots")
    assert code == 4
    assert "complete: 200 of 200 events" in out
    summary = json.loads(Path("run/run.json").read_text())
    (left,) = summary["left"]
    assert (summary["status"], summary["exit_code"], left["pool"]) == ("complete", 4, "default")
    assert summary["pools"]["default"]["jobs"]["left"] == 1
    assert f"1 job is left in the queue because the batch system did not remove them: {left['job']}" in err
    assert "fasthep-parsl cleanup run" in err
    code, _, err = command("cleanup", "run")
    assert (code, "Unable to contact" in err) == (4, True)
    slurm.commands.repair()
    code, out, _ = command("cleanup", "run")
    assert (code, out.startswith(f"removed job {left['job']} ")) == (0, True)


# --- HTCondor ---------------------------------------------------------------------------------------------


@pytest.mark.condor
def test_a_draft_made_on_htcondor_is_right_there(command, here, condor):
    assert command("sites", "init", "drafted", "--outdir", here)[0] == 0
    code, out, _ = command("sites", "check", "./drafted.yaml", "--live", "--set", LOOPBACK)
    assert (code, lines(out, "✗")) == (0, [])
    assert len(lines(out, "✓ probe")) == 3
    assert re.search(r"^✓ probe 8cpu-64GiB-2gpu +gpu1\S* .* GPU ", out, re.MULTILINE)


@pytest.mark.condor
def test_htcondor_takes_the_scripts_of_a_plan_and_uses_every_line(command, here, checkout, condor):
    site = profile(here, extends="generic_htcondor")
    flow = checkout / "configs" / "heterogeneous.yaml"
    assert command("plan", flow, "--site", site, "--scripts", "scripts")[0] == 0
    written = sorted(here.glob("scripts/*/block.0.sub"))
    assert [path.parent.name for path in written] == ["default", "gpu", "high_memory"]
    for path in written:
        words = ["condor_submit", "-dry-run", str(here / "dry"), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "unused" not in (done.stdout + done.stderr).lower()


@pytest.mark.condor
def test_live_check_where_jobs_see_nothing_of_this_machine(command, here, make_condor_pool):
    image = {"kind": "image", "python": sys.executable}
    site = profile(here, extends="generic_htcondor", shared_filesystem=False, environment=image, queues={})
    with used(make_condor_pool(hide=[here])):
        code, out, _ = command("sites", "check", site, "--live")
    assert (code, lines(out, "✗")) == (0, [])
    assert re.search(r"^✓ probe default +cpu\d", out, re.MULTILINE)
