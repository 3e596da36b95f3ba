"""``hep.write`` while workers die and runs are stopped and go on: one right file for each partition, and a true manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import uproot

import fasthep_parsl


def look(folder, run_dir, events):
    """Check that the files are those of the manifest, that it is true, and that all `events` are there once."""
    listed = json.loads((run_dir / "results" / "W" / "manifest.json").read_text())["files"]
    there = {str(path) for path in folder.iterdir() if not path.name.startswith(".fasthep-parsl-")}
    assert there == {file["path"] for file in listed}
    found = []
    for file in listed:
        with uproot.open(file["path"]) as opened:
            values = opened["Events"]["x"].array(library="np").tolist()
        assert len(values) == file["events"]
        with Path(file["path"]).open("rb") as content:
            assert hashlib.file_digest(content, "sha256").hexdigest() == file["sha256"]
        found += values
    assert sorted(found) == list(events)


WRITE = ("W", "hep.write", {"format": "root", "path": "../skims", "fields": ["x"]})


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("how", ["kill", "crash", "block"])
def test_a_worker_that_dies_once_leaves_no_file_twice(write_flow, tmp_path, how, order):
    strike = ("Strike", "fault.strike", {"at": 60, "how": how, "once": str(tmp_path / "once")})
    flow = write_flow(tmp_path / "flow", *((strike, WRITE) if order == "before" else (WRITE, strike)))
    outcome = fasthep_parsl.run(flow, outdir=tmp_path / "run", chunk_size=25, plots=False)
    assert outcome.summary["tasks"]["lost"] >= 1
    look(tmp_path / "skims", tmp_path / "run", range(200))


def test_what_always_fails_has_no_file_until_it_is_mended(write_flow, tmp_path):
    strike = ("Strike", "fault.strike", {"at": 60, "how": "kill", "once": ""})
    flow = write_flow(tmp_path / "flow", WRITE, strike)
    outcome = fasthep_parsl.run(flow, outdir=tmp_path / "run", chunk_size=25, plots=False, check=False)
    assert outcome.exit_code == 3
    look(tmp_path / "skims", tmp_path / "run", [x for x in range(200) if x // 25 != 2])
    again = fasthep_parsl.run(flow, outdir=tmp_path / "run", chunk_size=25, plots=False, mode="resume", check=False)
    assert again.exit_code == 3
    look(tmp_path / "skims", tmp_path / "run", [x for x in range(200) if x // 25 != 2])


def test_pools_write_to_one_folder(write_flow, tmp_path):
    odd = ("Odd", "hep.select", {"selection": ["x % 2 == 1"]})
    far = ("V", "hep.write", {"format": "root", "path": "../skims", "name": "{stage}-{partition}", "fields": ["x"]})
    flow = write_flow(tmp_path / "flow", odd, far, WRITE, default={"workers": 1}, other={"workers": 1})
    content = json.loads(flow.read_text())
    content["analysis"]["stages"][1] |= {"execution": {"require": "other"}}
    content["analysis"]["stages"][2] |= {"needs": []}
    content["analysis"]["stages"][2]["params"]["path"] = "../all"
    flow.write_text(json.dumps(content))
    fasthep_parsl.run(flow, outdir=tmp_path / "run", chunk_size=25, plots=False)
    look(tmp_path / "all", tmp_path / "run", range(200))
    assert len(list((tmp_path / "skims").glob("V-small-*.root"))) == 8
