"""A skim keeps the sums of weights of what it has read, and later workflows use them, or say why they cannot."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fasthep_parsl.errors import ConfigError
from normalisation_cases import MC, RUNS, paths, summary, write_nano

NONE = {"id": "None", "op": "hep.select", "params": {"selection": ["x < 1030"]}}


def skim(norm, nano, way, *before, chunk=7, exit_code=0, files=None, name="skimmed"):
    """Skim events with x < 1030: partitions without survivors at the end, and a file without events."""
    data = {"sum_of_weights": way} if way else {}
    write = {"id": "W", "op": "hep.write", "params": {"format": "root", "path": "skim", "fields": ["x", "genWeight"]}}
    flow = norm(data, [*before, NONE, write], mc={"files": files or paths(nano), **MC})
    outcome = flow.run(chunk_size=chunk)
    assert outcome.exit_code == exit_code, outcome.error
    (flow.folder / "run").rename(flow.folder / name)
    return flow.folder / name / "results" / "W" / "manifest.json"


def later(norm, flow, manifest, files="skim/*.root", source=None, **more):
    """Run the analysis of a skim; return its factor."""
    way = {"sum_of_weights": {"manifest": str(manifest)}} if manifest else {}
    norm({"luminosity": 10, **way}, mc={"files": files if isinstance(files, list) else [files], "xsec": 2, **more})
    return flow.run(chunk_size=3)


@pytest.fixture
def total(nano):
    return math.fsum(np.concatenate(list(nano.values())))


@pytest.mark.slow
@pytest.mark.parametrize("way", [None, {"expr": "genWeight"}, "events"])
def test_a_skim_without_survivors_counts_in_the_sum(norm, nano, flow, total, way):
    manifest = skim(norm, nano, way)
    content = json.loads(manifest.read_text())
    assert [file["events"] for file in content["files"]].count(0) > 1
    (said,) = content["skims"]
    wanted = 105 if way == "events" else total
    assert said["sum_of_weights"] == pytest.approx(wanted, rel=1e-12)
    assert said["events"] == 105
    assert later(norm, flow, manifest).exit_code == 0
    found = summary(flow)["normalisation"]["datasets"]["mc"]
    assert found["factor"] == pytest.approx(20 / wanted, rel=1e-12)
    assert found["events"] == 105
    assert found["method"] == "manifest"


@pytest.mark.slow
def test_a_manifest_beside_the_files_is_found_and_files_without_events_may_be_missing(norm, nano, flow, total):
    manifest = skim(norm, nano, {"expr": "genWeight"})
    (flow.folder / "skim" / "manifest.json").write_text(manifest.read_text())
    listed = json.loads(manifest.read_text())["files"]
    filled = [file["path"] for file in listed if file["events"]]
    assert later(norm, flow, None, filled).exit_code == 0
    assert summary(flow)["normalisation"]["datasets"]["mc"]["sum"] == pytest.approx(total, rel=1e-12)


def test_a_skim_that_has_failed_in_part_has_the_sum_of_what_it_has(norm, nano, flow):
    fail = {"id": "Fail", "op": "probe.fail", "params": {"at": [3]}}
    manifest = skim(norm, nano, {"expr": "genWeight"}, fail, exit_code=3)
    (said,) = json.loads(manifest.read_text())["skims"]
    plan = json.loads((flow.folder / "skimmed" / "plan.json").read_text())
    edge = plan["datasets"][0]["files"][0]["edges"][1]
    first, second, _ = nano.values()
    assert said["sum_of_weights"] == pytest.approx(math.fsum([*first[edge:], *second]), rel=1e-12)
    assert later(norm, flow, manifest).exit_code == 0
    assert summary(flow)["normalisation"]["datasets"]["mc"]["sum"] == pytest.approx(said["sum_of_weights"], rel=1e-12)


def test_the_sum_of_a_file_that_was_skimmed_in_part_is_refused_later(norm, nano, flow):
    fail = {"id": "Fail", "op": "probe.fail", "params": {"at": [3]}}
    manifest = skim(norm, nano, RUNS, fail, exit_code=3)
    (said,) = json.loads(manifest.read_text())["skims"]
    assert said["sum_of_weights"] is None
    with pytest.raises(ConfigError, match="has no sum of weights"):
        later(norm, flow, manifest)


@pytest.mark.slow
def test_a_skim_of_a_skim_has_the_sum_of_the_first(norm, nano, flow, total):
    manifest = skim(norm, nano, None)
    (flow.folder / "skim").rename(flow.folder / "once")
    way = {"manifest": str(manifest.relative_to(flow.folder))}
    again = skim(norm, nano, way, chunk=4, files=[str(flow.folder / "once" / "*.root")], name="again")
    (said,) = json.loads(again.read_text())["skims"]
    assert said["sum_of_weights"] == pytest.approx(total, rel=1e-12)
    assert later(norm, flow, again).exit_code == 0
    assert summary(flow)["normalisation"]["datasets"]["mc"]["sum"] == pytest.approx(total, rel=1e-12)


@pytest.mark.slow
def test_files_that_do_not_fit_the_manifest_are_refused(norm, nano, flow):
    manifest = skim(norm, nano, {"expr": "genWeight"})
    first = flow.folder / "skim" / "mc-000000.root"
    first.rename(flow.folder / "gone.root")
    with pytest.raises(
        ConfigError, match=r"1 of \d+ files of dataset `mc` in .* are missing: `mc-000000.root`"
    ) as caught:
        later(norm, flow, manifest)
    (found,) = caught.value.problems
    assert (found.code, found.key) == ("E213", "data.sum_of_weights.manifest")
    assert found.where.line == 1
    with pytest.raises(ConfigError, match=r"`gone\.root` is not in"):
        later(norm, flow, manifest, ["gone.root", "skim/*.root"])
    (flow.folder / "skim" / "mc-000001.root").rename(first)
    with pytest.raises(ConfigError, match="events"):
        later(norm, flow, manifest)
    with pytest.raises(ConfigError, match="No such file"):
        later(norm, flow, flow.folder / "nothing.json")


def test_a_skim_without_known_sums_says_so(norm, flow, tmp_path, nano):
    bare = write_nano(tmp_path / "bare.root", np.ones(20), runs=False)
    manifest = skim(norm, nano, None, files=[str(bare)])
    (said,) = json.loads(manifest.read_text())["skims"]
    assert (said["sum_of_weights"], said["events"]) == (None, 20)
    with pytest.raises(ConfigError, match=r"has no sum of weights of dataset `mc`.*no tree `Runs`"):
        later(norm, flow, manifest)
