"""Fixtures that several areas share: small real files, and a builder of workflows over them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from fasthep_parsl.compiler import CompileOptions, compile_workflow
from fasthep_parsl.driver.api import load, run
from fasthep_parsl.resources.machine import Machine

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("FASTHEP_TEST_DATA", ROOT.parent / "shared" / "data"))
MACHINE = Machine(cpus=4, memory=16_000_000_000, gpus=0)

pytest_plugins = [
    "services.fixtures_condor",
    "services.fixtures_pixi",
    "services.fixtures_slurm",
    "services.fixtures_xrootd",
]


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the stored plans anew")


def pytest_configure(config):
    """Let programs that tests start be interrupted, also if these tests run in the background of a shell.

    No test fails because the machine is slow.
    """
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("any machine")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test sees or changes the header cache of the user."""
    before = os.environ.get("FASTHEP_PARSL_CACHE")
    os.environ["FASTHEP_PARSL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("FASTHEP_PARSL_CACHE")
    if before is not None:
        os.environ["FASTHEP_PARSL_CACHE"] = before


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory):
    """Demo data: 2000 events in four datasets, in several files."""
    from fasthep_parsl.demo import write_demo_data

    folder = tmp_path_factory.mktemp("demo-data")
    write_demo_data(folder, 2000, file_events=400)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, demo_data):
    """A folder like the repository after ``make demo``, also with data for the Analysis Grand Challenge."""
    from fasthep_parsl.demo import write_demo_data

    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(demo_data, folder / "demo" / "data")
    write_demo_data(folder / "demo" / "agc", 200, like="agc")
    return folder


@pytest.fixture(scope="session")
def real_data():
    """The folder with small real files."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data in {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def data_files():
    """The folder with files that cannot be made here."""
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def small_files(tmp_path_factory):
    """``a.root`` (100 events, clusters of 25), ``b.root`` (40 events, one cluster), ``none.root`` (no event).

    ``x`` counts the events through both files, ``nJet`` and ``Jet_pt`` are jagged, ``unused`` is in no workflow.
    """
    folder = tmp_path_factory.mktemp("small")
    write_small(folder / "a.root", 0, [25, 25, 25, 25])
    write_small(folder / "b.root", 100, [40])
    write_small(folder / "none.root", 0, [])
    return folder


def write_small(path: Path, first: int, clusters: list[int]) -> Path:
    import awkward as ak
    import uproot

    types = {
        "x": np.dtype("int64"),
        "unused": np.dtype("float64"),
        "Jet": ak.types.from_datashape('var * {"pt": float32, "eta": float32}', highlevel=False),
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types, counter_name=lambda name: f"n{name}", field_name=lambda o, i: f"{o}_{i}")
        for size in clusters:
            x = np.arange(first, first + size)
            counts = x % 3
            pt = np.arange(counts.sum()) + 0.5
            jets = ak.unflatten(ak.zip({"pt": pt.astype("f4"), "eta": np.zeros(len(pt), "f4")}), counts)
            tree.extend({"x": x, "unused": np.zeros(size), "Jet": jets})
            first += size
    return path


@pytest.fixture
def long_passes(monkeypatch):
    """Join adjacent partitions however few they are."""
    monkeypatch.setattr("fasthep_parsl.worker.passes.FEW", 0)
    monkeypatch.setattr("fasthep_parsl.worker.passes.SMALL", 0)


class Workflow:
    """A workflow file over small files, written as data.

    Parameters
    ----------
    folder : Path
        Where it lies, with ``probe_ops.py`` beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "flow.yaml"
        self.machine = MACHINE
        self.pools = {"default": {"workers": 2}, "other": {"workers": 1}}

    def write(self, stages, files=(), *, datasets=None, **sections):
        def shown(found):  # a mapping is a file with replicas
            return [file if isinstance(file, dict) else str(file) for file in found]

        listed = [{"name": name, "files": shown(found)} for name, found in (datasets or {}).items()]
        content = {
            "version": "1.0",
            "use": {"modules": ["probe_ops.py"]},
            "data": {"datasets": listed or [{"name": "small", "files": shown(files)}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": stages},
            "execution": {"backend": "local", "pools": self.pools},
            **sections,
        }
        self.path.write_text(json.dumps(content))  # JSON is YAML
        return self

    @staticmethod
    def stage(name, op, needs=None, pool="", bind=None, **params):
        """Return one stage; `bind` is (stage, product, parameter)."""
        found = {"id": name, "op": op, "params": params}
        if needs is not None:
            found["needs"] = needs
        if pool:
            found["execution"] = {"require": pool}
        if bind:
            found["from"] = [dict(zip(("node", "port", "as"), bind, strict=True))]
        return found

    def compile(self, *, overrides=(), chunk_size=None, machine=None, cache=True, limit=None):
        loaded = load(self.path, "local", overrides)
        options = CompileOptions(chunk_size=chunk_size, machine=machine or self.machine, cache=cache, limit=limit)
        return compile_workflow(loaded, options)

    def run(self, plan=None, mode="new", **options):
        """Run in process; the plan, or what `compile` makes with `options`."""
        plan = self.compile(**options) if plan is None else plan
        return run(plan, outdir=self.folder / "run", mode=mode, plots=False, check=False)


@pytest.fixture
def flow(tmp_path):
    """A `Workflow` in a folder of its own."""
    shutil.copyfile(ROOT / "tests" / "probe_ops.py", tmp_path / "probe_ops.py")
    return Workflow(tmp_path)
