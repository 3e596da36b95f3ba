"""What a worker reports about itself to ``sites check --live``."""

from __future__ import annotations

import pytest

from fasthep_parsl.resources.hidden import NO_GPUS
from fasthep_parsl.worker.probe import describe_worker

VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


@pytest.fixture
def hidden(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in NO_GPUS.items():
        monkeypatch.setenv(name, value)


def test_a_worker_whose_gpus_are_hidden_has_none(hidden):
    assert describe_worker(VARIABLES).devices == ""


@pytest.mark.parametrize("name", VARIABLES)
def test_a_worker_reports_the_gpus_that_it_was_given(hidden, monkeypatch, name):
    monkeypatch.setenv(name, "3")
    assert describe_worker(VARIABLES).devices == "3"
