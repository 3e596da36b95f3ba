"""hep.inference: its checks against the files of models, and its values against sums and trees computed by hand."""

from __future__ import annotations

import math
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

import fake_cupy
import onnx_models as onnx
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.inference import sessions
from fasthep_parsl.ops.inference.model_file import read_model
from fasthep_parsl.ops.inference.model_outputs import inference
from fasthep_parsl.ops.stream import Events

TREES = Path(__file__).parents[2] / "data" / "trees.json"
DATASET = DatasetInfo("dy", meta={"k": 2.0})
CONTEXT = Context("Score", DATASET, (DATASET,), "dy-0", Path(), cpus=1)
SCHEMA = {
    "Jet_pt": ("nJet",),
    "Jet_eta": ("nJet",),
    "Mu_pt": ("nMu",),
    "met": (),
    "n": (),
    "hole": (),
    "deep": ("nJet", "*"),
}
EVENTS = Events(
    {
        "Jet_pt": ak.values_astype(ak.Array([[30.0, 50.0], [], [20.0]]), np.float32),
        "Jet_eta": ak.Array([[0.5, -1.0], [], [2.0]]),
        "Mu_pt": ak.Array([[1.0], [2.0], [3.0]]),
        "met": np.array([10.0, 20.0, 30.0]),
        "n": np.array([1, 2, 3], dtype=np.int32),
        "hole": ak.Array([1.0, None, 3.0]),
        "text": ak.Array(["a", "b", "c"]),
    },
    3,
)
LINEAR = [[1.0], [10.0]]


@pytest.fixture
def write(tmp_path):
    def write(content, name="model.onnx"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.fixture
def linear(write):
    return write(onnx.linear(LINEAR))


def params(model, features, output="score", **given):
    return inference.op.params(model=model, features=features, output=output, **given)


def run(model, features, output="score", events=EVENTS, context=CONTEXT, **given):
    found = inference.op.call(events, params=params(model, features, output, **given), context=context)
    return {name: ak.to_list(found[name]) for name in found if name not in EVENTS}


def analyse(model, features, output="score"):
    return inference.op.analyse(params(model, features, output), SCHEMA)


def problems(*given):
    return [(p.code, p.path, p.message, str(p.hint)) for p in analyse(*given).problems]


# --- ONNX ---------------------------------------------------------------------------------------------------


def test_a_value_per_event_or_object(linear):
    assert run(linear, ["met", "n"]) == {"score": [20.0, 40.0, 60.0]}
    assert run(linear, ["Jet_pt", "n"]) == {"score": [[40.0, 60.0], [], [50.0]]}
    assert run(linear, ["Jet_pt * 2", 1]) == {"score": [[70.0, 110.0], [], [50.0]]}
    assert run(linear, [3, "dataset.k"]) == {"score": [23.0] * 3}
    effects = analyse(linear, ["Jet_pt", "met"])
    assert effects.problems == ()
    assert effects.keeps_events
    assert effects.reads == {"Jet_pt": ("features", 0), "met": ("features", 1)}
    assert effects.writes == {"score": ("nJet",)}


def test_inputs_by_name_types_and_several_outputs(write):
    model = write(onnx.two_inputs())
    features = {"n": "n", "a": ["met", "met * 2"]}
    output = {"one": "sum[0]", "other": "sum[1]", "twice": "twice"}
    assert problems(model, features, output) == []
    assert run(model, features, output) == {"one": [11.0, 22.0, 33.0], "other": [21.0, 42.0, 63.0], "twice": [2, 4, 6]}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches(write, batch):
    for rows in ("N", 2, 5):  # the model takes any number of rows, or exactly so many
        model = write(onnx.linear(LINEAR, batch=rows))
        assert run(model, ["Jet_pt", "n"], batch=batch) == {"score": [[40.0, 60.0], [], [50.0]]}


def test_missing_stays_missing_and_nan_is_passed_on(linear):
    assert run(linear, ["hole", "n"]) == {"score": [11.0, None, 33.0]}
    events = EVENTS.with_columns({"met": np.array([1.0, math.nan, 3.0])})
    found = run(linear, ["met", "n"], events=events)["score"]
    assert found[::2] == [11.0, 33.0]
    assert math.isnan(found[1])


def test_without_events_or_objects(linear):
    found = inference.op.call(EVENTS.filter(slice(0, 0)), params=params(linear, ["Jet_pt", "n"]), context=CONTEXT)
    assert str(found["score"].type) == "0 * var * float32"
    assert run(linear, ["Jet_pt", "n"], events=EVENTS.filter(slice(1, 2))) == {"score": [[]]}


def test_columns_on_a_gpu(linear):
    with fake_cupy.installed():
        found = inference.op.call(
            EVENTS.on_gpu(EVENTS.fields), params=params(linear, ["Jet_pt", "n"]), context=CONTEXT
        ).on_host()
        assert ak.to_list(found["score"]) == [[40.0, 60.0], [], [50.0]]


def test_a_model_is_loaded_once_and_without_a_gpu_it_says_so(linear, write):
    copy = write(linear.read_bytes(), "copy.onnx")
    facts = read_model(linear)
    assert sessions.load_session(copy, facts, 1, False) is sessions.load_session(linear, facts, 1, False)
    if sessions.CUDA not in pytest.importorskip("onnxruntime").get_available_providers():
        with pytest.warns(
            UserWarning, match=r"`copy.onnx` runs on the CPU: onnxruntime .* \(install onnxruntime-gpu\)"
        ):
            sessions.load_session(copy, facts, 1, True)


# --- XGBoost ------------------------------------------------------------------------------------------------


def test_trees(tmp_path):
    """The file has two stumps, on pt and on eta, and the names of the features."""
    import xgboost

    booster = xgboost.Booster(model_file=str(TREES))
    booster.save_model(tmp_path / "trees.ubj")
    matrix = np.array([[30.0, 0.5], [50.0, -1.0], [20.0, 2.0]], dtype=np.float32)
    flat = [float(x) for x in booster.inplace_predict(matrix)]
    for model in (TREES, tmp_path / "trees.ubj"):
        assert read_model(model).features == ("pt", "eta")
        for features in ({"eta": "Jet_eta", "pt": "Jet_pt"}, ["Jet_pt", "Jet_eta"]):
            assert problems(model, features) == []
            assert run(model, features) == {"score": [flat[:2], [], flat[2:]]}
    margin = run(TREES, ["Jet_pt", "Jet_eta"], {"p": "prediction", "m": "margin"})
    assert margin["p"] == [flat[:2], [], flat[2:]]
    assert margin["m"][2][0] == pytest.approx(math.log(flat[2] / (1 - flat[2])), rel=1e-5)
    assert len({*flat}) == 3


def test_a_nan_is_a_missing_feature():
    found = run(TREES, ["met * nan", "met"])["score"]
    assert all(math.isfinite(x) for x in found)


def test_several_classes(tmp_path):
    import xgboost

    random = np.random.default_rng(1)
    x = random.normal(size=(90, 2))
    data = xgboost.DMatrix(x, np.arange(90) % 3)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1}, data, 2)
    booster.save_model(tmp_path / "three.json")
    model = tmp_path / "three.json"
    assert problems(model, ["met", "n"], "score") == [
        ("E155", ("output",), "the model has several outputs: `prediction (3 numbers)`", "write a mapping, e.g. {score: prediction[2]}")
    ]  # fmt: skip
    expected = booster.inplace_predict(np.array([[10, 1], [20, 2], [30, 3]], dtype=np.float32))
    found = run(model, ["met", "n"], {"first": "prediction[0]", "last": "prediction[2]"})
    assert found == {"first": expected[:, 0].tolist(), "last": expected[:, 2].tolist()}
    assert read_model(model) == read_model_of_ubj(booster, tmp_path)


def read_model_of_ubj(booster, folder):
    booster.save_model(folder / "three.ubj")
    return read_model(folder / "three.ubj")


# --- what is wrong is said when the plan is made --------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "output", "expected"),
    [
        (["met"], "score", ("E155", ("features",), "the input `x` of the model has 2 features, but 1 are given", "")),
        ({"X": ["met", "n"]}, "score", ("E155", ("features", "X"), "the model has no input `X`", "did you mean `x`?")),
        ({"x": "met"}, "score", ("E155", ("features",), "the input `x` of the model has 2 features, but 1 are given", "")),
        (["met", "nn"], "score", ("E150", ("features", 1), "unknown field `nn`", "did you mean `n`?")),
        (["Jet_pt", "Mu_pt"], "score", ("E151", ("features", 1), "`Jet_pt` and `Mu_pt` belong to different objects (nJet and nMu)",
         "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)")),
        (["met", "n"], {"s": "z"}, ("E155", ("output", "s"), "the model has no output `z`", "outputs: y")),
        (["met", "n"], {"s": "y[1]"}, ("E155", ("output", "s"), "the output `y` of the model has 1 numbers", "write `y[0]` to `y[0]`")),
    ],
)  # fmt: skip
def test_features_and_outputs_that_do_not_fit(linear, features, output, expected):
    assert problems(linear, features, output) == [expected]


def test_names_of_inputs_and_features(write):
    model = write(onnx.two_inputs())
    assert [(p[1], p[2]) for p in problems(model, ["met"], {"s": "twice"})] == [
        (("features",), "the model has 2 inputs: `a`, `n`")
    ]
    assert [(p[1], p[2]) for p in problems(model, {"a": ["met", "met"]}, {"s": "twice"})] == [
        (("features",), "the model also has the input `n`")
    ]
    assert [p[2:] for p in problems(model, {"a": ["met", "met"], "n": "n"}, "s")] == [
        ("the model has several outputs: `sum (2 numbers)`, `twice`", "write a mapping, e.g. {s: twice}")
    ]
    assert [(p[1], p[2], p[3]) for p in problems(TREES, {"pt": "met", "et": "n"})] == [
        (("features", "et"), "the model has no feature `et`", "did you mean `eta`?")
    ]
    assert [(p[1], p[2]) for p in problems(TREES, {"pt": "met"})] == [
        (("features",), "the model also has the feature `eta`")
    ]
    assert [(p[1], p[2], p[3]) for p in problems(TREES, ["met"])] == [
        (
            ("features",),
            "the input `features` of the model has 2 features, but 1 are given",
            "the model has: `pt`, `eta`",
        )
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model", "`model.onnx` is neither an ONNX model nor one of XGBoost (JSON or UBJ)"),
        (b"", "`model.onnx` is neither an ONNX model nor one of XGBoost (JSON or UBJ)"),
        (b"{}", "`model.onnx` is not a model of XGBoost: it has no `learner`"),
        (b'{"learner": 3', "`model.onnx` is neither an ONNX model nor one of XGBoost (JSON or UBJ)"),
        (b"{L\x00\x01", "`model.onnx` is neither an ONNX model nor one of XGBoost (JSON or UBJ)"),
        (onnx.linear(LINEAR)[:-9], "`model.onnx` is neither an ONNX model nor one of XGBoost (JSON or UBJ)"),
        (onnx.linear(LINEAR, external=True), "`model.onnx` has its weights in other files"),
    ],
)  # fmt: skip
def test_files_that_are_no_models(write, content, message):
    ((code, path, text, _),) = problems(write(content), ["met", "n"])
    assert (code, path, text) == ("E113", ("model",), message)


def test_models_that_take_or_give_other_things(write):
    image = write(onnx.model([], [onnx.port("x", onnx.FLOAT, ["N", 3, 8, 8])], [onnx.port("y", onnx.FLOAT, ["N"])]))
    assert [p[2] for p in problems(image, ["met"])] == ["the input `x` of the model has 4 dimensions"]
    texts = write(onnx.model([], [onnx.port("x", onnx.STRING, ["N", 1])], [onnx.port("y", onnx.FLOAT, ["N"])]))
    assert [p[2] for p in problems(texts, ["met"])] == ["the input `x` of the model is not an array of numbers"]
    maps = write(onnx.model([], [onnx.port("x", onnx.FLOAT, ["N", 1])], [onnx.sequence("probabilities")]))
    ((*_, message, hint),) = problems(maps, ["met"], {"p": "probabilities[1]"})
    assert (message, "zipmap" in hint) == ("the output `probabilities` of the model is not an array of numbers", True)


def test_a_file_that_does_not_exist_is_reported_as_a_file(tmp_path):
    effects = analyse(tmp_path / "none.onnx", ["met"], {"a": "x", "b": "y"})
    assert (effects.problems, set(effects.writes)) == ((), {"a", "b"})
    assert inference.op.packages(params(tmp_path / "none.onnx", ["met"])) == ()


# --- what only the events show --------------------------------------------------------------------------------


def test_events_that_do_not_fit(write, linear):
    model = write(onnx.two_inputs(), "two.onnx")
    with pytest.raises(OpError, match="the input `n` of the model takes int64, but `met` is a float"):
        run(model, {"a": ["met", "met"], "n": "met"}, {"s": "twice"})
    with pytest.raises(OpError, match="the feature `text` is text"):
        run(linear, ["text", "n"])
