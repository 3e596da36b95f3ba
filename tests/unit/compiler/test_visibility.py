"""Sites without a shared file system: what workers would not see is refused in the plan, with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from fasthep_parsl.compiler import visibility
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError

SITE = {"meta": {"description": "far away"}, "strategy": {"kind": "htcondor"}, "shared_filesystem": False}


@pytest.fixture
def far(flow, small_files):
    """Compile a workflow for a site whose workers do not see the run directory."""

    def compile_on(*stages, overrides=(), **site):
        path = flow.folder / "far.yaml"
        path.write_text(yaml.safe_dump({**SITE, **site}, sort_keys=False))
        datasets = {"one": [small_files / "a.root"], "two": [small_files / "b.root", small_files / "none.root"]}
        flow.write(list(stages) or [flow.stage("Sum", "probe.sum", [])], datasets=datasets,
                   execution={"pools": {"default": {"workers": 2}}})  # fmt: skip
        return compile_plan(flow.path, path, overrides=overrides)

    return compile_on


def refusal(call, *args, **keywords):
    with pytest.raises(ConfigError) as caught:
        call(*args, **keywords)
    return caught.value.problems


def test_input_on_this_machine_is_refused_once_per_dataset(far):
    first, second = refusal(far)
    assert (first.code, first.key) == ("E149", "data.datasets[0].files[0]")
    assert first.message == "workers do not see `a.root` of dataset `one`, on this machine"
    assert second.message == "workers do not see `b.root` and 1 more file of dataset `two`, on this machine"
    assert "root://" in str(first.hint)
    assert "execution.shared_folders" in str(first.hint)
    assert first.where.line


def test_folders_that_workers_see_are_fine(far, small_files):
    plan = far(shared_folders=["/cvmfs", str(small_files)])
    assert not plan.pool("default").shared
    assert not plan.warnings
    assert len(refusal(far, shared_folders=[str(small_files)[:-1]])) == 2  # the beginning of a name is no folder


@pytest.mark.parametrize("override", ["strategy=local", "backend=local", "shared_filesystem=true"])
def test_nothing_is_refused_where_workers_see_all(far, override):
    assert far(overrides=[f"execution.{override}"]).pool("default").shared


def test_a_strategy_that_brings_no_files_is_refused_where_the_site_says_so(far, small_files):
    (problem,) = refusal(far, strategy={"kind": "slurm"}, shared_folders=[str(small_files)])
    assert (problem.code, problem.key) == ("E149", "execution.shared_filesystem")
    assert problem.where.file.endswith("far.yaml")
    assert problem.message == "strategy `slurm` cannot send files to workers, which do not see the run directory"
    assert "`htcondor`" in str(problem.hint)


def test_files_that_would_stay_with_workers_are_refused(far, flow, small_files):
    def write(**params):
        return flow.stage("Skim", "hep.write", [], format="root", **params)

    seen = [str(small_files)]
    assert far(write(), shared_folders=seen)
    assert far(write(path=f"{small_files}/skims"), shared_folders=seen)
    here = far(write(path="skims"), shared_folders=[*seen, str(flow.folder)])  # it begins where the workflow lies
    assert here.stages[0].params["path"] == str(flow.folder / "skims")
    (problem,) = refusal(far, write(path="/home/me/skims"), shared_folders=seen)
    assert (problem.code, problem.key) == ("E149", "analysis.stages[0].params.path")
    assert "`results/Skim`" in str(problem.hint)


def test_large_files_of_parameters_are_warned_of_where_they_are_transferred(far, flow, small_files, monkeypatch):
    shutil.copyfile(Path(__file__).parents[2] / "file_ops.py", flow.folder / "probe_ops.py")
    (flow.folder / "t.json").write_text('{"scale": 1}')
    stages = [flow.stage(name, "file.scale", [], table="t.json") for name in "AB"]
    seen = [str(small_files)]
    monkeypatch.setattr(visibility, "LARGE", 13)
    assert not far(*stages, shared_folders=seen).warnings  # it is transferred once
    monkeypatch.setattr(visibility, "LARGE", 12)
    assert ["12 B" in warning for warning in far(*stages, shared_folders=seen).warnings] == [True]
    assert not far(*stages, overrides=["execution.shared_filesystem=true"]).warnings
