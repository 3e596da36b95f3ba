"""Every strategy keeps its contract: a frozen description that says, without doing anything, how workers come to be."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from fasthep_parsl import registry


@pytest.fixture(params=registry.names("strategies"))
def name(request):
    return request.param


@pytest.fixture
def strategy(name):
    return registry.load("strategies", name)


def test_it_is_a_frozen_model_with_described_fields(strategy):
    assert issubclass(strategy, BaseModel)
    assert strategy.model_config["frozen"]
    assert strategy.model_config["extra"] == "forbid"
    assert strategy.__doc__
    assert all(field.description for field in strategy.model_fields.values())
    with pytest.raises(ValidationError):
        strategy(surprise=1)


@pytest.mark.integration
def test_asking_starts_nothing_and_imports_no_executor(name):
    code = """
import subprocess, os, sys
def refuse(*args, **kwargs):
    raise AssertionError("a strategy started something")
subprocess.Popen.__init__ = os.system = os.fork = refuse
from fasthep_parsl import registry
registry.load("strategies", sys.argv[1])()
heavy = {"parsl", "globus_compute_sdk", "awkward", "uproot"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
