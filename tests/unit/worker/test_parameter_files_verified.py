"""Workers find the copies of files that parameters name, verify them, and need nothing of the original."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.driver.run_directory import prepare
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.worker import parameter_files
from fasthep_parsl.worker.program import Program

OPS = Path(__file__).parents[2] / "file_ops.py"


@pytest.fixture
def made(flow, small_files):
    """A plan and its run directory elsewhere; the originals are gone."""
    shutil.copyfile(OPS, flow.folder / "file_ops.py")
    for name, scale in (("table.json", 2), ("b/table.json", 3), ("model/in/a.json", 5)):
        (flow.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (flow.folder / name).write_text(json.dumps({"scale": scale}))
    stages = [
        flow.stage("A", "file.scale", [], table="table.json", more=["b/table.json"], folder="model"),
        flow.stage("B", "file.nested", [], by_name={"x": {"file": "table.json"}, "y": {"file": "b/table.json"}}),
        flow.stage("C", "file.scale", [], pool="other", table="table.json"),
    ]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["file_ops.py"]})
    plan = flow.compile()
    run_dir = prepare(flow.folder / "run", plan, "new").path
    place = flow.folder.parent / f"{flow.folder.name}-node"
    place.mkdir()
    (run_dir / "code").rename(place / "code")
    shutil.rmtree(flow.folder)
    yield plan, place
    shutil.rmtree(place)


def params(plan, place, stage):
    program = Program(plan, place)
    segment = next(segment for segment in plan.segments if stage in segment.stages)
    return next(step.params[-1] for step in program.steps(segment) if step.stage.id == stage)


def test_an_op_receives_its_copies(made):
    plan, place = made
    found = params(plan, place, "A")
    files = [found.table, *found.more]
    assert [json.loads(path.read_text())["scale"] for path in files] == [2, 3]
    assert all(path.is_relative_to(place / "code" / "files") and path.name == "table.json" for path in files)
    assert found.folder.name == "model"
    assert (found.folder / "in" / "a.json").exists()
    by_name = params(plan, place, "B").by_name
    assert [by_name[key].file for key in "xy"] == files


def damage(copy, how):
    if how == "missing":
        copy.unlink()
        return
    copy.chmod(0o644)
    copy.write_text({"edited": '{"scale": 9}', "truncated": '{"scale"', "empty": ""}[how])


@pytest.mark.parametrize("how", ["edited", "truncated", "empty", "missing"])
@pytest.mark.parametrize("inside", [False, True], ids=["file", "folder"])
def test_a_copy_with_other_content_is_refused(made, how, inside):
    plan, place = made
    planned = next(file for file in plan.parameter_files if file.folder == inside)
    copy = place / "code" / planned.place
    damage(copy / "in" / "a.json" if inside else copy, how)
    with pytest.raises(ConfigError) as caught:
        params(plan, place, "A")
    (problem,) = caught.value.problems
    assert problem.code == "E113"
    assert f"`{planned.name}`" in problem.message


@pytest.mark.parametrize(
    "make", [lambda folder: (folder / "more").touch(), lambda folder: (folder / "l").symlink_to(".")]
)
def test_a_folder_with_more_files_is_refused(made, make):
    plan, place = made
    make(place / "code" / next(file for file in plan.parameter_files if file.folder).place)
    with pytest.raises(ConfigError, match="copy of folder `model`"):
        params(plan, place, "A")


def test_a_copy_is_verified_once_and_only_where_it_is_used(made, monkeypatch):
    plan, place = made
    checked = []
    monkeypatch.setattr(parameter_files, "is_copy", lambda path, planned: checked.append(planned.name) or True)
    program = Program(plan, place)
    other = next(segment for segment in plan.segments if "C" in segment.stages)
    program.steps(other)
    assert checked == ["table.json"]
    for segment in plan.segments:
        program.steps(segment)
    assert sorted(checked) == ["model", "table.json", "table.json"]


def test_a_parameter_that_the_plan_does_not_list_is_refused(made):
    plan, place = made
    without = plan.model_copy(update={"parameter_files": plan.parameter_files[1:]})
    with pytest.raises(ConfigError, match="not in the plan"):
        params(without, place, "A")
