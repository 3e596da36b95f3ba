"""Every result of a limited run says which events it is of, and the run is complete when these are done."""

from __future__ import annotations

import csv
import json

import pytest
import uproot
from typer.testing import CliRunner

from fasthep_parsl.cli.app import app
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.driver.redraw import redraw
from fasthep_parsl.driver.run_directory import prepare
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.report.run_report import read_report
from fasthep_parsl.results.plots import draw_cutflow, figure_of

EXTENT = "first 30 events of each dataset"


@pytest.fixture
def made(flow, small_files):
    """A workflow with a histogram, a cutflow, a probe and a step that fails."""
    axis = {"name": "x", "source": "x", "bins": {"nbins": 14, "low": 0, "high": 140}}
    stages = [
        flow.stage("Cuts", "hep.selection.cutflow", selection=["x >= 3"]),
        flow.stage("H", "hep.hist", ["Cuts"], axes=[axis], dataset_axis=True),
    ]
    return flow.write(stages, datasets={"a": [small_files / "a.root"], "b": [small_files / "b.root"]})


def test_all_files_say_of_which_events_they_are(made):
    outcome = made.run(limit=30)
    assert outcome.exit_code == 0, outcome.error
    results = outcome.run_dir / "results"
    assert (results / "extent.txt").read_text() == f"{EXTENT}\n"
    assert json.loads((results / "H" / "hist.json").read_text())["metadata"]["fasthep_extent"] == EXTENT
    assert json.loads((results / "Cuts" / "cutflow.json").read_text())["extent"] == EXTENT
    with (results / "Cuts" / "cutflow.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["extent"] for row in rows} == {EXTENT}
    assert {row["dataset"]: row["n_in"] for row in rows} == {"a": "30", "b": "30"}
    with uproot.open(results / "histograms.root") as file:
        assert str(file["extent"]) == EXTENT
        assert file["H/a"].title == f"({EXTENT})"
    assert outcome.summary["limit"] == 30
    assert outcome.summary["events"] == {"total": 60, "done": 60, "read": 60}


def test_without_a_limit_nothing_is_added(made):
    outcome = made.run()
    results = outcome.run_dir / "results"
    assert outcome.summary["limit"] is None
    assert not (results / "extent.txt").exists()
    assert "extent" not in (results / "Cuts" / "cutflow.csv").read_text() + (results / "H" / "hist.json").read_text()
    with uproot.open(results / "histograms.root") as file:
        assert "extent" not in file


def test_plots_say_it_also_when_they_are_drawn_again(made, monkeypatch):
    texts = []

    def noted(histogram, path, drawing, **_):
        texts.extend(text.get_text() for text in figure_of(histogram, drawing).texts)
        return []

    def noted_cutflow(cutflow, path, drawing, *, title, formats):
        texts.append(drawing.recipe.extent)
        return draw_cutflow(cutflow, path, drawing, title=title, formats=formats)

    monkeypatch.setattr("fasthep_parsl.results.plots.draw", noted)
    monkeypatch.setattr("fasthep_parsl.results.plots.draw_cutflow", noted_cutflow)
    made.run(limit=30)
    redraw(made.folder / "run", outdir=made.folder / "again")
    assert texts.count(EXTENT) == 2


def test_a_run_is_resumed_with_its_limit_only(made):
    plans = {limit: made.compile(limit=limit) for limit in (None, 30, 40)}
    made.run(plans[30])
    for limit, wanted in ((None, "all events"), (40, "the first 40 events")):
        with pytest.raises(
            ConfigError, match=f"processes the {EXTENT}, and this would process {wanted}.* with the limit 30"
        ):
            prepare(made.folder / "run", plans[limit], "resume")
    assert made.run(plans[30], mode="resume").status == "complete"
    made.run(plans[None], mode="force")
    with pytest.raises(ConfigError, match=r"processes all events, and .* without a limit"):
        prepare(made.folder / "run", plans[30], "resume")


def test_missing_events_are_those_before_the_limit(flow, small_files):
    stages = [flow.stage("Fail", "probe.fail", at=[27]), flow.stage("Sum", "probe.sum", ["Fail"])]
    outcome = flow.write(stages, [small_files / "a.root"]).run(limit=30, chunk_size=10)
    assert outcome.status == "partial"
    (file,) = json.loads((outcome.run_dir / "missing.json").read_text())["small"]["files"].values()
    missing = sum(b - a for a, b in file["steps"])
    assert max(b for _, b in file["steps"]) == 30
    assert outcome.summary["events"]["total"] == 30
    assert outcome.summary["events"]["done"] == 30 - missing
    verdict = read_report(outcome.run_dir, alive=False).verdict
    assert verdict.headline == f"Partial: {missing} of the {EXTENT} (30 events) are missing."
    plan = compile_plan(flow.path, limit=30, chunk_size=10)
    assert plan.arguments == ("--limit", "30", "--chunk-size", "10")  # the report's command that finishes the run


def test_the_report_says_it(made):
    made.run(limit=30)
    verdict = read_report(made.folder / "run", alive=False).verdict
    assert (verdict.tone, verdict.headline) == ("good", f"Complete: the {EXTENT} (60 events) are in the results.")


def called(*arguments):
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, found.output


def test_the_command_line_says_it(made):
    code, output = called("run", made.path, "--limit", 30, "-o", made.folder / "run", "--no-plots")
    assert code == 0, output
    assert f"complete: {EXTENT}: 60 of 60 events in " in output
    for option in ((), ("--graph",)):
        code, output = called("plan", made.path, "--limit", 30, *option)
        assert code == 0
        assert EXTENT in output


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("limit", ["0", "-1", "abc", "1e3", "2.5", ""])
def test_a_wrong_limit_is_a_usage_error(made, command, limit):
    code, output = called(command, made.path, f"--limit={limit}")
    assert code == 2
    assert "--limit" in output


def test_a_dry_run_is_the_plan_and_writes_nothing(made):
    options = ["--limit", 30, "--chunk-size", 7]
    plan, dry = called("plan", made.path, *options), called("run", made.path, "--dry-run", *options)
    assert plan == dry
    assert dry[0] == 0
    before = sorted(made.folder.rglob("*"))
    called("run", made.path, "--dry-run", "-o", made.folder / "run")
    assert sorted(made.folder.rglob("*")) == before


@pytest.mark.parametrize("option", ["--force", "--resume", "--quiet"])
def test_a_dry_run_refuses_what_has_no_meaning(made, option):
    code, output = called("run", made.path, "--dry-run", option)
    assert code == 2
    assert option in output
