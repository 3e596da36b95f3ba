"""One workflow with three kinds of worker in an HTCondor pool: where each task ran, and that results are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.cluster_runs import Whereabouts, differences, results, write_site
from integration.condor_yard import RUN
from integration.runs import Driver
from services.condor_records import read_jobs

pytestmark = pytest.mark.condor

QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 16, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}
NODES = {"default": {"cpu1", "cpu2"}, "high_memory": {"himem1"}, "gpu": {"gpu1"}}
