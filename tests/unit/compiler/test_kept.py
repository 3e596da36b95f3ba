"""A stage that keeps too little is one error, where it keeps; other mistakes are told beside it."""

from __future__ import annotations

import pytest

from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError

KEEP = "        keep: [pt, eta, phi, mass, charge]\n"
SELECT = "analysis.stages[0].params"


def problems(checkout, *changes):
    text = (checkout / "configs" / "dimuon.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = checkout / "configs" / "changed.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        compile_plan(path)
    return [(item.key, item.message, str(item.hint)) for item in caught.value.problems]


def test_what_is_not_kept_is_said_once(checkout):
    ((key, message, hint),) = problems(checkout, (KEEP, "        keep: [pt]\n"))
    assert key == f"{SELECT}.keep"
    assert message == "`GoodMuon` does not keep `charge`, `eta`, `phi` and `mass`, which stage `Pairs` and 1 more read"
    assert hint == "write `keep: [pt, charge, eta, phi, mass]`"


def test_one_field_that_several_stages_use(checkout):
    again = ("{name: leading_pt, expr: leading(GoodMuon_pt)}", "{name: leading_pt, expr: leading(GoodMuon_eta)}")
    (first,) = problems(checkout, (KEEP, "        keep: [pt, phi, mass, charge]\n"), again)
    assert first[1] == "`GoodMuon` does not keep `eta`, which stage `Pairs` and 2 more read"


@pytest.mark.parametrize("line", [KEEP, "        collection: Muon\n"])
def test_a_missing_parameter_is_one_error(checkout, line):
    ((key, message, _),) = problems(checkout, (line, ""))
    name = line.split(":")[0].strip()
    assert key == f"{SELECT}.{name}"
    assert f"`{name}` is missing" in message


@pytest.mark.parametrize("keep", ["", "        keep: [pt]\n"])
def test_other_mistakes_are_told_beside_it(checkout, keep):
    wrong = ("PV_npvsGood > 0", "PV_npvsGod > 0")
    found = problems(checkout, (KEEP, keep), wrong)
    assert len(found) == 2
    assert any("unknown field `PV_npvsGod`" in message for _, message, _ in found)


def test_what_no_collection_has_is_unknown(checkout):
    found = problems(checkout, ("source: GoodMuon_eta", "source: GoodMuon_etta"))
    assert [message for _, message, _ in found] == ["unknown field `GoodMuon_etta`"]
