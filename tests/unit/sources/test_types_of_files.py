"""Files of a dataset with different types of a field: results do not depend on chunks, pools and stores."""

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.plan import Plan
from fasthep_parsl.tasks import Task
from fasthep_parsl.worker.partials import load_products
from fasthep_parsl.worker.runner import run_task

BIG = 2**62
LOW, HIGH = -100.123, 99.877  # no whole number is on an edge

FILES = {
    "a.root": {"i": np.int64, "f": np.float32, "b": bool, "small": np.int8},
    "b.root": {"i": np.uint64, "f": np.float64, "b": np.uint8, "small": np.uint32},
    "c.root": {"i": np.int32, "f": np.float32, "b": np.int16, "small": np.int64},
}


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(3)
    made = {}
    for path, types in FILES.items():
        columns = {
            "i": np.array([BIG, BIG + 1, 7, 3, 90] if path != "c.root" else [5, 4, 7, 3, 90]).astype(types["i"]),
            "f": rng.exponential(20, 5).astype(np.float32).astype(types["f"])
            * types["f"](1 if types["f"] is np.float32 else 1.1),
            "b": np.array([1, 0, 1, 1, 0]).astype(types["b"]),
        }
        counts = np.array([2, 0, 1, 3, 0])
        lists = {
            "s": ak.unflatten(rng.integers(0, 100, 6).astype(types["small"]), counts),
            "x": ak.unflatten(columns["f"][[0, 1, 2, 3, 4, 0]], counts),
        }
        with uproot.recreate(tmp_path / path) as file:
            kinds = {name: column.dtype for name, column in columns.items()}
            jet = ak.zip(lists)
            tree = file.mktree("Events", {**kinds, "J": jet.type}, counter_name=lambda name: f"n{name}")
            tree.extend({**columns, "J": jet})
        made[path] = {
            **{name: column.tolist() for name, column in columns.items()},
            "dtype": types["f"],
            "J": jet.to_list(),
        }
    return tmp_path, made


def bins(values, low, high, number=400):
    inside = [v for v in values if v is not None and low <= v < high]
    return np.histogram(np.array(inside, dtype=float), number, (low, high))[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [1, 3, None])
@pytest.mark.parametrize("pool", ["default", "other"])
def test_results_are_those_of_a_loop(flow, files, chunk_size, pool):
    folder, made = files
    axis = {"nbins": 400, "low": LOW, "high": HIGH}
    sources = {
        "Low": "y",
        "Tenth": "(tenth * 1e9) % 100",
        "Bits": "flag",
        "Difference": "d",
        "Lists": "J_s - leading(J_s)",
        "Lead": "fill_none(lead, -50)",
    }
    define = [
        {"name": "y", "expr": f"where(i > 1000, i - {BIG}, i - 5)"},
        {"name": "tenth", "expr": "f * 0.1"},
        {"name": "flag", "expr": "b + b - 3"},
        {"name": "d", "expr": "J_s - leading(J_s) - 1"},
        {"name": "lead", "expr": "leading(J_s)"},
    ]
    stages = [flow.stage("New", "hep.define", variables=define)]
    stages += [
        flow.stage(name, "hep.hist", ["New"], pool, axes=[{"name": "v", "source": source, "bins": axis}])
        for name, source in sources.items()
    ]
    outcome = flow.write(stages, [folder / name for name in FILES]).run(chunk_size=chunk_size, mode="force")
    assert outcome.status == "complete"
    values = {name: [] for name in sources}
    for found in made.values():
        narrow = found["dtype"] is np.float32
        for i, f, b, jets in zip(found["i"], found["f"], found["b"], found["J"], strict=True):
            values["Low"].append(i - BIG if i > 1000 else i - 5)
            tenth = np.float32(f) * np.float32(0.1) if narrow else np.float64(f) * 0.1
            scaled = tenth * (np.float32(1e9) if narrow else 1e9)
            values["Tenth"].append(float(np.remainder(scaled, type(scaled)(100))))
            values["Bits"].append(2 * int(b) - 3)
            values["Difference"] += [jet["s"] - jets[0]["s"] - 1 for jet in jets]
            values["Lists"] += [jet["s"] - jets[0]["s"] for jet in jets]
            values["Lead"].append(jets[0]["s"] if jets else -50)
    for name, expected in values.items():
        product = outcome.products[name, "hist"]
        assert product.hist.values().tolist() == bins(expected, LOW, HIGH), name
        assert product.hist.sum(flow=True) == len(expected), name


def test_a_task_of_all_files_hands_on_what_its_parts_would(flow, files):
    folder, made = files
    axis = {"nbins": 400, "low": LOW, "high": HIGH}
    flow.write(
        [
            flow.stage("Near", "hep.select", [], selection=["f > -1"]),
            flow.stage(
                "Low",
                "hep.hist",
                ["Near"],
                "other",
                axes=[{"name": "v", "source": f"i - where(i > 1000, {BIG}, 0)", "bins": axis}],
            ),
            flow.stage(
                "Tenth",
                "hep.hist",
                ["Near"],
                "other",
                axes=[{"name": "v", "source": "(f * 0.1 * 1e9) % 100", "bins": axis}],
            ),
        ],
        [folder / name for name in FILES],
    )
    run_dir = flow.run(mode="force").run_dir
    plan = Plan.model_validate_json((run_dir / "plan.json").read_bytes())
    where = (str(run_dir / "plan.json"), plan.hash)
    number = sum(file.partitions for dataset in plan.datasets for file in dataset.files)
    near = run_task(Task("map", 90, 0, where, str(run_dir), partitions=((0, number),)))
    refs = near.refs["Near"]
    assert len(refs) == 3  # the types of all three files differ
    far = next(segment.id for segment in plan.segments if "Low" in segment.stages)
    found = load_products(run_task(Task("map", 91, far, where, str(run_dir), refs=refs)).partial)
    low, tenth = [], []
    for each in made.values():
        narrow = each["dtype"] is np.float32
        low += [i - BIG if i > 1000 else i for i in each["i"]]
        for f in each["f"]:
            scaled = np.float32(f) * np.float32(0.1) * np.float32(1e9) if narrow else f * 0.1 * 1e9
            tenth.append(float(np.remainder(scaled, type(scaled)(100))))
    assert found["Low"].hist.values().tolist() == bins(low, LOW, HIGH)
    assert found["Tenth"].hist.values().tolist() == bins(tenth, LOW, HIGH)
