"""Every strategy keeps its contract: a frozen description that says, without doing anything, how workers come to be."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from fasthep_parsl import registry
from fasthep_parsl.interfaces import ProviderSpec, WorkerSetup
from fasthep_parsl.plan import PlanPool

POOL = PlanPool(name="heavy", workers=6, cpus=2, memory=4_000_000_000, walltime=3600)
SETUP = WorkerSetup(worker_init=("export A=1",))


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


def test_asking_twice_gives_the_same(strategy):
    made = strategy()
    spec = made.workers(POOL, SETUP)
    assert isinstance(spec, ProviderSpec)
    assert made.workers(POOL, SETUP) == spec
    assert strategy().workers(POOL, SETUP) == spec
    assert spec.blocks * spec.workers_per_block >= 1
    assert spec.workers_per_block <= POOL.workers


@pytest.mark.integration
def test_asking_starts_nothing_and_imports_no_executor(name):
    code = """
import subprocess, os, sys
def refuse(*args, **kwargs):
    raise AssertionError("a strategy started something")
subprocess.Popen.__init__ = os.system = os.fork = refuse
from fasthep_parsl import registry
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import PlanPool
registry.load("strategies", sys.argv[1])().workers(PlanPool(name="p", workers=2), WorkerSetup())
heavy = {"parsl", "globus_compute_sdk", "awkward", "uproot"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_its_options_are_those_of_the_provider_in_parsl(strategy):
    import parsl.providers

    spec = strategy().workers(POOL, SETUP)
    classes = {name.removesuffix("Provider").lower(): found for name, found in vars(parsl.providers).items()}
    provider = classes[spec.kind.replace("_", "")]
    inspect.signature(provider).bind_partial(**spec.options)


def test_the_backend_builds_what_it_describes(strategy, tmp_path):
    from fasthep_parsl.backends.parsl.executors import executor, provider

    spec = strategy().workers(POOL, SETUP)
    pool = POOL.model_copy(
        update={
            "provider": spec.kind,
            "options": dict(spec.options),
            "workers_per_block": spec.workers_per_block,
            "blocks": spec.blocks,
        }
    )
    made = executor(pool, provider(pool, tmp_path, None), [])
    assert made.label == "heavy"
    assert made.max_workers_per_node == spec.workers_per_block
    assert made.cores_per_worker == POOL.cpus
