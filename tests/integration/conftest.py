"""What the tests with real processes share: small events, workflows over them, and a look at what is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from integration.cluster_runs import Campaign, Tools, results
from integration.protected import CONFIGS, PATTERNS, write_dimuon
from integration.runs import Driver, Records
from services.fixtures_condor import used

HERE = Path(__file__).parent
EVENTS, CLUSTER = 200, 25


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """A file with x = 0 … 199 in clusters of 25 events."""
    import uproot

    path = tmp_path_factory.mktemp("counted") / "counted.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {"x": np.dtype("int64")})
        for first in range(0, EVENTS, CLUSTER):
            tree.extend({"x": np.arange(first, first + CLUSTER)})
    return path


@pytest.fixture(scope="session")
def write_flow(counted):
    """Return what writes a workflow over `counted` into a folder: stages are (id, op, parameters), then ``Sum``."""

    def write(folder, *stages, **pools):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / "fault_ops.py", folder / "fault_ops.py")
        listed = [{"id": name, "op": op, "params": params} for name, op, params in stages]
        content = {
            "version": "1.0",
            "use": {"modules": ["fault_ops.py"]},
            "data": {"datasets": [{"name": "small", "files": [str(counted)]}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": [*listed, {"id": "Sum", "op": "fault.sum"}]},
            "execution": {"backend": "parsl", "strategy": "local", "pools": pools or {"default": {"workers": 2}}},
        }
        (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
        return folder / "flow.yaml"

    return write


# --- processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def campaign(request, write_flow, tmp_path_factory):
    """All selected scenarios of a module (the parameter `scenario` of tests), some at a time."""
    here = (item for item in request.session.items if item.path == request.path)
    calls = (getattr(item, "callspec", None) for item in here)
    scenarios = [call.params["scenario"] for call in calls if call and "scenario" in call.params]
    at_once = 4 if os.environ.get("PYTEST_XDIST_WORKER") else 8  # other tests run beside them
    found = Campaign(scenarios, Tools(write_flow, tmp_path_factory.mktemp), at_once)
    yield found
    found.close()


@pytest.fixture(scope="session")
def records():
    return Records


@pytest.fixture
def driver():
    """Start drivers; those that are still there at the end are killed."""
    started = []

    def start(*args, **kwargs):
        started.append(Driver(*args, **kwargs))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
        one.process.communicate()


@pytest.fixture(scope="module")
def expected(checkout):
    """Results of the analysis with three kinds of worker, computed in one process."""
    command = [sys.executable, "-m", "fasthep_parsl", "run", "configs/heterogeneous.yaml", "--backend", "local"]
    subprocess.run([*command, "--outdir", "here", "--no-plots"], cwd=checkout, check=True, capture_output=True)
    return results(checkout / "here")


# --- protected data -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def protected_server(make_xrootd, demo_data):
    """A server with the demo's data below /protected/demo and /vo/demo."""
    found = make_xrootd()
    for folder in ("protected", "vo"):
        found.put(demo_data, f"{folder}/demo")
    return found


@pytest.fixture(scope="session")
def dimuon_results(demo_data, tmp_path_factory):
    """Results of the shipped analysis over the demo's data as local files, computed in one process."""
    folder = tmp_path_factory.mktemp("dimuon-results")
    files = {name: [str(file) for file in sorted(demo_data.glob(pattern))] for name, pattern in PATTERNS.items()}
    command = [sys.executable, "-m", "fasthep_parsl", "run", str(write_dimuon(folder, files)), "--backend", "local"]
    subprocess.run([*command, "--outdir", str(folder / "run"), "--no-plots"], check=True, capture_output=True)
    return results(folder / "run")


@pytest.fixture(scope="session")
def hidden_submit(tmp_path_factory):
    """A folder that only the submit side of `condor_blind` sees."""
    return tmp_path_factory.mktemp("hidden-submit")


@pytest.fixture(scope="session")
def _condor_blind(make_condor_pool, hidden_submit, authority):
    return make_condor_pool(hide=[hidden_submit, CONFIGS, authority.private])


@pytest.fixture
def condor_blind(_condor_blind):
    """A pool, in use, whose jobs see neither `hidden_submit` nor the credentials of the user."""
    with used(_condor_blind) as pool:
        yield pool
