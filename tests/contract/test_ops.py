"""Every op keeps its contract: what it says of itself is true, and it does not matter how events are cut."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Literal, get_origin

import awkward as ak
import numpy as np
import pytest
from pydantic import ValidationError

import kind_examples
from fasthep_parsl import registry
from fasthep_parsl.interfaces import Context, DatasetInfo, Op
from fasthep_parsl.interfaces.file_parameters import wrong_with_files
from fasthep_parsl.ops.stream import Events

OPS = registry.names("ops")
MERGED = [name for name in OPS if registry.load("ops", name).op.merge is not None]


@pytest.fixture(params=OPS)
def op(request):
    return registry.load("ops", request.param).op


@pytest.fixture
def model(op, examples):
    if op.name not in examples:
        pytest.fail(f"op `{op.name}` has no example: add parameters for it to EXAMPLES in tests/contract/conftest.py")
    return kind_examples.parameters(op, examples[op.name])


@pytest.fixture
def call(op, model, tmp_path):
    """Call the op as a worker does; return (stream or None, product or None)."""

    def call(events, partition="dy-000000"):
        keywords = op.keywords(model)
        if op.takes_context:
            dy = DatasetInfo("dy")
            keywords["context"] = Context("Stage", dy, (DatasetInfo("data", "data"), dy), partition, tmp_path)
        found = op.call(events, **keywords) if op.takes_events else op.call(**keywords)
        stream, product = found if op.stream and op.product else (found, None) if op.stream else (None, found)
        if isinstance(stream, dict):
            stream = events.with_columns(stream)
        return stream, product

    return call


def cut(events, *edges):
    return [events.filter(slice(a, b)) for a, b in zip((0, *edges), (*edges, len(events)), strict=True)]


def same(a, b):
    """Whether two products are equal: counts exactly, sums of floats to 1e-12."""
    if type(a) is not type(b):
        return False
    if is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == pytest.approx(b, rel=1e-12, abs=1e-9)
    if hasattr(a, "axes"):
        return a.axes == b.axes and np.allclose(
            np.asarray(a.view(flow=True).tolist()), np.asarray(b.view(flow=True).tolist()), rtol=1e-12, atol=1e-9
        )
    return a == b


def equal(a, b):
    """Whether two columns hold the same values; NaN equals NaN, None equals None."""
    return repr(ak.to_list(a)) == repr(ak.to_list(b))


def test_it_is_an_op_under_its_own_name(op):
    assert isinstance(op, Op)
    assert op.name in OPS
    assert registry.load("ops", op.name).op is op


def test_what_workers_need_of_it_can_be_pickled(op):
    for part in (op.call, op.merge, op.analyse):
        if inspect.isfunction(part):
            assert pickle.loads(pickle.dumps(part)) is part


def test_it_and_its_parameters_are_described(op):
    text = inspect.getdoc(op.call) or ""
    assert text
    for name, field in op.params.model_fields.items():
        explains_itself = get_origin(field.annotation) is Literal or hasattr(field.annotation, "model_fields")
        listed = re.search(rf"^(\w+, )*{name}(, \w+)* :", text, re.MULTILINE)
        assert field.description or listed or explains_itself, f"{op.name}: parameter {name} is not described"


def test_its_function_takes_its_parameters(op):
    keywords = {p.name for p in inspect.signature(op.call).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert keywords - {"context"} == ({"params"} if op.takes_model else set(op.params.model_fields))
    assert ("context" in keywords) == op.takes_context


def test_parameters_it_does_not_have_are_refused(op, model, examples):
    assert op.params.model_config.get("extra") == "forbid"
    with pytest.raises(ValidationError, match="surprise"):
        op.params.model_validate({**examples[op.name], "surprise": 1})


def test_its_files_are_declared(op):
    """A plain path would be read from wherever a worker is, and its content would not be in the plan."""
    formats = {str(part.get("format")) for part in _mappings(op.params.model_json_schema())}
    assert not {"path", "uri"} & formats, f"{op.name}: declare files as InputFile, folders as InputFolder"
    assert wrong_with_files(op.params) == ""


def _mappings(value):
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _mappings(part)


def test_what_it_says_of_its_example_is_no_problem(op, model, demo_events):
    effects = op.analyse(model, demo_events[1])
    assert effects.problems == ()
    assert effects.reads or effects.keeps_all
    assert set(effects.reads) <= set(demo_events[1])


def test_it_reads_no_more_than_it_says(op, model, call, demo_events):
    events, schema = demo_events
    effects = op.analyse(model, schema)
    if effects.keeps_all:
        pytest.skip("may read everything")
    stream, product = call(events.select(effects.reads))
    full_stream, full_product = call(events)
    if not op.per_partition:  # files hold columns in the order that they come in
        assert same(product, full_product)
    if stream is not None:
        assert set(stream) >= {name.replace("{stage}", "Stage") for name in effects.writes}
        for name in stream:
            assert equal(stream[name], full_stream[name])


def test_it_writes_what_it_says(op, model, call, demo_events):
    events, schema = demo_events
    stream, _ = call(events)
    if stream is None:
        return
    writes = {name.replace("{stage}", "Stage"): shape for name, shape in op.analyse(model, schema).writes.items()}
    assert set(stream) - set(events) == set(writes) - set(events)
    known = {**schema, **writes}
    for name, shape in writes.items():
        if shape != ("*",):
            assert ak.Array(stream[name]).ndim - 1 == len(shape), name
        for counter in shape:
            if counter in known and counter in stream:
                assert ak.to_list(ak.num(stream[name])) == ak.to_list(stream[counter]), name


def test_no_events_are_events_too(op, call, demo_events):
    events, _ = demo_events
    stream, product = call(events)
    no_stream, no_product = call(events.filter(slice(0, 0)), "dy-000001")
    if op.stream:
        assert len(no_stream) == 0
        assert set(no_stream) == set(stream)
        for name in stream:
            assert ak.Array(no_stream[name]).ndim == ak.Array(stream[name]).ndim, name
    if op.merge is not None and not op.per_partition:
        assert same(op.merge(product, no_product), product)
        assert same(op.merge(no_product, product), product)


@pytest.mark.parametrize("edges", [(1, 150), (100, 101), (0, 300)])
def test_it_does_not_matter_how_events_are_cut(op, call, demo_events, edges):
    events, _ = demo_events
    parts = [call(part, f"dy-{n:06d}") for n, part in enumerate(cut(events, *edges))]
    stream, product = call(events, "dy-000009")
    if op.stream:
        for name in stream:
            joined = ak.concatenate([ak.Array(part[name]) for part, _ in parts])
            assert equal(joined, stream[name]), name
    if op.merge is not None:
        a, b, c = (part for _, part in parts)
        left, right = op.merge(op.merge(a, b), c), op.merge(a, op.merge(b, c))
        assert same(left, right)
        if not op.per_partition:
            assert same(left, product)


@pytest.mark.parametrize("op", MERGED, indirect=True)
def test_merging_leaves_what_is_merged_alone(op, call, demo_events):
    first, second = (call(part, f"dy-{n:06d}")[1] for n, part in enumerate(cut(demo_events[0], 100)))
    before = pickle.dumps(first)
    op.merge(first, second)
    assert same(pickle.loads(before), first)


def test_its_product_can_be_pickled(op, call, demo_events):
    _, product = call(demo_events[0])
    assert same(pickle.loads(pickle.dumps(product)), product)


def test_it_leaves_the_events_alone(op, call, demo_events):
    events, _ = demo_events
    names = ("Muon_pt", "Jet_pt", "MET_pt", "nMuon")
    before = {name: ak.to_list(events[name]) for name in names}
    fields_before = events.fields
    call(events)
    assert events.fields == fields_before
    assert {name: ak.to_list(events[name]) for name in names} == before


@pytest.mark.integration
def test_planning_needs_no_array_library(examples, demo_events):
    code = """
import importlib, json, sys
from pathlib import Path
from fasthep_parsl import registry
from fasthep_parsl.ops.parameters import validate_params
examples, schema = json.load(sys.stdin)
schema = {name: tuple(shape) for name, shape in schema.items()}
for name in registry.names("ops"):
    op = registry.load("ops", name).op
    op.analyse(validate_params(op, examples[name], files=lambda path, text, folder: Path(text)), schema)
    heavy = {"awkward", "numba", "uproot", "hist", "parsl", "matplotlib", "cupy", "pyarrow"} & set(sys.modules)
    assert not heavy, f"{name} imports {heavy}"
"""
    text = json.dumps([examples, demo_events[1]], default=str)  # files of examples are paths
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_entry_point_names_an_object_of_this_package():
    for group in registry.GROUPS:
        for name in registry.names(group):
            found = registry.load(group, name)
            module = importlib.import_module(found.__module__)
            assert getattr(module, found.__name__) is found


def test_events_given_as_a_selection_are_events():
    events = Events({"x": np.arange(5)}, 5)
    assert [len(part) for part in cut(events, 1, 3)] == [1, 2, 2]
