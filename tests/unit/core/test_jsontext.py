"""JSON that every reader takes, also of plans."""

import json
import math

import pytest

from fasthep_parsl.jsontext import json_text
from fasthep_parsl.plan import PlanDataset, PlanDefault, PlanSource, PlanStage


def refuse(token):
    raise ValueError(f"{token} is not JSON")


@pytest.mark.parametrize(
    "content", [{"a": [math.nan, 1.5]}, ["NaN", 'x "NaN" y', "-Infinity", "\\"], {"NaN": math.inf}]
)
def test_only_what_json_knows(content):
    json.loads(json_text(content), parse_constant=refuse)


def test_infinities_stay_and_texts_are_not_touched():
    content = {"NaN": 'say "Infinity\\"', "x": [math.inf, -math.inf, 1.5, "NaN, Infinity"], "n": math.nan}
    assert json.loads(json_text(content, indent=1)) == {**content, "n": None}


def test_what_json_lacks_reaches_workers():
    params = {"bins": [-math.inf, 0, math.inf], "deep": {"x": [{"low": math.inf}]}, "text": "inf"}
    stage = PlanStage(id="A", op="hep.hist", params=params)
    text = stage.model_dump_json()
    json.loads(text, parse_constant=refuse)
    assert PlanStage.model_validate_json(text).params == params
    assert PlanStage.model_validate(stage.model_dump(mode="json")).params == params
    data = PlanDataset(name="d", meta={"xsec": math.nan})
    assert math.isnan(PlanDataset.model_validate_json(data.model_dump_json()).meta["xsec"])
    defaults = {name: PlanDefault(value=value, dtype="float64") for name, value in (("x", "nan"), ("y", "-inf"))}
    source = PlanSource(defaults=defaults)
    assert PlanSource.model_validate_json(source.model_dump_json()).defaults == defaults
