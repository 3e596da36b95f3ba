"""Runs that are longer than their token: many small protected files, analysed slowly, with a token that is renewed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integration.cluster_runs import ClusterRun, write_site
from services.authority import Authority
from services.xrootd import XRootDServer

HERE = Path(__file__).parent
STEP, WORKERS = 1.0, 2
"""Seconds for one partition, and how many are worked on at once."""


def write_files(server: XRootDServer, name: str, source: Path, seconds: float) -> list[str]:
    """Write as many copies of a file as a run opens in this time; return their paths on the server."""
    (server.data / "protected" / name).mkdir()
    paths = [f"protected/{name}/{number}.root" for number in range(math.ceil(seconds / STEP) * WORKERS)]
    for path in paths:
        server.put(source, path)
    return paths


def start(
    folder: Path, authority: Authority, urls: list[str], lifetime: float, site: str = "local", *,
    env: Mapping[str, str] | None = None, **keys: Any,
) -> ClusterRun:  # fmt: skip
    """Start a run with tokens that live for `lifetime` seconds, over files of `write_files`."""
    shutil.copyfile(HERE / "fault_ops.py", folder / "fault_ops.py")
    content = {
        "version": "1.0",
        "use": {"modules": ["fault_ops.py"]},
        "data": {"datasets": [{"name": "d", "files": urls}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {
            "stages": [
                {"id": "Sleep", "op": "fault.sleep", "params": {"seconds": STEP}},
                {"id": "Sum", "op": "fault.sum"},
            ]
        },
        "execution": {"pools": {"default": {"workers": WORKERS, "resources": {"cpus": 1, "memory": "1GB"}}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    options = {"lifetime": lifetime}
    token = authority.token_file(path=folder / "token", **options)
    credential = {
        "kind": "scitoken",
        "cert_dir": str(authority.certificates),
        "renew": authority.tokens.command(**options),
    }
    profile = write_site(folder, site, credentials=[credential], **keys)
    variables = {"BEARER_TOKEN_FILE": str(token), **authority.env, **(env or {})}
    return ClusterRun(folder / "flow.yaml", profile, "--chunk-size", "200", env=variables)


def assert_undisturbed(run: ClusterRun, total: int, limit: float) -> dict[str, int]:
    """Wait for the end: all events, nothing failed or was repeated, and the workers are those of the start.

    Returns
    -------
    dict
        What happened to the credential → how often.
    """
    code, output, _ = run.end(limit)
    assert code == 0, output
    assert run.summary()["status"] == "complete"
    products = [json.loads(path.read_text()) for path in (run.run_dir / "results" / "Sum").rglob("sum*.json")]
    assert products == [total], products
    assert not run.events("retried")
    assert not run.events("failed")
    assert len({event["block"] for event in run.events("block")}) <= 1
    assert len({event["pid"] for event in run.events("finished")}) <= WORKERS
    states = [event["state"] for event in run.events("credential")]
    return {state: states.count(state) for state in states}
