"""What the how-to page of batch systems shows is what its commands print, on a real Slurm cluster."""

from __future__ import annotations

import json
import os
import shutil

import pytest

import page_code

pytestmark = [pytest.mark.integration, pytest.mark.slurm]

QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 9}, "walltime": "1d"},  # its nodes have 2
}


@pytest.fixture
def site(tmp_path, slurm, demo_data, monkeypatch):
    """A folder with the site of the page and an analysis with three pools."""
    profile = {"extends": "generic_slurm", "network": {"address": "127.0.0.1"}, "queues": QUEUES}
    (tmp_path / "site_profiles").mkdir()
    (tmp_path / "site_profiles" / "cluster.yaml").write_text(json.dumps(profile))
    shutil.copytree(page_code.ROOT / "configs", tmp_path / "configs")
    shutil.copytree(demo_data, tmp_path / "demo" / "data")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    return tmp_path


def test_checks_and_plans_print_what_the_page_shows(site):
    found = {command: shown for command, shown in page_code.read("batch-system").commands if shown}
    commands = [
        "fasthep-parsl sites check cluster --live",
        "fasthep-parsl plan configs/heterogeneous.yaml --site cluster --scripts scripts",
    ]
    for command in commands:
        output = page_code.shell(f"{command} || true", site)
        assert page_code.missing_lines(found[command], output, numbers=False) == [], output
