"""random and random_normal: published vectors, statistics, and that nothing but the event and its objects matters."""

from __future__ import annotations

import math
from statistics import NormalDist

import awkward as ak
import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.ops.columns import philox
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.stream import Events

SCHEMA = {"run": (), "luminosityBlock": (), "event": (), "Jet_pt": ("nJet",), "met": ()}
NUMBER = 50_000
COUNTS = np.random.default_rng(1).poisson(2, NUMBER)
EVENTS = Events(
    {
        "run": np.full(NUMBER, 194_533, dtype=np.uint32),
        "luminosityBlock": (np.arange(NUMBER) // 500).astype(np.uint32),
        "event": np.arange(NUMBER, dtype=np.uint64) + 5_000_000_000,
        "Jet_pt": ak.unflatten(np.zeros(COUNTS.sum(), dtype=np.float32), COUNTS),
        "met": np.zeros(NUMBER),
    },
    NUMBER,
)


def drawn(function="random", seed=1, objects="", events=EVENTS):
    return expression(f"{function}({seed}, run, luminosityBlock, event{objects and f', {objects}'})")(events)


# --- the generator ------------------------------------------------------------------------------------------

KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
"""Counter, key and result of philox4x32-10 in ``kat_vectors`` of Random123 1.14."""


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter, key, result):
    words = tuple(np.array([int(word, 16)], dtype=np.uint64) for word in counter.split())
    first, second = (int(word, 16) for word in key.split())
    expected = [int(word, 16) for word in result.split()]
    assert [int(word[0]) for word in philox.philox(words, (first, second))] == expected
    assert [int(word[0]) for word in philox.philox(words, (first, np.array([second], dtype=np.uint64)))] == expected


def test_quantiles_are_those_of_the_standard_library():
    steps = np.arange(1, 2000) / 2000
    p = np.concatenate([steps, 0.5 ** steps[::10] * 1e-6, 2.0 ** -np.arange(1, 54), 1 - 2.0 ** -np.arange(1, 54)])
    expected = [NormalDist().inv_cdf(x) for x in p]
    assert philox.quantile(p).tolist() == pytest.approx(expected, rel=2e-15, abs=1e-16)


def test_logarithm():
    x = np.concatenate([np.linspace(1e-3, 40, 5000), 2.0 ** -np.arange(0.0, 60), [math.sqrt(0.5), 1.0]])
    assert philox.logarithm(x).tolist() == pytest.approx(np.log(x).tolist(), rel=1e-15, abs=1e-17)


def test_reference_values():
    """They must never change: results of analyses depend on them."""
    events = EVENTS.filter(slice(0, 3))
    assert drawn(events=events).tolist() == REFERENCE["random"]
    assert drawn("random_normal", events=events).tolist() == REFERENCE["random_normal"]
    lists = events.with_columns({"Jet_pt": ak.Array([[1.0], [], [1.0, 2.0]])})
    assert ak.to_list(drawn("random", 7, "Jet_pt", lists)) == REFERENCE["objects"]


REFERENCE = {
    "random": [0.2124239607204088, 0.12145508676246242, 0.32983696807738394],
    "random_normal": [0.14486958270113245, -0.29403557753920817, 0.5441445673934298],
    "objects": [[0.059687611350810355], [], [0.6239543322916572, 0.4842960559709233]],
}


# --- statistics ---------------------------------------------------------------------------------------------


SAMPLES = {
    "events": drawn,
    "another seed": lambda: drawn(seed=2),
    "objects": lambda: ak.to_numpy(ak.flatten(drawn(objects="Jet_pt"))),
    "the largest seed": lambda: drawn(seed=4294967295),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_numbers_are_uniform(name):
    x = SAMPLES[name]()
    assert x.min() >= 0
    assert x.max() < 1
    counts = np.histogram(x, 200, (0, 1))[0]
    chi2 = ((counts - len(x) / 200) ** 2 / (len(x) / 200)).sum()
    assert abs(chi2 - 199) < 5 * math.sqrt(2 * 199)
    low = np.histogram((x * 2**40) % 1, 100, (0, 1))[0]  # the last bits as well
    assert ((low - len(x) / 100) ** 2 / (len(x) / 100)).sum() < 99 + 5 * math.sqrt(2 * 99)


def test_numbers_are_independent():
    x = drawn()
    others = {
        "another seed": drawn(seed=2),
        "the next event": np.roll(x, 1),
        "the normal number": drawn("random_normal"),
        "the first object": ak.to_numpy(ak.fill_none(ak.firsts(drawn(objects="Jet_pt")), 0.5)),
    }
    for name, y in others.items():
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(NUMBER), name
    table = np.histogram2d(x, others["another seed"], 20, ((0, 1), (0, 1)))[0]
    assert ((table - NUMBER / 400) ** 2 / (NUMBER / 400)).sum() < 399 + 5 * math.sqrt(2 * 399)
    objects = drawn(objects="Jet_pt")
    pairs = ak.to_numpy(objects[ak.num(objects) >= 2][:, :2])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 5 / math.sqrt(len(pairs))


def test_normal_numbers_are_normal():
    x = np.sort(drawn("random_normal"))
    assert abs(x.mean()) < 5 / math.sqrt(NUMBER)
    assert abs(x.std() - 1) < 5 / math.sqrt(2 * NUMBER)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / NUMBER)
    cdf = np.array([NormalDist().cdf(value) for value in x[::50]])
    assert np.abs(cdf - np.arange(0, NUMBER, 50) / NUMBER).max() < 1.95 / math.sqrt(NUMBER)  # Kolmogorov-Smirnov, 0.1 %


# --- what they depend on ------------------------------------------------------------------------------------


def test_it_does_not_matter_how_events_are_cut_or_ordered():
    whole, objects = drawn(), drawn("random_normal", 3, "Jet_pt")
    for where in (slice(0, 1), slice(16_380, 16_390), np.arange(100)[::-1], np.arange(0, NUMBER, 777)):
        part = EVENTS.filter(where)
        assert drawn(events=part).tolist() == whole[where].tolist()
        assert ak.to_list(drawn("random_normal", 3, "Jet_pt", part)) == ak.to_list(objects[where])
    assert len(drawn(events=EVENTS.filter(slice(0, 0)))) == 0


def test_a_gpu_gives_the_same_bits():
    events = EVENTS.filter(slice(0, 2000))
    expected = [ak.to_list(drawn(*given, events)) for given in (("random_normal", 3, "Jet_pt"), ("random", 1, ""))]
    with fake_cupy.installed():
        view = events.on_gpu(events.fields)
        found = [drawn(*given, view) for given in (("random_normal", 3, "Jet_pt"), ("random", 1, ""))]
        added = view.with_columns({"objects": found[0], "events": found[1]}).on_host()
        assert [ak.to_list(added["objects"]), ak.to_list(added["events"])] == expected


def test_values_of_objects_do_not_matter_but_each_part_of_the_event_does():
    plain = drawn(objects="Jet_pt")
    assert ak.all(drawn(objects="Jet_pt * 3 + 1") == plain)
    assert np.all(ak.to_numpy(ak.fill_none(ak.firsts(plain), -1)) != drawn())
    for name, shift in (("run", 1), ("luminosityBlock", 1), ("event", 1), ("event", 2**32)):
        changed = EVENTS.with_columns({name: EVENTS[name] + np.array(shift, dtype=EVENTS[name].dtype)})
        if (name, shift) != ("event", 1):
            assert not np.isin(drawn(events=changed), drawn()).any(), name
        assert (drawn(events=changed) != drawn()).all(), name


def test_missing_values_and_constants():
    events = Events(
        {"run": ak.Array([1, None]), "Jet_pt": ak.Array([[1.0, None], [2.0]]), "event": np.array([3, 4])}, 2
    )
    found = ak.to_list(expression("random(1, run, 0, event)")(events))
    assert found[1] is None
    assert found[0] == expression("random(1, 1, 0, 3)")(events)[0]
    found = ak.to_list(expression("random(1, 5, 0, event, Jet_pt)")(events))
    assert [[x is None for x in row] for row in found] == [[False, True], [False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random(met, run, luminosityBlock, event)", "random(): the seed must be an integer from 0 to 4294967295"),
        ("random(-1, run, luminosityBlock, event)", "random(): the seed must be an integer from 0 to 4294967295"),
        ("random(2 ** 32, run, luminosityBlock, event)", "random(): the seed must be an integer from 0 to 4294967295"),
        ("random(1, run, luminosityBlock, Jet_pt)",
         "random(seed, run, luminosityBlock, event, objects): `Jet_pt` has a list per event, not one integer that identifies it"),
        ("random(1, run, luminosityBlock, event, met)",
         "random(seed, run, luminosityBlock, event, objects): `met` has one value per event, not a list of objects"),
        ("random(1)", "random(): missing a required argument: 'run'"),
        ("random_normal(1, run, luminosityBlock, evnt)", "unknown field `evnt`"),
        ("gauss(1)", "unknown function `gauss`"),
    ],
)  # fmt: skip
def test_mistakes_are_found_when_the_plan_is_made(text, message):
    (problem,) = analyse_expression(text, ("expr",), SCHEMA).problems
    assert problem.message == message


def test_structure_of_the_result():
    assert analyse_expression("random(1, run, luminosityBlock, event)", (), SCHEMA).shape == ()
    assert analyse_expression("random_normal(1, run, 0, event, Jet_pt) * Jet_pt", (), SCHEMA).shape == ("nJet",)


@pytest.mark.parametrize(
    "text", ["random(1, met, luminosityBlock, event)", "random(1, run, luminosityBlock, event * 1.0)"]
)
def test_floats_do_not_identify_events(text):
    with pytest.raises(ExpressionError, match="must be one integer per event"):
        expression(text)(EVENTS)
