"""Certified luminosity sections: the mask is right for every event, and the account says what was really processed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.lumi_mask import bounds, certified, lumi_mask, merge_seen, section_keys, sections_of
from fasthep_parsl.ops.lumi_sections import common_sections, joined, number_of, read_sections, united, without
from fasthep_parsl.ops.stream import Events
from normalisation_cases import MC, summary, write_nano


def plain(sections):
    """All sections as pairs."""
    return {(run, number) for run, ranges in sections.items() for a, b in ranges for number in range(a, b + 1)}


def some(random, runs=6, most=40):
    return {
        int(run): joined((int(a), int(a + b)) for a, b in random.integers(0, most, (random.integers(1, 6), 2)))
        for run in random.integers(1, 10, runs)
    }


@pytest.mark.parametrize("seed", range(20))
def test_sets_of_sections_are_sets(seed):
    random = np.random.default_rng(seed)
    a, b = some(random), some(random)
    assert plain(united(a, b)) == plain(a) | plain(b)
    assert plain(common_sections(a, b)) == plain(a) & plain(b)
    assert plain(without(a, b)) == plain(a) - plain(b)
    assert number_of(a) == len(plain(a))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_the_mask_is_that_of_a_loop_for_every_cut(tmp_path, seed, dtype):
    random = np.random.default_rng(seed)
    golden = {str(run): [list(pair) for pair in ranges] for run, ranges in some(random).items()}
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(golden))
    n = int(random.integers(0, 400))
    runs, numbers = random.integers(1, 10, n), random.integers(0, 90, n)
    if seed % 2:
        order = np.lexsort((numbers, runs))
        runs, numbers = runs[order], numbers[order]
    events = Events({"run": runs.astype(dtype), "luminosityBlock": numbers.astype(dtype), "i": np.arange(n)}, n)
    context = Context("M", DatasetInfo("data", "data"), (), "data-000000", tmp_path)
    wanted = [i for i in range(n) if any(a <= numbers[i] <= b for a, b in golden.get(str(runs[i]), ()))]
    kept, seen = lumi_mask(events, file=path, context=context)
    assert kept["i"].tolist() == wanted
    assert plain(seen.rows["data"]) == set(zip(runs.tolist(), numbers.tolist(), strict=True))
    middle = n // 3
    parts = [lumi_mask(events.filter(cut), file=path, context=context) for cut in (slice(0, middle), slice(middle, n))]
    assert [i for part, _ in parts for i in part["i"].tolist()] == wanted
    assert merge_seen(parts[0][1], parts[1][1]) == seen


def test_the_largest_numbers_and_neighbours_of_runs_are_kept_apart():
    top = (1 << 32) - 1
    keys = section_keys(np.array([1, 1, 2, top]), np.array([top, top - 1, 0, top]))
    assert sections_of(keys) == {1: ((top - 1, top),), 2: ((0, 0),), top: ((top, top),)}
    assert certified(keys, *bounds({1: ((0, top - 1),), top: ((top, top),)})).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "content", [{}, [], {"x": [[1, 2]]}, {"1": [1, 2]}, {"1": [[2, 1]]}, {"1": [[1.5, 2]]}, {"1": [[1, 2, 3]]}]
)
def test_what_is_no_file_of_sections(content):
    with pytest.raises(ValueError, match=r"expected|order"):
        read_sections(content)


# --- runs ---------------------------------------------------------------------------------------------

SECTIONS = {0: [(1, 1), (1, 2), (1, 3)], 1: [(2, 1), (2, 2), (2, 9)]}
"""Sections that files list; the last of each has no event."""
GOLDEN = {"1": [[1, 1], [3, 3]], "2": [[2, 9]], "7": [[1, 2]]}


@pytest.fixture
def masked(norm, tmp_path):
    """Return a function that writes a workflow over two files of data, 20 events each, with a mask."""

    def write(golden, *, listed=True, at=(), data=None, **more):
        (tmp_path / "golden.json").write_text(json.dumps(golden))
        files = []
        for number, sections in SECTIONS.items():
            run = np.full(20, number + 1, np.uint32)
            section = np.repeat(np.array([1, 2], np.uint32), 10)
            columns = {"run": run, "luminosityBlock": section}
            path = tmp_path / f"data{number}.root"
            write_nano(path, np.ones(20), False, 100 * number, sections if listed else None, **columns)
            files.append(str(path))
        stages = [
            {"id": "Mask", "op": "hep.lumi_mask", "params": {"file": "golden.json"}},
            {"id": "Fail", "op": "probe.fail", "params": {"at": list(at)}},
            {"id": "Sum", "op": "probe.sum", "params": {}},
        ]
        return norm(data or {}, stages, real={"files": files, "eventtype": "data"}, **more)

    return write


def lumis(flow, name="processed"):
    path = flow.folder / "run" / "results" / f"{name}_lumis.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_processed_sections_are_the_certified_ones_of_what_was_read(masked):
    flow = masked(GOLDEN)
    outcome = flow.run(chunk_size=10)
    assert outcome.exit_code == 0, outcome.error
    assert outcome.products["Sum", "sum"] == sum(range(10)) + sum(range(110, 120))
    assert lumis(flow) == {"1": [[1, 1], [3, 3]], "2": [[2, 2], [9, 9]]}
    assert lumis(flow, "missing") is None
    flow = masked(GOLDEN, listed=False)
    assert flow.run(chunk_size=10, mode="force").exit_code == 0
    assert lumis(flow) == {"1": [[1, 1]], "2": [[2, 2]]}
    assert not summary(flow)["normalisation"]["luminosity_sections"]["sections_without_events_are_known"]


def test_what_is_missing_after_failures_is_listed_or_said_to_be_unknown(masked):
    flow = masked(GOLDEN, at=range(110, 120))
    assert flow.run(chunk_size=10).exit_code == 3
    assert lumis(flow) == {"1": [[1, 1], [3, 3]]}
    assert lumis(flow, "missing")["missing"] == {"2": [[2, 2], [9, 9]]}
    flow = masked(GOLDEN, listed=False, at=range(110, 120))
    assert flow.run(chunk_size=10, mode="force").exit_code == 3
    (unknown,) = lumis(flow, "missing")["files_with_unknown_sections"]
    assert unknown.endswith("data1.root")


def test_a_file_of_another_year_is_refused_at_plan_time_or_at_the_end(masked):
    with pytest.raises(ConfigError) as caught:
        masked({"300000": [[1, 9]]}).compile()
    (found,) = caught.value.problems
    assert (found.code, found.key) == ("E214", "analysis.stages[0].params.file")
    assert "`golden.json` certifies no run of dataset `real`" in found.message
    assert "1–2" in str(found.hint)
    outcome = masked({"300000": [[1, 9]]}, listed=False).run()
    assert outcome.exit_code == 3
    assert "no run of dataset `real` is certified" in outcome.error


def test_a_file_that_has_no_sections_is_refused_with_its_place(masked):
    with pytest.raises(ConfigError) as caught:
        masked({"1": [[5, 2]]}).compile()
    (found,) = caught.value.problems
    assert (found.code, found.key) == ("E214", "analysis.stages[0].params.file")
    assert "the range [5, 2] is not in order" in found.message


def test_a_luminosity_of_other_sections_is_a_warning(masked, tmp_path):
    sim = np.full(20, 1, np.uint32)
    mc = write_nano(tmp_path / "mc.root", np.ones(20), run=sim, luminosityBlock=sim)
    flow = masked(GOLDEN, data={"luminosity": 10}, mc={"files": [str(mc)], **MC})
    outcome = flow.run()
    assert outcome.exit_code == 0
    assert outcome.products["Sum", "sum"] == sum(range(10)) + sum(range(110, 120)) + sum(range(20))
    (warning,) = [line for line in outcome.summary["warnings"] if "brilcalc" in line]
    assert "8 of 12 certified luminosity sections are not in the data (runs 2, 7)" in warning
