"""Units of luminosities and cross-sections, and what a workflow with a mistake gets, with its place."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.resources.units import UnitError
from fasthep_parsl.workflow.normalisation_model import parse_luminosity, parse_xsec
from normalisation_cases import MC, paths, write_nano


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (3378, 3378.0), ("3378 /pb", 3378.0), ("36.3 /fb", 36300.0), ("36.3/fb", 36300.0), ("36.3 fb-1", 36300.0),
        ("36.3 fb^-1", 36300.0), ("36.3 1/fb", 36300.0), ("2.3 /nb", 0.0023), ("1e3 /µb", 0.001), ("3 /ab", 3e6), ("12", 12.0),
    ],
)  # fmt: skip
def test_luminosities(text, value):
    assert parse_luminosity(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [(729.84, 729.84), ("6.2 nb", 6200.0), ("831.8 fb", 0.8318), ("80 mb", 8e10), ("1 ub", 1e6), ("3.1e-2 pb", 0.031)],
)
def test_cross_sections(text, value):
    assert parse_xsec(text) == value


@pytest.mark.parametrize("text", ["36.3 fb", "36.3 /GeV", "-1 /fb", 0, "x", True, None, "1 / fb / pb", float("nan")])
def test_what_is_no_luminosity(text):
    with pytest.raises(UnitError):
        parse_luminosity(text)


@pytest.mark.parametrize("text", ["6.2 /nb", "6.2 kg", -1, "0 pb", [1], float("inf")])
def test_what_is_no_cross_section(text):
    with pytest.raises(UnitError):
        parse_xsec(text)


def mistakes(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    return [(item.code, item.key, item.message, str(item.hint)) for item in caught.value.problems]


BARE, SIGNED = "bare", "signed"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Files without the tree `Runs`, and with weights that cancel."""
    folder = tmp_path_factory.mktemp("odd")
    return {
        BARE: str(write_nano(folder / "bare.root", np.ones(20), runs=False)),
        SIGNED: str(write_nano(folder / "signed.root", np.where(np.arange(20) % 2, 1.0, -1.0))),
    }


@pytest.mark.parametrize(
    ("data", "mc", "code", "key", "text"),
    [
        ({"luminosity": "36.3 fb"}, MC, "E105", "data.luminosity", "`36.3 fb` is not a luminosity"),
        ({"luminosity": {"2016": "-3 /fb"}}, MC, "E105", "data.luminosity.2016", "must be more than zero"),
        ({"luminosity": "3 /km"}, MC, "E105", "data.luminosity", "`km` is not a unit of luminosity"),
        ({"luminosity": 1}, {"xsec": "3 nbb"}, "E105", "data.datasets[0].xsec", "`nbb` is not a unit"),
        ({"luminosity": 1}, {"xsec": "-6 nb"}, "E105", "data.datasets[0].xsec", "must be more than zero"),
        ({"luminosity": 1}, {"meta": {"xsec": -6}}, "E105", "data.datasets[0].meta.xsec", "must be more than zero"),
        ({}, {"xsec": 1, "meta": {"xsec": 2}}, "E106", "data.datasets[0].xsec", "`1` pb, and `2` in `meta`"),
        ({"luminosity": 1}, {}, "E210", "data.datasets[0].xsec", "`mc` has no cross-section"),
        ({"luminosity": {"2016": 1}}, MC, "E210", "data.datasets[0].era", "`mc` has no era"),
        ({"luminosity": 1, "sum_of_weights": "event"}, MC, "E105", "data.sum_of_weights", "expected where sums"),
        ({"luminosity": 1, "sum_of_weights": {"tree": "Runs"}}, MC, "E105", "data.sum_of_weights", "needs `branch`"),
        ({"sum_of_weights": {"expr": "a", "manifest": "b"}}, MC, "E105", "data.sum_of_weights", "expected one way"),
        ({"luminosity": 1, "sum_of_weights": {"tree": "Run", "branch": "a"}}, MC, "E211", "data.sum_of_weights", "no tree `Run`"),
        ({"luminosity": 1, "sum_of_weights": {"tree": "Runs", "branch": "genEventSum"}}, MC, "E211", "data.sum_of_weights", "no branch `genEventSum`"),
        ({"luminosity": 1, "sum_of_weights": {"expr": "genWeigt"}}, MC, "E150", "data.sum_of_weights.expr", "unknown field `genWeigt`"),
        ({"luminosity": 1}, {**MC, "sum_of_weights": {"expr": "genWeigt"}}, "E150", "data.datasets[0].sum_of_weights.expr", "unknown field"),
        ({"luminosity": 1, "sum_of_weights": "events"}, {**MC, "files": 2}, "E212", "data.sum_of_weights", "it has no events"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(norm, nano, data, mc, code, key, text):
    files = paths(nano, mc.get("files", 0))
    found = mistakes(norm(data, mc={**mc, "files": files}))
    assert [(item[0], item[1]) for item in found] == [(code, key)]
    assert text in found[0][2]


def test_no_tree_with_sums_asks_and_names_the_ways(norm, odd):
    ((code, key, message, hint),) = mistakes(norm({"luminosity": 1}, mc={**MC, "files": [odd[BARE]]}))
    assert (code, key) == ("E211", "data.luminosity")
    assert "bare.root: no tree `Runs`" in message
    assert "trees: Events" in hint
    assert "`{expr: genWeight}`" in hint


@pytest.mark.parametrize("sums", [None, {"tree": "Run", "branch": "genEventSumw"}, "event"])
def test_one_mistake_is_reported_once_for_all_datasets(norm, nano, odd, sums):
    files = [odd[BARE]] if sums is None else paths(nano, 0)
    flow = norm({"luminosity": 1, **({"sum_of_weights": sums} if sums else {})}, mc={**MC, "files": files})
    content = json.loads(flow.path.read_text())
    first = next(item for item in content["data"]["datasets"] if item["name"] == "mc")
    for number in range(5):
        other = shutil.copyfile(files[0], flow.folder / f"mc_{number}.root")
        content["data"]["datasets"].append({**first, "name": f"mc_{number}", "files": [str(other)]})
    flow.path.write_text(json.dumps(content))
    ((code, _, message, _),) = mistakes(flow)
    assert code == ("E105" if sums == "event" else "E211")
    if code == "E211":
        assert message.endswith("; the same for `mc_0`, `mc_1`, `mc_2`, and 2 more")


def test_weights_that_cancel_are_refused_before_anything_starts(norm, odd):
    ((code, _, message, _),) = mistakes(norm({"luminosity": 1}, mc={**MC, "files": [odd[SIGNED]]}))
    assert code == "E212"
    assert "`mc` cannot be normalised: its weights cancel: their sum is 0" in message


def test_a_setting_without_effect_is_a_warning(norm, nano):
    plan = norm({"sum_of_weights": "events"}, mc={**MC, "files": paths(nano, 0)}).compile()
    assert any("`sum_of_weights` has no effect" in warning for warning in plan.warnings)
