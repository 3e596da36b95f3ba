"""Run directories: files of the user are kept, runs are replaced or resumed only on request."""

from __future__ import annotations

import json
import os

import pytest

from fasthep_parsl.driver.run_directory import prepare
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import Plan


@pytest.fixture
def plan(make_plan):
    return make_plan([(["A"], "p", {"products": ("A",)})], 4)


def test_a_new_folder_is_made_with_the_plan(tmp_path, plan):
    made = prepare(tmp_path / "deep" / "run", plan, "new")
    assert not made.resumed
    assert Plan.model_validate_json((made.path / "plan.json").read_text()).hash == plan.hash
    assert (made.path / "log").is_dir()
    made.write_json("run.json", {"path": tmp_path})
    assert json.loads((made.path / "run.json").read_text()) == {"path": str(tmp_path)}
    assert prepare(tmp_path / "empty", plan, "new").path.is_dir()


def test_a_run_is_not_touched_unless_asked(tmp_path, plan):
    path = prepare(tmp_path / "run", plan, "new").path
    (path / "events.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="already contains a run"):
        prepare(path, plan, "new")
    assert (path / "events.jsonl").read_text() == "{}\n"
    assert prepare(path, plan, "resume").resumed
    assert (path / "events.jsonl").exists()
    assert not prepare(path, plan, "force").resumed
    assert not (path / "events.jsonl").exists()


def test_what_is_the_users_is_kept(tmp_path, plan):
    path = prepare(tmp_path / "run", plan, "new").path
    (path / "notes.txt").write_text("mine")
    prepare(path, plan, "force")
    assert (path / "notes.txt").read_text() == "mine"
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "results").mkdir()
    for mode in ("new", "force", "resume"):
        with pytest.raises(ConfigError):
            prepare(other, plan, mode)
    assert (other / "results").is_dir()


def test_force_removes_a_link_not_what_it_points_to(tmp_path, plan):
    path = prepare(tmp_path / "run", plan, "new").path
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (path / "results").symlink_to(precious)
    prepare(path, plan, "force")
    assert (precious / "file").exists()
    assert not (path / "results").exists()


def test_another_plan_is_not_resumed(tmp_path, plan):
    path = prepare(tmp_path / "run", plan, "new").path
    with pytest.raises(ConfigError, match="chunk size changed"):
        prepare(path, plan.model_copy(update={"chunk_size": 5}), "resume")
    again = plan.model_copy(update={"site": "elsewhere", "warnings": ("w",)})
    assert prepare(path, again, "resume").resumed
    (path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        prepare(path, plan, "resume")


def test_places_that_cannot_be_used(tmp_path, plan):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        prepare(tmp_path / "file", plan, "new")
    with pytest.raises(ConfigError):
        prepare(tmp_path / "file" / "run", plan, "new")
    if os.geteuid() != 0:  # nothing is unwritable for root
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(ConfigError, match="cannot be written"):
            prepare(closed / "run", plan, "new")
