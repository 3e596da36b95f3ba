"""``styles`` and ``render`` of a workflow: FAST-HEP's spelling is drawn, and each mistake has its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import hist
import numpy as np
import pytest
import yaml

import fasthep_parsl as fp
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.driver.redraw import redraw
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.plan.styles import ProjectionStyle
from fasthep_parsl.results.result_plots import projected

DATASETS = (DatasetInfo("data", "data"), DatasetInfo("dy", "mc"))
STYLES = """
styles:
  base:
    op: hep.render.data_mc
    figure: {size: [8, 8], dpi: 60}
    axes:
      x: {name: mass, label: 'Dimuon mass [GeV]', limits: [60, 120]}
      y: {name: events, label: Events, scale: log}
      ratio: {name: ratio, label: Data/MC, limits: [0.5, 1.5]}
    legend: {loc: upper right, ncol: 1}
    style:
      experiment: CMS
      datasets: {dy: {label: '$Z\\to\\mu\\mu$', color: '#5790fc', kind: background}}
    data_mc: {data: data, signals: [], backgrounds: [dy, ttbar, zz], stack: true, ratio: true, histtype_mc: fill, show_mc_uncertainty: true}
  mass:
    use: base
    with: {style: {label: Preliminary, lumi: 36.3}, axes: {y: {scale: linear}}}
"""

PROJECTIONS = """
styles:
  base: {op: hep.render.data_mc, style: {experiment: LZ}, figure: {dpi: 60}}
  maps: {op: hep.render.heatmap2d, style: {experiment: LZ}}
  of_pt:
    op: hep.render.project
    project:
      axis: pt
      keep_dataset: true
      then: {use: base, with: {axes: {x: {name: pt, limits: [0, 50]}}}}
"""


def workflow(
    folder: Path,
    styles: str = STYLES,
    render: str = "{style: mass, when: final, out: Mass.png, formats: [png, pdf, svg]}",
) -> Path:
    text = f"""
version: '1.0'
data:
  datasets:
  - {{name: data, files: [data/data_*.root], eventtype: data}}
  - {{name: dy, files: [data/dy_*.root], eventtype: mc}}
  - {{name: ttbar, files: [data/ttbar_*.root], eventtype: mc}}
  - {{name: zz, files: [data/zz_*.root], eventtype: mc}}
sources: {{events: {{kind: root_tree, tree: Events}}}}
analysis:
  stages:
  - id: Cuts
    op: hep.selection.cutflow
    params: {{selection: {{All: [nMuon >= 2]}}}}
  - id: MuonPt
    op: hep.hist
    params:
      dataset_axis: true
      axes: [{{name: pt, source: leading(Muon_pt), bins: {{nbins: 20, low: 0, high: 100}}, unit: GeV}}]
    render: {render}
  - id: Wrong
    op: hep.hist
    params:
      dataset_axis: true
      axes: [{{name: pt, source: leading(Muon_pt), bins: {{nbins: 20, low: 0, high: 0.12}}, unit: GeV}}]
{styles}
"""
    path = folder / "analysis.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path, demo_data, monkeypatch):
    shutil.copytree(demo_data, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_styles_are_drawn_in_a_run_and_again_without_one(folder, capsys):
    path = workflow(folder)
    invoke(["run", str(path), "--backend", "local", "--outdir", str(folder / "run")])
    said = capsys.readouterr()
    assert "axis `pt [GeV]` from 0 to 0.12 holds nothing" in said.err  # loud, in the run's output
    plots = folder / "run" / "plots"
    assert {item.name for item in plots.iterdir()} == {"Cuts.png", "Mass.pdf", "Mass.png", "Mass.svg", "Wrong.png"}
    assert (plots / "Mass.pdf").read_bytes().startswith(b"%PDF")
    summary = json.loads((folder / "run" / "run.json").read_text())
    assert any("holds nothing" in line for line in summary["warnings"])
    picture = (plots / "Mass.png").read_bytes()

    made = redraw(folder / "run", outdir=folder / "same")
    assert (folder / "same" / "Mass.png").read_bytes() == picture  # the results are those of the run
    assert made.styles == path
    path.write_text(path.read_text().replace("lumi: 36.3", "lumi: 59.8"))
    assert invoke(["plot", str(folder / "run"), "--stage", "MuonPt", "--format", "svg"]) == 0
    assert "Mass.svg" in capsys.readouterr().out
    assert invoke(["plot", str(folder / "run"), "--format", "gif"]) == 2
    redraw(folder / "run")
    assert (plots / "Mass.png").read_bytes() != picture
    path.unlink()
    assert redraw(folder / "run").styles is None
    assert (plots / "Mass.png").read_bytes() == picture  # with the styles of the plan
    with pytest.raises(ConfigError, match="stage `MuonPtt` has no plot"):
        redraw(folder / "run", stages=["MuonPtt"])
    with pytest.raises(ConfigError, match="not a run directory"):
        redraw(folder)


def test_styles_do_not_change_the_plan(folder):
    before = compile_plan(workflow(folder), site="local")
    after = compile_plan(workflow(folder, STYLES.replace("CMS", "ATLAS"), "mass"), site="local")
    assert before.hash == after.hash
    (picture,) = after.pictures
    assert (picture.stage, picture.style.style.experiment, picture.style.style.lumi) == ("MuonPt", "ATLAS", 36.3)
    assert picture.style.axes.y.scale == "linear"  # `with` is over `use`
    assert picture.style.axes.x.limits == (60, 120)
    assert fp.compile_plan is compile_plan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("styles", "render", "code", "key", "message"),
    [
        (STYLES, "{style: maas}", "E116", "analysis.stages[1].render[0].style", "no style `maas`"),
        ("", "{style: mass}", "E116", "analysis.stages[1].render[0].style", "no style `mass`"),
        (STYLES, "mas", "E116", "analysis.stages[1].render[0]", "no style `mas`"),
        (STYLES, "{style: mass, out: Cuts}", "E116", "analysis.stages[1].render[0].out", "has the name of that of `Cuts`"),
        (STYLES, "{style: mass, formats: [gif]}", "E106", "analysis.stages[1].render[0].formats[0]", "`gif` is not allowed"),
        (STYLES.replace("use: base", "use: bsae"), "mass", "E116", "styles.mass.use", "no style `bsae`"),
        (STYLES.replace("use: base", "use: mass"), "mass", "E116", "styles.mass.use", "inherits from itself"),
        (STYLES.replace("signals: []", "signals: [zzz]"), "mass", "E116", "styles.base.data_mc.signals[0]", "no dataset or group `zzz`"),
        (STYLES.replace("data: data", "data: dta"), "mass", "E116", "styles.base.data_mc.data", "no dataset or group `dta`"),
        (STYLES.replace("datasets: {dy:", "datasets: {dyy:"), "mass", "E116", "styles.base.style.datasets.dyy", "no dataset or group `dyy`"),
        (STYLES.replace("'#5790fc'", "rde"), "mass", "E116", "styles.base.style.datasets.dy.color", "no colour `rde`"),
        (STYLES.replace("scale: log", "scale: logg"), "mass", "E106", "styles.base.axes.y.scale", "`logg` is not allowed"),
        (STYLES.replace("experiment: CMS", "experiment: CNS"), "mass", "E105", "styles.base.style.experiment", "did you mean `CMS`?"),
        (PROJECTIONS.replace("axis: pt", "axis: ptt"), "[maps, of_pt]", "E116", "analysis.stages[1].render[1]", "no axis `ptt` to project on"),
        (PROJECTIONS, "[maps, {style: of_pt}]", "E116", "analysis.stages[1].render[1]", "has the name of that of `MuonPt`"),
        (STYLES.replace("limits: [60, 120]", "limits: [120, 60]"), "mass", "E105", "styles.base.axes.x", "limits must rise"),
        (STYLES.replace("legend:", "legnd:"), "mass", "E102", "styles.base.legnd", "unknown key `legnd`"),
        (STYLES.replace("ncol: 1", "ncol: 0"), "mass", "E106", "styles.base.legend.ncol", "must be at least 1"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place_and_a_suggestion(folder, styles, render, code, key, message):
    with pytest.raises(ConfigError) as caught:
        compile_plan(workflow(folder, styles, render), site="local")
    found = [(item.code, item.key, item.message) for item in caught.value.problems]
    assert any(c == code and k.startswith(key) and message in text for c, k, text in found), found
    problem = next(item for item in caught.value.problems if message in item.message)
    assert problem.where is not None
    assert str(problem.hint)


def test_what_fasthep_render_has_more_is_said(folder):
    styles = STYLES.replace("legend:", "heatmap2d: {cbar: true}\n    legend:").replace(
        "backgrounds: [dy, ttbar, zz]", "backgrounds: [dy]"
    )
    plan = compile_plan(workflow(folder, styles), site="local")
    assert any("`heatmap2d` of fasthep-render has no effect" in line for line in plan.warnings)
    assert any("does not draw `ttbar`, `zz`" in line for line in plan.warnings)


def test_upstreams_example_is_drawn(folder):
    """A style and a render as upstream's workflows write them."""
    style = yaml.safe_load(STYLES)["styles"]["base"]
    assert style["op"] == "hep.render.data_mc"
    plan = compile_plan(workflow(folder, STYLES, "{style: base, when: final}"), site="local")
    assert plan.pictures[0].formats == ("png",)


def test_a_result_is_drawn_several_times_and_projected(folder):
    render = "[{style: maps, when: dataset, out: Map}, {style: of_pt, out: Pt.png, overlays: [{kind: box}]}]"
    plan = compile_plan(workflow(folder, PROJECTIONS, render), site="local")
    assert [(item.stage, item.name) for item in plan.pictures] == [("MuonPt", "Map"), ("MuonPt", "Pt")]
    style = plan.pictures[1].style
    assert (style.project.axis, style.axes.x.limits, style.style.experiment) == ("pt", (0, 50), "LZ")
    assert any("`overlays` of fasthep-render has no effect" in line for line in plan.warnings)
    assert any("`when: dataset` is `final`" in line for line in plan.warnings)


@pytest.mark.parametrize("keep", [True, False])
def test_a_projection_is_the_sum_over_the_other_axes(keep):
    axes = [
        hist.axis.StrCategory(["data", "dy"], name="dataset"),
        hist.axis.Regular(3, 0, 3, name="x"),
        hist.axis.Regular(2, 0, 2, name="y"),
        hist.axis.StrCategory(["nominal", "up"], name="variation"),
    ]
    made = hist.Hist(*axes, storage="weight")
    made.view()["value"] = np.arange(24).reshape(2, 3, 2, 2)
    found = projected(
        Histogram(made, variation_axis="variation"), ProjectionStyle(axis="y", keep_dataset=keep), DATASETS
    )
    names = ["dataset", "y", "variation"] if keep else ["y", "variation"]
    assert [axis.name for axis in found.hist.axes] == names
    whole = Histogram(made, variation_axis="variation")
    assert projected(whole, ProjectionStyle(axis="z", keep_dataset=keep), DATASETS) is whole  # no plot is lost
    expected = np.arange(24).reshape(2, 3, 2, 2).sum(axis=1)
    assert np.array_equal(found.hist.values(), expected if keep else expected.sum(axis=0))
