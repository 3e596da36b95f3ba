"""Files of ``hep.write``: where they come to, whose they are, and that the manifest is true of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import uproot

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.ops.targets import template_problems


def writing(flow, *stages, files, **sections):
    return flow.write(list(stages), files, **sections)


def skim(flow, stage="W", needs=None, pool="", **params):
    found = flow.stage(stage, "hep.write", needs, pool)
    found["params"] = {"format": "root", "fields": ["x"], "path": "skims"} | params
    return found


def refusal(flow, **options):
    with pytest.raises(ConfigError) as caught:
        flow.run(**options)
    return [(problem.code, problem.message, problem.key) for problem in caught.value.problems]


def events_in(folder, pattern="**/*.root"):
    return sorted(x for path in folder.glob(pattern) for x in uproot.open(path)["Events"]["x"].array().tolist())


def manifest(flow, stage="W"):
    return json.loads((flow.folder / "run" / "results" / stage / "manifest.json").read_text())["files"]


def check_manifest(flow, events, stage="W"):
    """Read back all that a manifest lists."""
    listed = manifest(flow, stage)
    home = flow.folder / "run" / "results" / stage
    assert len({file["path"] for file in listed}) == len(listed)
    for file in listed:
        path = home / file["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
        assert path.stat().st_size == file["bytes"]
        assert uproot.open(path)["Events"].num_entries == file["events"]
    found = sorted(x for f in listed for x in uproot.open(home / f["path"])["Events"]["x"].array().tolist())
    assert found == sorted(events)


SHARED = {
    "equal": ({}, {}),
    "normalised": ({}, {"path": "./other/../skims/"}),
    "absolute": ({}, {"path": "{folder}/skims"}),
    "link": ({}, {"path": "link"}),
    "stage by name": ({"name": "W-{partition}"}, {"name": "{stage}-{partition}"}),
    "dataset by name": ({"path": "skims/small"}, {"path": "skims/{dataset}"}),
    "pools": ({}, {"pool": "other"}),
    "capitals": ({"name": "a{partition}"}, {"name": "A{partition}"}),
}


@pytest.mark.parametrize("case", SHARED)
def test_stages_that_would_write_one_file_are_refused(flow, small_files, case):
    one, two = ({**params} for params in SHARED[case])
    (flow.folder / "skims").mkdir()
    (flow.folder / "link").symlink_to(flow.folder / "skims")
    if "absolute" in case:
        two["path"] = str(flow.folder / "skims")
    first = "V" if case == "stage by name" else "All"
    stages = skim(flow, first, [], **one), skim(flow, "W", [], two.pop("pool", ""), **two)
    writing(flow, *stages, files=[small_files / "a.root"])
    ((code, message, key),) = refusal(flow)
    assert (code, key) == ("E167", "analysis.stages[1].params.path")
    assert f"stages `{first}` and `W` would both write `{os.path.realpath(flow.folder)}/skims/" in message
    assert not (flow.folder / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "two",
    [
        {"path": "skims/odd"},
        {"path": "{stage}"},
        {"name": "{stage}-{partition}"},
        {"format": "parquet"},
        {"path": None},
    ],
)
def test_stages_that_write_files_of_their_own(flow, small_files, two):
    flow.write([skim(flow, "All", []), skim(flow, "W", [], **two)], [small_files / "a.root", small_files / "b.root"])
    assert flow.run(chunk_size=30).status == "complete"
    check_manifest(flow, range(140), "All")
    if two.get("format") != "parquet":
        check_manifest(flow, range(140))


def test_a_relative_path_begins_where_the_workflow_lies(flow, small_files, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    flow.write([skim(flow)], [small_files / "a.root"])
    flow.run()
    check_manifest(flow, range(100))
    assert events_in(flow.folder / "skims") == list(range(100))
    assert {Path(file["path"]).parent for file in manifest(flow)} == {flow.folder / "skims"}


def test_files_of_an_earlier_run_are_refused_or_removed(flow, small_files):
    files = [small_files / "a.root"]
    flow.write([skim(flow)], files).run(chunk_size=25)
    (flow.folder / "skims" / "notes.txt").write_text("mine")
    (flow.folder / "skims" / "merged.root").write_text("mine")
    (flow.folder / "skims" / f".small-000000.root.{os.getpid()}.tmp.root").write_text("of a killed worker")
    shutil.move(flow.folder / "run", flow.folder / "before")
    ((code, message, _),) = refusal(flow, chunk_size=100)
    assert code == "E167"
    assert "contains 4 files like those of stage `W`: `small-000000.root`" in message
    assert not (flow.folder / "run").exists()
    assert flow.run(chunk_size=100, mode="force").status == "complete"
    check_manifest(flow, range(100))
    assert events_in(flow.folder / "skims", "small*.root") == list(range(100))
    assert {"notes.txt", "merged.root", "small-000000.root"} == {
        path.name for path in (flow.folder / "skims").iterdir() if not path.name.startswith(".fasthep")
    }


def test_force_removes_no_files_of_other_datasets(flow, small_files):
    (flow.folder / "skims").mkdir()
    (flow.folder / "skims" / "W-small-000000.root").write_text("of a stage elsewhere")
    flow.write([skim(flow)], [small_files / "a.root"])
    for mode in ("new", "force"):
        assert "`W-small-000000.root`" in refusal(flow, mode=mode)[0][1]
    (flow.folder / "skims" / "W-small-000000.root").rename(flow.folder / "skims" / "small-000099.root")
    assert flow.run(mode="force").status == "complete"
    assert events_in(flow.folder / "skims") == list(range(100))


def test_a_run_that_goes_on_has_its_files(flow, small_files):
    files = [small_files / "a.root"]
    stages = [skim(flow), flow.stage("Bad", "probe.fail", [], at=[30], once=str(flow.folder / "mended"))]
    flow.write([*stages, flow.stage("Sum", "probe.sum", ["Bad"])], files)
    outcome = flow.run(chunk_size=25)
    assert outcome.status == "partial"
    left = [x for x in range(100) if x // 25 != 1]
    check_manifest(flow, left)
    assert events_in(flow.folder / "skims") == left  # that of the failed partition is gone: no number has its events
    (flow.folder / "mended").touch()
    assert flow.run(chunk_size=25, mode="resume").status == "complete"
    check_manifest(flow, range(100))
    assert events_in(flow.folder / "skims") == list(range(100))


def test_a_run_does_not_go_on_among_files_of_another(flow, small_files):
    files = [small_files / "a.root"]
    flow.write([skim(flow)], files).run(chunk_size=25)
    shutil.copy(flow.folder / "skims" / "small-000000.root", flow.folder / "skims" / "old-000000.root")
    ((code, message, _),) = refusal(flow, chunk_size=25, mode="resume")
    assert code == "E167"
    assert "1 file like" in message
    assert "old-000000.root" in message


@pytest.mark.slow
def test_a_folder_into_which_another_run_writes_is_refused(flow, small_files):
    flow.write([skim(flow)], [small_files / "a.root"]).run()
    shutil.move(flow.folder / "run", flow.folder / "other")
    for path in (flow.folder / "skims").glob("*.root"):
        path.unlink()
    (mark,) = (flow.folder / "skims").iterdir()
    mark.write_text(json.dumps({"run": str(flow.folder / "other")}))
    (flow.folder / "other" / "run.json").unlink()  # it goes on
    for mode in ("new", "force"):
        assert "other also writes to" in refusal(flow, mode=mode)[0][1]
    (flow.folder / "other" / "run.json").write_text("{}")
    assert flow.run().status == "complete"


def test_output_does_not_mix_with_input(flow, small_files):
    (flow.folder / "skims").mkdir()
    shutil.copy(small_files / "a.root", flow.folder / "skims" / "dy-000000.root")
    flow.write([skim(flow)], ["skims/*.root"])
    assert "would write next to input files such as `dy-000000.root`" in refusal(flow)[0][1]


def test_a_file_that_was_taken_away_is_noticed(flow, small_files, monkeypatch):
    from fasthep_parsl.driver import execution

    settle = execution.settle_targets

    def robbed(plan, run_dir, ended, products):
        (flow.folder / "skims" / "small-000000.root").write_text("of somebody else")
        settle(plan, run_dir, ended, products)

    monkeypatch.setattr(execution, "settle_targets", robbed)
    outcome = flow.write([skim(flow)], [small_files / "a.root"]).run()
    assert outcome.status == "failed"
    assert "small-000000.root was changed or removed while stage" in outcome.error


def test_the_same_events_give_the_same_bytes(flow, small_files):
    flow.write([skim(flow, fields=["x", "Jet_pt"])], [small_files / "a.root"])
    flow.run()
    before = manifest(flow)
    flow.run(mode="force")
    assert manifest(flow) == before
    flow.write([skim(flow, fields=["x"])], [small_files / "a.root"]).run(mode="force")
    assert manifest(flow)[0]["sha256"] != before[0]["sha256"]


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("all", None, "all partitions would have the same file name"),
        ("{partitoin}", None, "unknown placeholder `{partitoin}`"),
        ("{partition.__class__}", None, "unknown placeholder"),
        ("{partition:>99}", None, "does not take a format"),
        ("{partition!r}", None, "does not take a format"),
        ("{partition", None, "expected '}'"),
        ("{}{partition}", None, "unknown placeholder `{}`"),
        ("../{partition}", None, "a file name cannot contain `/`"),
        (".{partition}", None, "cannot begin with `.`"),
        ("a\n{partition}", None, "a control character or a line break"),
        ("{partition}", "a\nb", "a control character or a line break"),
        ("{partition}", "skims/{partition}", "unknown placeholder `{partition}`"),
        ("{partition}", "root://host//store", "is a URL"),
        ("x" * 61 + "{partition}", None, "longer than 60 bytes"),
    ],
)
def test_templates(name, path, said):
    assert [said in problem.message for problem in template_problems(name, path)] == [True]


def test_templates_that_are_right():
    assert template_problems("{stage}_{dataset}_{partition}_{{x}}", "/data/{dataset}/{stage}") == []


def test_datasets_with_slashes_have_folders(flow, small_files):
    datasets = {"/Z/MM": [small_files / "a.root"], "b": [small_files / "b.root"]}
    flow.write([skim(flow, path="skims/{dataset}")], datasets=datasets).run()
    check_manifest(flow, range(140))
    assert events_in(flow.folder / "skims" / "b", "*.root") == list(range(100, 140))
    assert sorted(path.name for path in (flow.folder / "skims").iterdir()) == ["Z_MM", "b"]


def test_a_path_that_is_a_file_is_refused_before_anything_starts(flow, small_files):
    (flow.folder / "skims").write_text("a file")
    flow.write([skim(flow, path="skims/inner")], [small_files / "a.root"])
    ((code, message, _),) = refusal(flow)
    assert (code, message) == ("E167", f"{flow.folder}/skims is a file, not a folder")
    assert not (flow.folder / "run").exists()


def test_homes(flow, small_files, monkeypatch):
    monkeypatch.setenv("HOME", str(flow.folder / "home"))
    for path, place in (("~/skims", "home/skims"), ("~no-such-user/skims", "~no-such-user/skims")):
        flow.write([skim(flow, path=path)], [small_files / "a.root"]).run(mode="force")
        assert events_in(flow.folder / place) == list(range(100))
