"""Every backend gives what ``local`` gives, for all shipped workflows: counts exactly, weighted sums to 1e-12."""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydantic import BaseModel

import fasthep_parsl as fp
from fasthep_parsl import registry

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
BACKENDS = [
    pytest.param(name, marks=() if name == "local" else pytest.mark.integration) for name in registry.names("backends")
]


@pytest.fixture(scope="module")
def run(checkout):
    """Run a workflow on a backend once; return its products."""
    known = {}

    def run(config, backend, chunk=None):
        key = (config, backend, chunk)
        if key not in known:
            plan = fp.compile_plan(
                checkout / "configs" / f"{config}.yaml", overrides=[f"execution.backend={backend}"], chunk_size=chunk
            )
            assert plan.backend == backend
            outcome = fp.run(plan, outdir=checkout / f"{config}-{backend}-{chunk}", plots=False)
            assert outcome.error == ""
            assert outcome.status == "complete"
            known[key] = outcome.products
        return known[key]

    return run


def plain(product):
    """Return a product as nested plain data, histograms as arrays."""
    if hasattr(product, "hist"):
        view = product.hist.view(flow=True)
        return {
            "axes": [repr(axis) for axis in product.hist.axes],
            "values": np.asarray([view[name] for name in view.dtype.names] if view.dtype.names else view),
            "none": product.none,
            "nan": product.nan,
        }
    if hasattr(product, "rows"):
        return {dataset: [vars_of(row) for row in rows] for dataset, rows in product.rows.items()}
    return product


def vars_of(row):
    return {name: getattr(row, name) for name in type(row).__slots__}


def assert_same(a, b, where=""):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{n}]")
    elif isinstance(a, float | np.ndarray):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-9, err_msg=where)
    else:
        assert a == b, where


@pytest.mark.parametrize("backend", registry.names("backends"))
def test_it_is_a_frozen_model(backend):
    found = registry.load("backends", backend)
    assert issubclass(found, BaseModel)
    assert found.model_config["frozen"]
    assert found.model_config["extra"] == "forbid"
    assert callable(found().open)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("chunk", [37, 1000])
def test_chunks_do_not_change_results(run, config, chunk):
    expected, found = run(config, "local"), run(config, "local", chunk)
    assert expected.keys() == found.keys()
    for key, product in expected.items():
        assert_same(plain(product), plain(found[key]), str(key))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_gives_what_local_gives(run, config, backend):
    expected, found = run(config, "local", 100), run(config, backend, 100)
    assert expected.keys() == found.keys()
    for key, product in expected.items():
        assert_same(plain(product), plain(found[key]), str(key))


def test_what_goes_wrong_in_a_task_belongs_to_its_future(checkout, tmp_path):
    from fasthep_parsl.errors import FastHepError
    from fasthep_parsl.tasks import Task

    plan = fp.compile_plan(checkout / "configs" / "dimuon.yaml")
    with registry.load("backends", "local")().open(plan, tmp_path, lambda *a, **k: None) as session:
        future = session.submit("default", Task("map", 0, 0, (str(tmp_path / "none.json"), "x"), str(tmp_path)), 0)
        assert isinstance(future.exception(timeout=0), OSError | FastHepError)
        assert session.slots("default") == 1
        assert session.call("default", len, "abc").result(timeout=0) == 3


# --- sessions -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS)
def session(request, checkout):
    """An open session, its pool, and a function that closes it and returns the processes that it leaves."""
    path = checkout / "configs" / f"{CONFIGS[0]}.yaml"
    plan = fp.compile_plan(path, overrides=[f"execution.backend={request.param}", "execution.pools.default.workers=1"])
    folder = checkout / f"session-{request.param}"
    folder.mkdir()
    before = children()
    with ExitStack() as stack:
        backend = registry.load("backends", request.param)()
        opened = stack.enter_context(backend.open(plan, folder, lambda event: None))

        def close():
            started = children() - before
            stack.close()
            _, alive = psutil.wait_procs([process for process in started if not is_zombie(process)], timeout=20)
            return [process for process in alive if not is_zombie(process)]

        yield opened, plan.segments[0].pool, close


def children():
    """Return all processes that this one has started; other tests may have started some, too."""
    return set(psutil.Process().children(recursive=True))


def test_tasks_of_a_lower_priority_number_run_earlier(session, monkeypatch):
    """Tasks are replaced by naps here: their worker has no run directory."""
    opened, pool, _ = session
    if opened.slots(pool) != 1 or type(opened).__module__.endswith(".local"):
        pytest.skip("runs each task when it is submitted")
    monkeypatch.setattr("fasthep_parsl.backends.parsl.session.run_task", time.sleep)
    opened.call(pool, os.getpid).result(60)  # it is up
    order = []
    first = opened.submit(pool, 1.0, 0)
    rest = [opened.submit(pool, 0.05, priority) for priority in (3, 2, 1, -1)]
    for priority, future in zip((3, 2, 1, -1), rest, strict=True):
        future.add_done_callback(lambda _, priority=priority: order.append(priority))
    wait([first, *rest], 60)
    assert order == [-1, 1, 2, 3]


def test_a_session_keeps_its_contract(session):
    """One test, because workers come up once: calls, errors, slots, and the end of every process."""
    opened, pool, close = session
    assert opened.call(pool, math.sqrt, 4).result(60) == 2
    with pytest.raises(ZeroDivisionError):
        opened.call(pool, divmod, 1, 0).result(60)
    assert opened.slots(pool) >= 1
    worker = opened.call(pool, os.getpid).result(60)
    assert worker == os.getpid() or worker in {process.pid for process in children()}
    assert not close()


def is_zombie(process):
    """Whether a process has ended, and only its parent has not noticed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
