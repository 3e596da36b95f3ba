"""`fp.open_run`: results by name, and what it says of runs that are not complete."""

import json
import shutil
import sys

import hist
import pytest

import fasthep_parsl as fp
from fasthep_parsl.errors import ConfigError, UnknownResultError
from report_pages import Page

AXIS = {"name": "x", "source": "x", "bins": {"nbins": 10, "low": 0, "high": 100}}


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_files):
    """A run of two histograms and a cutflow."""
    folder = tmp_path_factory.mktemp("opened")
    stages = [
        {"id": "Sel", "op": "hep.selection.cutflow", "params": {"selection": ["x >= 10", "nJet >= 1"]}},
        {"id": "X", "op": "hep.hist", "params": {"axes": [AXIS]}},
    ]
    content = {
        "version": "1.0",
        "data": {"datasets": [{"name": "a<b>", "files": [str(small_files / "a.root")]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": stages},
        "execution": {"backend": "local"},
    }
    (folder / "w.yaml").write_text(json.dumps(content))
    return fp.run(folder / "w.yaml", outdir=folder / "run", chunk_size=25)


@pytest.fixture
def killed(made, tmp_path):
    """The same run, as a kill leaves it: no end, and no task that has finished."""
    folder = tmp_path / "killed"
    shutil.copytree(made.run_dir, folder)
    for name in ("run.json", "report.html"):
        (folder / name).unlink()
    log = folder / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if json.loads(line)["kind"] not in ("finished", "ended")))
    return folder


def test_results_have_their_names(made):
    run = fp.open_run(made.run_dir)
    assert (run.status, run.summary["status"], run.missing) == ("complete", "complete", "")
    assert list(run.histograms) == ["X"]
    assert list(run.cutflows) == ["Sel"]
    assert isinstance(run["X"], hist.Hist)
    assert run["X"] == run.histograms["X"] == made["X"]
    assert run["X"].sum(flow=True) == made.products["X", "hist"].hist.sum(flow=True)
    assert run["Sel"].cutflow == made["Sel"].cutflow == run.cutflows["Sel"].cutflow
    assert [path.name for path in run.plots] == ["Sel.png", "X.png"]
    assert run.report == made.run_dir / "report.html"


def test_a_cutflow_is_a_table(made):
    table = fp.open_run(made.run_dir).cutflows["Sel"]
    assert len(table) == len(table.rows) == 2
    assert [(row["label"], row["n_in"], row["n_out"]) for row in table] == [("x >= 10", 100, 90), ("nJet >= 1", 90, 60)]
    assert "90.0 %" in repr(table)
    page = Page(table._repr_html_())
    assert "a<b>" in page.all_text
    assert "90" in page.all_text
    assert not page.named("b")
    frame = table.to_pandas()
    assert frame["n_out"].tolist() == [90, 60]
    assert set(frame["dataset"]) == {"a<b>"}


def test_without_pandas_the_extra_is_named(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"fasthep-parsl\[pandas\]"):
        made["Sel"].to_pandas()


@pytest.mark.parametrize("read", [lambda run: run["Xx"], lambda run: run.histograms["Xx"], lambda run: run.plot("Xx")])
def test_an_unknown_name_gets_a_suggestion(made, read):
    with pytest.raises(UnknownResultError, match=r"`Xx`.*did you mean `X`"):
        read(made)
    assert made.histograms.get("Xx") is None


def test_a_plot_is_a_figure_with_the_contents(made):
    figure = made.plot("X")
    assert figure.axes
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UnknownResultError, match="no region `4j`"):
        made.plot("X", "4j")


def test_html_has_verdict_plots_and_cutflows_and_is_escaped(made):
    page = Page(fp.open_run(made.run_dir)._repr_html_())
    assert "Complete: all 100 events are in the results." in page.all_text
    assert "a<b>" in page.all_text
    assert [image["alt"] for image in page.named("img")] == ["Plot of Sel", "Plot of X"]
    assert all(image["src"].startswith("data:image/") for image in page.named("img"))
    assert not page.named("b")
    assert not page.named("style")  # it would change other cells
    assert page.text == {}  # ids would be there twice if a notebook shows two runs
    assert Page(made._repr_html_()).all_text == page.all_text


def test_a_killed_run_never_looks_complete(killed):
    with pytest.warns(fp.IncompleteRunWarning, match=r"Killed: .*0 of 100 events"):
        run = fp.open_run(killed)
    assert run.status == "killed"
    assert run.summary == {}
    assert "Killed" in run.missing
    for text in (repr(run), Page(run._repr_html_()).all_text):
        assert "Killed: the run has stopped without an end." in text
        assert "Complete" not in text
    assert "not complete: 100 events are missing" in run._repr_html_()
    assert "mode=&#39;resume&#39;" in run._repr_html_()
    assert "--resume" not in run._repr_html_()
    with pytest.raises(UnknownResultError, match="Killed"):
        run["Y"]
    assert "Killed" in run.report.read_text()


def test_a_run_that_is_replaced_is_not_shown_as_the_old_one(made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(made.run_dir, folder)
    run = fp.open_run(folder)
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, "seconds": 1e6}))
    assert "has changed since" in repr(run)
    assert "has changed since" in run._repr_html_()
    assert "has changed since" not in repr(fp.open_run(folder))


def test_a_folder_without_a_run_is_refused_and_a_lost_one_is_said(made, tmp_path):
    with pytest.raises(ConfigError, match="is not a run directory"):
        fp.open_run(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(made.run_dir, folder)
    run = fp.open_run(folder)
    shutil.rmtree(folder)
    assert "cannot be read" in repr(run)
    assert run._repr_html_() is None


def test_dir_lists_what_there_is():
    assert {"run", "open_run", "compile_plan", "op", "IncompleteRunError"} <= set(dir(fp))
    assert all(hasattr(fp, name) for name in dir(fp))
