"""Every source keeps its contract: a header agrees with what reading gives, for any columns and any range."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from fasthep_parsl import registry
from fasthep_parsl.interfaces import TEXT, InputFileError
from source_cases import NUMBERS, examples

SOURCES = registry.names("sources")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return examples(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module", params=SOURCES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def source(name):
    return registry.load("sources", name)


@pytest.fixture(scope="module", params=[(name, n) for name in SOURCES for n in range(NUMBERS.get(name, 1))], ids=str)
def example(request, files):
    name, number = request.param
    assert name in files, f"a source needs an example of a file: sources: {{{name}: {{file: …, params: {{…}}}}}}"
    return files[name][number]


@pytest.fixture
def opened(example):
    file = example.open()
    yield file
    file.close()


@pytest.fixture
def columns(opened):
    """Branches that can be read."""
    return {key: branch for key, branch in opened.branches().found.items() if not branch.problem}


def same(a, b):
    return type(a) is type(b) and ak.array_equal(a, b, dtype_exact=True, check_parameters=True)


def lists_and_type(column):
    """Return how many levels of lists a column has, and the type of its values."""
    form, depth = ak.to_layout(column).form, 0
    while not form.is_numpy:
        if form.parameter("__array__") in ("string", "char"):
            return depth, TEXT
        depth += form.is_list
        form = form.content
    return depth + len(form.inner_shape), str(np.dtype(form.primitive))


def test_it_is_a_frozen_model_with_described_fields(source):
    assert issubclass(source, BaseModel)
    assert source.model_config["frozen"]
    assert source.model_config["extra"] == "forbid"
    assert source.__doc__
    assert isinstance(source.fork_safe, bool)
    assert all(field.description for field in source.model_fields.values())
    with pytest.raises(ValidationError):
        source(surprise=1)


def test_it_travels_to_workers(source, files, name):
    for example in files[name]:
        made = source(**example.params)
        assert pickle.loads(pickle.dumps(made)) == made
        assert source.model_validate_json(made.model_dump_json()) == made


@pytest.mark.integration
def test_listing_it_is_light_and_fork_safety_is_true(name, source, files):
    example = files[name][0]
    code = """
import json, sys
from pathlib import Path
from fasthep_parsl import registry
name, path, params = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
source = registry.load("sources", name)(**params)
heavy = {"awkward", "numpy", "uproot", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
source.open(path).branches()
names = [Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert not source.fork_safe or len([name for name in names if not name.startswith("jemalloc")]) == 1, names
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, name, str(example.path), source(**example.params).model_dump_json()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_header_tells_what_reading_gives(opened, columns):
    assert columns
    found = opened.read(columns, 0, opened.entries)
    assert {key: lists_and_type(column) for key, column in found.items()} == {
        key: (len(branch.shape), branch.dtype) for key, branch in columns.items()
    }
    assert all(len(column) == opened.entries for column in found.values())
    flat = [found[key] for key, branch in columns.items() if not branch.shape and branch.dtype != TEXT]
    assert all(isinstance(column, np.ndarray) for column in flat)
    assert all(opened.has(key) for key in columns)


def test_lists_with_one_name_have_equal_lengths(opened, columns):
    found = opened.read(columns, 0, opened.entries)
    lengths = defaultdict(list)
    for key, branch in columns.items():
        if branch.shape and branch.shape[0] != "*":
            lengths[branch.shape[0]].append(ak.num(found[key]))
    for first, *others in lengths.values():
        assert all(ak.array_equal(first, other) for other in others)


def test_clusters_cut_all_events(opened):
    edges = opened.clusters()
    assert (edges[0], edges[-1]) == (0, opened.entries)
    assert all(a < b for a, b in pairwise(edges))


def test_any_range_is_a_part_of_the_whole(opened, columns):
    whole = opened.read(columns, 0, opened.entries)
    last = opened.entries
    inner = {edge + step for edge in opened.clusters() for step in (-1, 0, 1)} & set(range(last + 1))
    for start, stop in [
        (0, last),
        (0, 0),
        (last, last),
        *pairwise(sorted(inner)),
        (1, last - 1),
        (last // 3, last // 2),
    ]:
        found = opened.read(columns, start, stop)
        assert found.keys() == columns.keys()
        for key, column in found.items():
            assert same(column, whole[key][start:stop]), (key, start, stop)
            assert lists_and_type(column) == lists_and_type(whole[key])


def test_only_the_columns_that_are_asked_for_are_read(opened, columns):
    whole = opened.read(columns, 0, opened.entries)
    for key in columns:
        found = opened.read([key], 0, opened.entries)
        assert list(found) == [key]
        assert same(found[key], whole[key])
    assert opened.read([], 0, opened.entries) == {}


def test_bytes_are_counted_by_column(opened, columns):
    sizes = opened.branch_bytes(columns, 0, opened.entries)
    assert sizes.keys() == columns.keys()
    assert sum(sizes.values()) > 0
    before = opened.bytes_read
    opened.read(columns, 0, opened.entries)
    assert opened.bytes_read > before
    assert opened.branch_bytes(columns, 0, 0).keys() == columns.keys()


def test_columns_outlive_the_file_and_travel(example):
    file = example.open()
    wanted = [key for key, branch in file.branches().found.items() if not branch.problem]
    found = file.read(wanted, 1, file.entries)
    file.close()
    for column in found.values():
        assert same(pickle.loads(pickle.dumps(column)), column)


def test_an_unknown_column_is_named(opened):
    assert not opened.has("no_such_column")
    with pytest.raises(InputFileError, match="`no_such_column`") as caught:
        opened.read(["no_such_column"], 0, 1)
    assert caught.value.path == opened.path


def test_two_openings_agree(example, opened):
    other = example.open()
    assert (other.uuid, other.section, other.entries) == (opened.uuid, opened.section, opened.entries)
    assert other.branches() == opened.branches()
    other.close()


@pytest.mark.parametrize("left", [0, 10, 0.3, 0.7])
def test_the_error_for_a_damaged_file_names_it(example, tmp_path, left):
    path = tmp_path / f"damaged{example.path.suffix}"
    content = example.path.read_bytes()
    path.write_bytes(content[: int(left * len(content)) if left < 1 else left])
    with pytest.raises(InputFileError) as caught:
        example.open(path)
    assert caught.value.path == str(path)
    assert caught.value.message
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key) == (str(caught.value), caught.value.key)


def test_a_missing_file_is_called_missing(example, tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        example.open(tmp_path / f"gone{example.path.suffix}")


def test_a_file_of_another_kind_is_refused(example, tmp_path):
    path = shutil.copy(__file__, tmp_path / f"text{example.path.suffix}")
    with pytest.raises(InputFileError, match="not a"):
        example.open(path)
