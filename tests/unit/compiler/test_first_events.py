"""A limit is exactly the first events of each dataset, and no file behind them is opened."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from fasthep_parsl.compiler.first_events import check_limit
from fasthep_parsl.driver.api import compile_plan, run
from fasthep_parsl.errors import ConfigError


def write_numbers(path, values, clusters):
    """Write `x` in clusters of these sizes, the last one repeated."""
    sizes = list(clusters)
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {"x": values.dtype})
        first = 0
        while first < len(values):
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            tree.extend({"x": values[first : first + size]})
            first += size
    return path


def first_by_loop(files, limit):
    """Return the first values of files, event by event."""
    found = []
    for path in files:
        with uproot.open(path) as file:
            for value in file["Events"]["x"].array(library="np").tolist():
                if len(found) == limit:
                    return found
                found.append(value)
    return found


def histogram(flow, name="H"):
    """Return dataset → value → events."""
    content = json.loads((flow.folder / "run" / "results" / name / "hist.json").read_text())
    at, axis = next((n, axis) for n, axis in enumerate(content["axes"]) if "categories" in axis)
    values = np.moveaxis(np.asarray(content["storage"]["values"]), at, 0)
    return {dataset: values[number][1:-1] for number, dataset in enumerate(axis["categories"])}


def of_numbers(flow, datasets, **sections):
    axis = {"name": "x", "source": "x", "bins": {"nbins": 200, "low": -0.5, "high": 199.5}}
    stages = [flow.stage("H", "hep.hist", axes=[axis], dataset_axis=True)]
    return flow.write(stages, datasets=datasets, **sections)


@pytest.mark.parametrize("seed", range(12))
def test_a_limited_run_is_a_loop_over_the_first_events(flow, seed):
    random = np.random.default_rng(seed)
    datasets = {}
    for name in ("a", "b", "c"):
        datasets[name] = [
            write_numbers(
                flow.folder / f"{name}{number}.root",
                random.integers(0, 200, random.integers(0, 60)),
                random.integers(1, 25, 4),
            )
            for number in range(random.integers(1, 6))
        ]
    limit, chunk = int(random.integers(1, 120)), int(random.integers(1, 40))
    outcome = of_numbers(flow, datasets).run(chunk_size=chunk, limit=limit)
    assert outcome.exit_code == 0, outcome.error
    found = histogram(flow)
    everything = 0
    for name, files in datasets.items():
        wanted = np.bincount(np.array(first_by_loop(files, limit), int), minlength=200)
        assert found.get(name, np.zeros(200)).tolist() == wanted.tolist()
        everything += wanted.sum()
    events = json.loads((flow.folder / "run" / "run.json").read_text())["events"]
    assert events == {"total": everything, "done": everything, "read": everything}


@pytest.fixture
def row(flow):
    """Ten files with ten events each; of each file behind the third only the name is there."""
    files = [write_numbers(flow.folder / f"{n}.root", np.arange(10 * n, 10 * n + 10), [4]) for n in range(10)]
    for path in files[3:]:
        path.write_bytes(b"nobody opens this")
    return files


@pytest.mark.parametrize(
    ("limit", "files", "last"), [(1, 1, 1), (9, 1, 9), (10, 1, 10), (11, 2, 1), (25, 3, 5), (30, 3, 10)]
)
def test_no_file_behind_the_last_event_is_opened(flow, row, limit, files, last):
    plan = of_numbers(flow, {"a": row}).compile(limit=limit, cache=False)
    (dataset,) = plan.datasets
    assert [file.path for file in dataset.files] == [str(path) for path in row[:files]]
    assert dataset.files[-1].edges[-1] == last
    assert [file.entries for file in dataset.files] == [10] * files  # workers compare them with the file
    assert (dataset.entries, plan.entries, dataset.unread_files) == (limit, limit, 10 - files)
    assert dataset.limited


def test_a_file_that_is_needed_must_be_there(flow, row):
    with pytest.raises(ConfigError) as caught:
        of_numbers(flow, {"a": row}).compile(limit=31, cache=False)
    (found,) = caught.value.problems
    assert found.code == "E135"
    assert "3.root" in found.message


@pytest.mark.parametrize("sizes", [[0, 0, 3, 0, 5, 100], [1, 1, 1, 1, 200, 7], [100]])
def test_small_and_empty_files_come_before_the_large_ones(flow, sizes):
    files = [write_numbers(flow.folder / f"{n}.root", np.full(size, n), [50]) for n, size in enumerate(sizes)]
    (dataset,) = of_numbers(flow, {"a": files}).compile(limit=50).datasets
    assert [file.events for file in dataset.files] == np.diff(np.minimum(np.cumsum([0, *sizes]), 50)).tolist()[
        : len(dataset.files)
    ]
    assert dataset.entries == 50


def test_a_limit_beyond_the_end_leaves_out_nothing(flow, row):
    (dataset,) = of_numbers(flow, {"a": row[:3]}).compile(limit=31).datasets
    assert (dataset.entries, dataset.limited) == (30, False)


def test_datasets_without_events_stay_empty(flow):
    files = [write_numbers(flow.folder / f"{n}.root", np.arange(0), [1]) for n in range(3)]
    plan = of_numbers(flow, {"a": files}).compile(limit=5)
    assert (plan.partitions, plan.entries) == (1, 0)


def test_the_expected_number_of_events_is_compared_where_it_is_known(flow, row):
    of_numbers(flow, {"a": row[:3]})
    content = json.loads(flow.path.read_text())
    content["data"]["datasets"][0]["nevents"] = 99
    flow.path.write_text(json.dumps(content))
    flow.compile(limit=20)  # the third file is not opened
    with pytest.raises(ConfigError, match="30 events"):
        flow.compile(limit=21)


def test_the_hash_differs_by_the_limit(flow, row):
    of_numbers(flow, {"a": row[:3]})
    plans = [flow.compile(limit=limit) for limit in (None, 10, 20, 30, 31)]
    assert len({plan.hash for plan in plans}) == 5
    assert flow.compile(limit=10).hash == plans[1].hash
    assert plans[0].model_copy(update={"limit": None}).hash == plans[0].hash
    assert [plan.extent for plan in plans[:2]] == ["", "first 10 events of each dataset"]


@pytest.mark.parametrize("limit", [0, -1, True, 1.0, 1e3, "5"])
def test_a_limit_is_a_positive_whole_number(limit):
    with pytest.raises(ConfigError, match="number of events"):
        compile_plan("any.yaml", limit=limit)


def test_a_plan_keeps_its_limit(flow, row):
    plan = of_numbers(flow, {"a": row[:3]}).compile(limit=10)
    for limit in (None, 10):
        run(plan, outdir=flow.folder / f"run{limit}", limit=limit, plots=False)
    with pytest.raises(ConfigError, match="its own limit"):
        run(plan, outdir=flow.folder / "other", limit=20)
    check_limit(None)


@pytest.mark.parametrize("chunk", [None, 4])
def test_parquet_files_and_ntuples_are_limited_too(flow, chunk):
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = [np.arange(10 * n, 10 * n + 10) for n in range(3)]
    for n, values in enumerate(numbers):
        pq.write_table(pa.table({"x": values}), flow.folder / f"{n}.parquet", row_group_size=4)
        with uproot.recreate(flow.folder / f"{n}.root") as file:
            out = file.mkrntuple("Events", {"x": values[:6]})
            out.extend({"x": values[6:]})
    wanted = np.bincount(np.concatenate(numbers)[:17], minlength=200).tolist()
    for kind, suffix in (("parquet", "parquet"), ("root_tree", "root")):
        sources = {"events": {"kind": kind, **({"tree": "Events"} if suffix == "root" else {})}}
        files = [flow.folder / f"{n}.{suffix}" for n in range(3)]
        outcome = of_numbers(flow, {"a": files}, sources=sources).run(mode="force", chunk_size=chunk, limit=17)
        assert outcome.exit_code == 0, outcome.error
        assert histogram(flow)["a"].tolist() == wanted
