"""`configs/agc.yaml` equals an event loop that shares no code with the package: every bin of all 124 histograms."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import uproot

import agc_event_loop
import fasthep_parsl as fp
from fasthep_parsl.demo import write_demo_data

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "agc.yaml"
REAL = Path(os.environ.get("FASTHEP_TEST_DATA", ROOT.parent / "shared" / "data"))
REAL_FILE = REAL / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
pytest.importorskip("correctionlib")


def templates(outdir: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return values and variances of all templates, with underflow and overflow."""
    with uproot.open(outdir / "results" / "templates.root") as file:
        return {
            name.partition(";")[0]: (file[name].values(flow=True), file[name].variances(flow=True)) for name in file
        }


def assert_equal(found, expected):
    """Compare all bins. What nothing fills is absent from the loop, and may be an empty template."""
    assert found.keys() >= expected.keys()
    for name, (values, variances) in found.items():
        loop = expected.get(name, agc_event_loop.Counts())
        np.testing.assert_allclose(values, loop.weights, rtol=1e-12, atol=0, err_msg=name)
        np.testing.assert_allclose(variances, loop.squares, rtol=1e-12, atol=0, err_msg=name)


def checkout(folder: Path, events: int, **options) -> Path:
    """Return a folder like the repository with demo data for the challenge."""
    (folder / "configs").mkdir(parents=True)
    shutil.copy(CONFIG, folder / "configs")
    write_demo_data(folder / "demo" / "agc", events, like="agc", **options)
    return folder


def run(workflow: Path, outdir: Path, *overrides: str, chunk_size: int | None = None) -> Path:
    settings = ["execution.backend=local", *overrides]
    outcome = fp.run(workflow, outdir=outdir, overrides=settings, chunk_size=chunk_size, plots=False)
    assert outcome.exit_code == 0
    return outdir


def test_it_is_short_and_has_no_python():
    lines = CONFIG.read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 130
    assert not any(line.startswith("use:") for line in lines)


@pytest.mark.slow
def test_all_124_histograms_have_the_names_and_contents_of_the_reference(tmp_path):
    folder = checkout(tmp_path / "checkout", 6000)
    found = templates(run(folder / "configs" / "agc.yaml", tmp_path / "run"))
    assert found.keys() == agc_event_loop.names_of_the_reference()
    assert len(found) == 124
    assert_equal(found, agc_event_loop.analyse(agc_event_loop.samples_in(folder / "demo" / "agc")))


@pytest.mark.slow
@pytest.mark.parametrize(("chunk_size", "events", "file_events"), [(1, 60, 60), (7, 400, 60)])
def test_results_do_not_depend_on_chunks(tmp_path, chunk_size, events, file_events):
    folder = checkout(tmp_path / "checkout", events, file_events=file_events, seed=4)
    found = templates(run(folder / "configs" / "agc.yaml", tmp_path / "run", chunk_size=chunk_size))
    expected = agc_event_loop.analyse(agc_event_loop.samples_in(folder / "demo" / "agc"))
    assert len(expected) > 10
    assert_equal(found, expected)


def test_real_open_data(tmp_path):
    """Nothing of the small file passes the cuts of the challenge, so both are run with softer ones."""
    if not REAL_FILE.exists():
        pytest.skip(f"no real NanoAOD at {REAL_FILE}")
    folder = checkout(tmp_path / "checkout", 60)
    data = folder / "demo" / "agc"
    for name in ("ttbar_nominal", "ttbar_ME_var"):
        shutil.copy(REAL_FILE, data / f"{name}_000.root")
    workflow = folder / "configs" / "agc.yaml"
    text = workflow.read_text()
    softer = re.sub(r"(_pt|\[pt) > 30", r"\1 > 8", text)
    assert softer.count("> 8") == 3
    workflow.write_text(softer)
    expected = agc_event_loop.analyse(agc_event_loop.samples_in(data), agc_event_loop.Cuts(pt=8.0))
    assert sum(expected["4j1b_ttbar"].entries) + sum(expected["4j2b_ttbar"].entries) >= 1
    assert_equal(templates(run(workflow, tmp_path / "run")), expected)


@pytest.mark.slow
def test_with_workers(tmp_path):
    folder = checkout(tmp_path / "checkout", 600, seed=9)
    found = templates(run(folder / "configs" / "agc.yaml", tmp_path / "run", "execution.backend=parsl"))
    assert_equal(found, agc_event_loop.analyse(agc_event_loop.samples_in(folder / "demo" / "agc")))


def test_momenta_vary_after_the_selections_that_do_not_depend_on_them(tmp_path):
    folder = checkout(tmp_path / "checkout", 60)
    plan = fp.compile_plan(folder / "configs" / "agc.yaml")
    inputs = {stage.id: stage.input for stage in plan.stages}
    smeared = [name for name in inputs if name.startswith("@Jet_pt@")]
    assert smeared == ["@Jet_pt@Candidates@pt_scale_up", "@Jet_pt@Candidates@pt_res_up"]
    assert inputs[smeared[0]] == "Candidates"
    copies = {name.partition("@")[0] for name in inputs if name.endswith("@pt_res_up") and name[0] != "@"}
    assert not copies & {"OneLepton", "Candidates"}
    assert {"GoodJets", "FourJets", "HT", "Mtop"} <= copies
