"""Every modifier keeps its contract: a frozen description, the op's result unchanged, notes that add up."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import awkward as ak
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import kind_examples
from fasthep_parsl import registry
from fasthep_parsl.interfaces import READ, Call, Context, DatasetInfo, Modifier, Reading
from fasthep_parsl.ops.stream import Events

EXAMPLES = {
    "profile": [{"what": what} for what in ("time", "flame", "cprofile", "memory")],
    "cuda.jit": [{"target": "cpu"}],
    "gpu.preload": [{"on_missing": "cpu"}],
    **kind_examples.given("modifiers"),
}
"""Modifier → parameters that work on any machine; else those that it has by default."""
MODIFIERS = registry.names("modifiers")
CASES = [(name, params) for name in MODIFIERS for params in EXAMPLES.get(name, [{}])]


@pytest.fixture(params=MODIFIERS)
def model(request):
    return registry.load("modifiers", request.param)


@pytest.fixture(params=CASES, ids=[f"{name}-{'-'.join(map(str, params.values()))}" for name, params in CASES])
def made(request):
    """The name of a modifier, and one that is made."""
    name, params = request.param
    return name, registry.load("modifiers", name)(**params)


def test_it_is_a_frozen_model_with_described_fields(model):
    assert issubclass(model, BaseModel)
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    assert model.__doc__
    assert issubclass(model, Modifier)
    assert {*model.field_parameters, *(model.identity or ())} <= set(model.model_fields)
    assert all(field.description for field in model.model_fields.values())


def test_parameters_it_does_not_have_are_refused(model):
    with pytest.raises(ValidationError, match="surprise"):
        model(surprise=1)


def test_it_survives_a_plan_and_has_a_schema(made):
    _, modifier = made
    model = type(modifier)
    assert model.model_validate_json(modifier.model_dump_json()) == modifier
    assert pickle.loads(pickle.dumps(modifier)) == modifier
    assert TypeAdapter(model).json_schema().get("properties", {}).keys() == model.model_fields.keys()


@pytest.mark.integration
def test_checking_it_costs_no_array_library():
    code = """
import sys
from fasthep_parsl import registry
for name in registry.names("modifiers"):
    registry.load("modifiers", name)
heavy = {"awkward", "numba", "cupy", "uproot", "parsl"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def run(op_name, modifier, name, events, examples, folder):
    """Call an op, inside of a modifier if there is one; return stream, product and notes."""
    op = registry.load("ops", op_name).op
    params = kind_examples.parameters(op, examples[op_name])
    keywords = op.keywords(params)
    if op.takes_context:
        dy = DatasetInfo("dy")
        folder.mkdir(exist_ok=True)
        keywords["context"] = Context("S", dy, (DatasetInfo("data", "data"), dy), "dy-000000", folder)
    notes = []
    call = Call(op.call, op, "S", "default", ("*",), notes.append)
    result = (modifier.wrap(call) if modifier else call)(events, **keywords)
    stream, product = result if op.stream and op.product else (result, None) if op.stream else (None, result)
    if isinstance(stream, dict):
        stream = events.with_columns(stream)
    return stream, product, [note() if callable(note) else note for note in notes]


def fresh(events, start=0, stop=None):
    """The same events as another object, in which nothing has been taken yet."""
    return Events(dict(events), len(events)).filter(slice(start, stop))


def plain(product):
    """What can be compared of a product."""
    if hasattr(product, "hist"):
        return product.hist.view(flow=True).tolist(), product.none, product.nan
    return product


@pytest.mark.slow
@pytest.mark.parametrize("op_name", registry.names("ops"))
def test_results_stay_what_they_are(made, op_name, demo_events, examples, tmp_path):
    name, modifier = made
    events = demo_events[0]
    stream, product, _ = run(op_name, None, name, fresh(events), examples, tmp_path / "a")
    stream_with, product_with, _ = run(op_name, modifier, name, fresh(events), examples, tmp_path / "b")
    if op_name == "hep.write":  # names of files
        assert len(list((tmp_path / "a").iterdir())) == len(list((tmp_path / "b").iterdir()))
    else:
        assert repr(plain(product_with)) == repr(plain(product))
    assert (stream_with is None) == (stream is None)
    if stream is not None:
        assert stream_with.fields == stream.fields
        for field in stream:
            found, expected = ak.to_list(stream_with[field]), ak.to_list(stream[field])
            compiled = modifier.needs_gpu  # another compiler may round the last digit the other way
            assert close(found, expected) if compiled else repr(found) == repr(expected), field


def reading(name, modifier, events):
    """Return the note on a reading, if the modifier wants to know."""
    return modifier.after_reading(Reading(events, 0.25, 0.125, lambda: {"Muon_pt": 100 * events, f"b{events}": 1}))


def close(a, b):
    """Whether two notes or columns are the same but for rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True) if isinstance(a, float) else a == b


def test_notes_are_plain_and_their_merge_is_associative(made, demo_events, examples, tmp_path):
    name, modifier = made
    merge = modifier.merge
    parts = [fresh(demo_events[0], *edges) for edges in ((0, 100), (100, 110), (110, None))]
    triples = [[run("hep.define", modifier, name, part, examples, tmp_path)[2] for part in parts]]
    triples = [[part[-1] for part in triple] for triple in triples if all(triple)]
    readings = [reading(name, modifier, events) for events in (3, 5, 7)]
    triples += [readings] if all(readings) else []
    for triple in triples:
        a, b, c = json.loads(json.dumps(triple))
        before = json.dumps([a, b, c])
        assert close(merge(merge(a, b), c), merge(a, merge(b, c)))
        assert json.dumps([a, b, c]) == before, "merge changes what it is given"
        assert len(json.dumps(merge(a, b))) < 200_000


def test_what_it_noted_is_written(made, demo_events, examples, tmp_path):
    name, modifier = made
    notes = {}
    for op_name in ("hep.define", "hep.hist"):
        noted = run(op_name, modifier, name, fresh(demo_events[0]), examples, tmp_path)[2]
        notes |= {op_name: json.loads(json.dumps(noted[-1]))} if noted else {}
    read = reading(name, modifier, 3)
    notes |= {READ: read} if read else {}
    if not notes:
        pytest.skip("noted nothing")
    modifier.write(notes, tmp_path / "run" / name)
    files = list((tmp_path / "run" / name).iterdir())
    assert files
    assert all(path.stat().st_size for path in files)
    assert any("hep.hist" in path.read_text() for path in files if path.suffix in (".json", ".txt"))


def test_its_name_can_be_that_of_a_folder(made):
    assert Path(made[0]).name == made[0]
