import inspect

import pytest
from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.local import Local


def test_one_block_has_all_workers():
    spec = Local().workers(PlanPool(name="default", workers=3), WorkerSetup(worker_init=("a=1", "b=2")))
    assert (spec.kind, spec.workers_per_block, spec.blocks) == ("local", 3, 1)
    assert spec.options["worker_init"] == "a=1\nb=2"
    assert spec.options["max_blocks"] == 1


def test_the_options_are_those_of_parsl():
    providers = pytest.importorskip("parsl.providers")
    spec = Local().workers(PlanPool(name="default", workers=1), WorkerSetup())
    inspect.signature(providers.LocalProvider).bind(**spec.options)


def test_it_is_found_by_name_and_has_no_other_fields():
    assert registry.load("strategies", "local") is Local
    with pytest.raises(ValidationError):
        Local.model_validate({"queue": "long"})
