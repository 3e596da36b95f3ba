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
from integration.runs import Driver, Records

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
