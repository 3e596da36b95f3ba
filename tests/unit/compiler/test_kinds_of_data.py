"""Words that mean something only if they are the right ones: kinds of data, and names of datasets in expressions."""

import pytest

from fasthep_parsl.errors import ConfigError


@pytest.fixture
def planned(flow, small_files):
    def plan(expr=None, *, data=None, **facts):
        stage = flow.stage("D", "hep.define", [], variables=[{"name": "y", "expr": expr or "x"}])
        files = {"run_a": [small_files / "a.root"], "dy": [small_files / "b.root"]}
        content = [{"name": name, "files": [str(f) for f in found], **facts} for name, found in files.items()]
        return flow.write([stage], data={"datasets": content, **(data or {})}).compile()

    return plan


@pytest.mark.parametrize(
    "expr", ['where(dataset.eventtype == "dat", x, 0)', 'where("Data" != dataset.eventtype, x, 0)']
)
def test_a_kind_of_data_that_does_not_exist(planned, expr):
    with pytest.raises(ConfigError) as caught:
        planned(expr)
    (problem,) = caught.value.problems
    assert problem.code == "E106"
    assert str(problem.hint) == "did you mean `data`?"


def test_what_is_there_is_not_warned_of(planned):
    expr = (
        'where(dataset.eventtype == "data", x, 0) + where(dataset.name == "dy", x, 0) + where(dataset.era == "B", 1, 0)'
    )
    assert planned(expr, era="B", kind="signal", is_data=False).warnings == ()


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ('where(dataset.name == "dyy", x, 0)', "`dataset.name` is never `dyy`: did you mean `dy`?"),
        ('where(dataset.group == "top", x, 0)', "`dataset.group` is never `top`"),
        ('where(dataset.era == "C", x, 0)', "`dataset.era` is never `C`: values: B"),
    ],
)
def test_a_text_that_no_dataset_has(planned, expr, said):
    (warning,) = planned(expr, era="B").warnings
    assert warning.startswith(said)


@pytest.mark.parametrize("facts", [{"type": "data"}, {"is_data": True}, {"isData": True}, {"kind": "Data"}])
def test_data_that_do_not_say_so(planned, facts):
    warnings = planned(**facts).warnings
    assert len(warnings) == 2
    assert "counts as simulation" in warnings[0]
    assert "eventtype: data" in warnings[0]
    assert planned(**facts, eventtype="data").warnings == ()


def test_variations_for_a_kind_of_data_that_does_not_exist(flow, small_files):
    axes = [{"name": "x", "source": "x", "bins": {"nbins": 2, "low": 0, "high": 200}}]
    variations = {"weights": {"nominal": "1.0"}, "apply_to": {"eventtype": "MC"}}
    stage = flow.stage("H", "hep.hist", [], axes=axes, variations=variations)
    with pytest.raises(ConfigError) as caught:
        flow.write([stage], [small_files / "a.root"]).compile()
    (problem,) = caught.value.problems
    assert "did you mean `mc`?" in str(problem.hint)
