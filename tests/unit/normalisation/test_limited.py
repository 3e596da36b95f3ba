"""A limited run is normalised to exactly its events, or not at all; what it writes says that it is not of all events."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from normalisation_cases import MC, RUNS, factor, paths, summary, write_nano

EXTENT = "first 70 events of each dataset"


def first(nano, limit):
    """Return the weights of the first events."""
    return np.concatenate(list(nano.values()))[:limit]


def passed(flow, column="sumw_out"):
    """Return the last row of the cutflow of the simulation."""
    with (flow.folder / "run" / "results" / "H" / "cutflow.csv").open() as file:
        return float([row for row in csv.DictReader(file) if row["dataset"] == "mc"][-1][column])


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("way", [{"expr": "genWeight"}, "events"])
def test_a_sum_over_events_is_that_of_the_processed_ones(norm, nano, way, chunk):
    flow = norm({"luminosity": 10, "sum_of_weights": way}, mc={"files": paths(nano), **MC})
    outcome = flow.run(limit=70, chunk_size=chunk)
    assert outcome.exit_code == 0, outcome.error
    weights = first(nano, 70)
    wanted = 70 if way == "events" else math.fsum(weights)
    assert factor(flow)["sum"] == pytest.approx(wanted, rel=1e-12)
    assert factor(flow)["factor"] == pytest.approx(62000 / wanted, rel=1e-12)
    assert factor(flow)["events"] == 70
    x = np.concatenate([np.arange(60), np.arange(1000, 1045)])[:70]
    assert passed(flow) == pytest.approx(62000 / wanted * math.fsum(weights[x % 2 == 0]), rel=1e-12)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (None, "Runs.genEventSumw of a file"),
        (RUNS, "Runs.genEventSumw of a file"),
        ({"value": 1234.0}, "the sum in the workflow"),
    ],
)
def test_a_sum_of_whole_files_normalises_nothing(norm, nano, way, said):
    data = {"luminosity": 10, **({"sum_of_weights": way} if way else {})}
    whole = {"files": paths(nano, 1), **MC}  # all of its 45 events are processed
    outcome = norm(data, mc={"files": paths(nano, 0), **MC}, whole=whole).run(limit=50)
    assert outcome.exit_code == 0, outcome.error
    content = json.loads((outcome.run_dir / "run.json").read_text())
    assert content["normalisation"] == {}
    assert any(f"nothing is normalised: {said} counts all events" in line for line in content["warnings"])
    with (outcome.run_dir / "results" / "H" / "cutflow.csv").open() as file:
        rows = {row["dataset"]: float(row["sumw_in"]) for row in csv.DictReader(file)}
    wanted = {name: math.fsum(list(nano.values())[number][:50]) for number, name in enumerate(("mc", "whole"))}
    assert rows == pytest.approx(wanted, rel=1e-12)
    assert not list(outcome.run_dir.glob("results/H/*-raw*"))


@pytest.mark.parametrize("limit", [60, 105, 1000])
def test_sums_of_whole_files_are_exact_at_their_ends(norm, nano, limit):
    flow = norm({"luminosity": 10, "sum_of_weights": RUNS}, mc={"files": paths(nano), **MC})
    assert flow.run(limit=limit).exit_code == 0
    weights = first(nano, limit)
    assert factor(flow)["sum"] == pytest.approx(math.fsum(weights), rel=1e-12)
    assert factor(flow)["events"] == len(weights)


def skim(norm, nano, way, limit):
    write = {"id": "W", "op": "hep.write", "params": {"format": "root", "path": "skim", "fields": ["x", "genWeight"]}}
    flow = norm({"sum_of_weights": way} if way else {}, [write], mc={"files": paths(nano), **MC})
    assert flow.run(chunk_size=20, limit=limit).exit_code == 0
    (flow.folder / "run").rename(flow.folder / "skimmed")
    return flow, flow.folder / "skimmed" / "results" / "W" / "manifest.json"


def test_the_manifest_of_a_limited_skim_says_so_and_has_its_sum(norm, nano):
    flow, path = skim(norm, nano, {"expr": "genWeight"}, 70)
    manifest = json.loads(path.read_text())
    assert manifest["limit"] == 70
    assert sum(file["events"] for file in manifest["files"]) == manifest["skims"][0]["events"] == 70
    total = math.fsum(first(nano, 70))
    assert manifest["skims"][0]["sum_of_weights"] == pytest.approx(total, rel=1e-12)
    (flow.folder / "skim" / "manifest.json").write_text(path.read_text())
    norm({"luminosity": 10}, mc={"files": ["skim/*.root"], **MC})
    assert flow.run().exit_code == 0
    assert factor(flow)["sum"] == pytest.approx(total, rel=1e-12)
    assert factor(flow)["source"].endswith(f"({EXTENT})")
    assert any(f"is a skim of the {EXTENT}, not of all events" in line for line in summary(flow)["warnings"])


def test_the_manifest_of_a_skim_that_a_limit_tears_has_no_sum(norm, nano):
    _, path = skim(norm, nano, None, 70)
    (said,) = json.loads(path.read_text())["skims"]
    assert said["sum_of_weights"] is None
    assert "the limit leaves out" in said["why"]


def test_the_manifest_of_a_whole_skim_is_not_that_of_a_part(norm, nano):
    flow, path = skim(norm, nano, {"expr": "genWeight"}, None)
    assert json.loads(path.read_text())["limit"] is None
    way = {"manifest": str(path)}
    norm({"luminosity": 10, "sum_of_weights": way}, mc={"files": ["skim/*.root"], **MC})
    outcome = flow.run(limit=30)
    assert outcome.summary["normalisation"] == {}
    assert "the manifest of the skim counts all events" in " ".join(outcome.summary["warnings"])


def masked(norm, folder, limit, sections):
    """Run over data with sections of ten events in two files, the second of which a limit may tear."""
    (folder / "golden.json").write_text(json.dumps({"1": [[1, 100]]}))
    files = []
    for number in range(2):
        numbers = np.repeat(np.arange(10 * number + 1, 10 * number + 6), 10).astype("u4")
        more = {"run": np.ones(50, "u4"), "luminosityBlock": numbers}
        listed = [(1, n) for n in range(10 * number + 1, 10 * number + 8)] if sections else None  # two without events
        files.append(str(write_nano(folder / f"d{number}.root", np.ones(50), runs=False, sections=listed, **more)))
    mask = {"id": "Mask", "op": "hep.lumi_mask", "params": {"file": "golden.json"}}
    flow = norm({}, [mask], real={"files": files, "eventtype": "data"})
    outcome = flow.run(limit=limit)
    assert outcome.exit_code == 0, outcome.error
    results = flow.folder / "run" / "results"
    missing = results / "missing_lumis.json"
    return (
        json.loads((results / "processed_lumis.json").read_text()),
        json.loads(missing.read_text()) if missing.exists() else {},
        outcome.summary["warnings"],
    )


def test_sections_behind_a_limit_are_not_processed(norm, tmp_path):
    processed, missing, warnings = masked(norm, tmp_path, 75, sections=True)
    assert processed == {"1": [[1, 7], [11, 13]]}  # the first file has all of its sections, also those without events
    assert missing == {"limit": 75, "missing": {}, "incomplete": {"1": [[11, 13]]}, "files_with_unknown_sections": []}
    assert any("sections may be incomplete" in line for line in warnings)


def test_sections_of_whole_files_are_complete(norm, tmp_path):
    processed, missing, _ = masked(norm, tmp_path, 50, sections=True)
    assert (processed, missing) == ({"1": [[1, 7]]}, {})


@pytest.mark.parametrize("sections", [None, [(5, 1)]])
def test_the_first_events_may_be_of_a_run_that_is_not_certified(norm, tmp_path, sections):
    (tmp_path / "golden.json").write_text(json.dumps({"1": [[1, 100]]}))
    files = []
    for run in (5, 1):
        more = {"run": np.full(20, run, "u4"), "luminosityBlock": np.ones(20, "u4")}
        listed = sections and [(run, 1)]
        files.append(str(write_nano(tmp_path / f"{run}.root", np.ones(20), runs=False, sections=listed, **more)))
    mask = {"id": "Mask", "op": "hep.lumi_mask", "params": {"file": "golden.json"}}
    flow = norm({}, [mask], real={"files": files, "eventtype": "data"})
    for limit in (10, 20):
        outcome = flow.run(limit=limit, mode="force")
        assert (outcome.exit_code, outcome.error) == (0, "")


def test_data_beside_normalised_simulation_are_named(norm, nano, tmp_path):
    data = write_nano(tmp_path / "data.root", np.ones(80), runs=False)
    flow = norm(
        {"luminosity": 10, "sum_of_weights": "events"},
        mc={"files": paths(nano), **MC},
        real={"files": [str(data)], "eventtype": "data"},
    )
    flow.run(limit=70)
    said = "simulation is normalised to the luminosity of all data, but the limit leaves out some of `real`"
    assert said in summary(flow)["warnings"]
