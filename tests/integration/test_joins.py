"""Joined trees in whole runs: with Parsl, and over XRootD, values are those of local files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from fasthep_parsl.compiler import CompileOptions, compile_workflow
from fasthep_parsl.driver.api import load, run
from fasthep_parsl.plan import PlanJoin, PlanSource
from fasthep_parsl.sources.files import open_file, prefetch_fields, read_fields

pytestmark = pytest.mark.integration
EVENTS = 200
KEYS = ("run", "luminosityBlock", "event")


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Write files of events and, beside them, scores in another order; return the value of each event."""

    def written(folder, files=2):
        random = np.random.default_rng(1)
        every = []
        for name in ("in", "scores"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(files):
            keys = {name: random.integers(1, 4, EVENTS).astype("u4") for name in KEYS[:2]}
            keys["event"] = random.permutation(EVENTS * 5)[:EVENTS].astype("u8")
            x = random.integers(0, 10, EVENTS) + 0.5
            every.append(x)
            order = random.permutation(EVENTS)
            with uproot.recreate(folder / f"in/{number}.root") as file:
                for name, data in (("Events", {**keys, "x": x}), ("more/Pairs", {"z": x / 2})):
                    tree = file.mktree(name, {field: column.dtype for field, column in data.items()})
                    for first in range(0, EVENTS, 50):
                        tree.extend({field: column[first : first + 50] for field, column in data.items()})
            with uproot.recreate(folder / f"scores/{number}.root") as file:
                data = {**{name: column[order] for name, column in keys.items()}, "score": x[order]}
                file.mktree("Scores", {field: c.dtype for field, c in data.items()}).extend(data)
        return np.concatenate(every)

    return written


def test_a_run_with_parsl_counts_each_event_once(tmp_path, write):
    x = write(tmp_path)
    axes = [{"name": name, "source": s, "bins": {"nbins": 10, "low": 0, "high": 10}} for name, s in (("a", "score"), ("b", "m.x"), ("c", "2 * z"))]  # fmt: skip
    flow = {
        "data": {"datasets": [{"name": "one", "files": ["in/*.root"]}]},
        "sources": {
            "m": {"kind": "root_tree", "tree": "Events"},
            "s": {"kind": "root_tree", "tree": "Scores", "files": "../scores/{name}"},
            "pairs": {"kind": "root_tree", "tree": "more/Pairs;1"},
        },
        "joins": {"events": {"inputs": ["m", {"source": "s", "by": list(KEYS)}, "pairs"]}},
        "analysis": {"stages": [{"id": "H", "op": "hep.hist", "params": {"axes": axes}}]},
        "execution": {"backend": "parsl", "pools": {"default": {"workers": 2}}},
    }
    path = tmp_path / "flow.yaml"
    path.write_text(json.dumps(flow))
    plan = compile_workflow(load(path, "local", ()), CompileOptions(chunk_size=30))
    result = run(plan, outdir=tmp_path / "run", plots=False, check=False)
    assert result.exit_code == 0
    content = json.loads((tmp_path / "run/results/H/hist.json").read_text())
    found = np.reshape(content["storage"]["values"], (12, 12, 12))[1:-1, 1:-1, 1:-1]
    assert found.tolist() == np.histogramdd((x, x, x), bins=10, range=[(0, 10)] * 3)[0].tolist()


@pytest.mark.xrootd
def test_friends_are_read_from_the_server_of_the_file(
    xrootd_server, authority, write, monkeypatch, tmp_path, no_credentials
):
    x = write(tmp_path / "files", 1)
    xrootd_server.put(tmp_path / "files", "protected/joined")
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    monkeypatch.setenv("X509_USER_PROXY", str(authority.proxy()))
    joins = (
        PlanJoin(name="s", kind="root_tree", params={"tree": "Scores"}, prefix="s", files="../scores/{name}", by={name: name for name in KEYS}),
        PlanJoin(name="p", kind="root_tree", params={"tree": "more/Pairs"}, prefix="p"),
    )  # fmt: skip
    source = PlanSource(name="m", params={"tree": "Events"}, prefix="m", joins=joins)
    file = open_file(xrootd_server.url("protected/joined/in/0.root"), source)
    for start, stop in ((0, 70), (70, EVENTS)):
        prefetch_fields(file, source, ["score", "x", "z"], start, stop)
        found = read_fields(file, source, ["score", "x", "z"], start, stop)
        for name, factor in (("score", 1), ("x", 1), ("z", 2)):
            np.testing.assert_array_equal(found[name] * factor, x[start:stop])
    file.close()
