"""The report has the numbers of the run: those of run.json, of its events and of its plan."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.api import arguments_of, compile_plan
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.events import read_events
from fasthep_parsl.report import read_report, write_report


def of_stage(report, name):
    return next(part for part in report.time.stages if part.name == name)


def same_numbers(run_dir):
    """Check a report against run.json, and return both."""
    report, summary = read_report(run_dir, alive=False), json.loads((run_dir / "run.json").read_text())
    assert report.verdict.status == summary["status"]
    assert (report.verdict.done, report.verdict.total) == (summary["events"]["done"], summary["events"]["total"])
    assert report.verdict.missing == summary["events"]["total"] - summary["events"]["done"]
    assert sum(row.done for row in report.datasets) == summary["events"]["done"]
    assert sum(row.total for row in report.datasets) == summary["events"]["total"]
    assert report.failures.partitions == len(summary["failures"])
    segments = {stage: row for row in report.time.segments for stage in row.stages}
    for name, row in summary["stages"].items():
        assert (segments[name].tasks, segments[name].peak_memory) == (row["tasks"], row["peak_memory"])
        if row["calls"]:
            part = of_stage(report, name)
            assert (part.calls, part.events_in, part.events_out) == (row["calls"], row["events_in"], row["events_out"])
            assert part.seconds == pytest.approx(row["wall_seconds"], abs=1e-5)
            assert part.cpu == pytest.approx(row["cpu_seconds"], abs=1e-5)
            assert part.pool == row["pool"]
    parts = {"read": "reading", "store": "storing streams", "merge": "merging"}
    for name, row in summary["other"].items():
        part = next(part for part in report.time.parts if part.name == parts[name])
        assert (part.calls, part.seconds) == (row["calls"], pytest.approx(row["wall_seconds"], abs=1e-5))
    wall = sum(e.wall for e in read_events(run_dir / "events.jsonl") if e.kind == "finished")
    assert report.time.wall == pytest.approx(wall)
    assert sum(pool.wall for pool in report.time.pools) == pytest.approx(wall)
    assert sum(part.seconds for part in report.time.parts) == pytest.approx(wall, rel=0.02, abs=0.02)
    versions = dict(report.provenance.versions)
    assert all(versions[name].startswith(version) for name, version in summary["versions"].items())
    return report, summary


def test_a_complete_run(flow, small_files):
    s = flow.stage
    stages = [s("Length", "probe.lengths", []), s("Cuts", "hep.selection.cutflow", [], selection=["x >= 50", "x < 60"])]
    files = {"one": [small_files / "a.root"], "two": [small_files / "b.root"]}
    flow.write(stages, datasets=files).run(chunk_size=25)
    report, _ = same_numbers(flow.folder / "run")
    assert report.verdict.tone == "good"
    assert report.verdict.headline == "Complete: all 140 events are in the results."
    assert report.verdict.command == ""
    assert [(row.name, row.total, row.files) for row in report.datasets] == [("one", 100, 1), ("two", 40, 1)]
    (table,) = report.results.cutflows
    assert table.datasets == ("one", "two")
    assert [(row.label, row.cells[0], row.cells[1]) for row in table.rows] == [
        ("all", ("100", ""), ("40", "")),
        ("x >= 50", ("50", "50.0 %"), ("40", "100.0 %")),
        ("x < 60", ("10", "10.0 %"), ("0", "0.0 %")),
    ]
    assert "results/Length/lengths.json" in [file.path for file in report.results.files]
    assert "probe_ops.py" in "".join(code.name for code in report.provenance.code)


def test_several_segments_with_a_stored_stream(flow, small_files):
    s = flow.stage
    stages = [
        s("First", "hep.define", [], variables=[{"name": "y", "expr": "x + 1"}]),
        s("Length", "probe.lengths", ["First"], "other"),
        s("All", "probe.all", ["First"], "other"),
    ]
    flow.write(stages, [small_files / "a.root"]).run(chunk_size=25)
    report, _ = same_numbers(flow.folder / "run")
    assert report.verdict.tone == "good"
    assert {pool.name for pool in report.time.pools} == {"default", "other"}


def test_a_run_with_failures_says_how_many_events_are_missing_why_and_what_to_do(flow, small_files):
    s = flow.stage
    stages = [s("Bad", "probe.fail", [], at=[10, 30]), s("Length", "probe.lengths", ["Bad"])]
    flow.write(stages, [small_files / "a.root", small_files / "b.root"]).run(chunk_size=25)
    report, summary = same_numbers(flow.folder / "run")
    verdict = report.verdict
    assert (verdict.tone, verdict.missing) == ("bad", 50)
    assert verdict.headline == "Partial: 50 of 140 events are missing."
    assert verdict.command.startswith("fasthep-parsl run ")
    assert verdict.command.endswith("--force")  # the code must change
    (group,) = report.failures.groups
    assert (group.cause, group.stage, group.partitions, group.events, group.files) == ("user", "Bad", 2, 50, 1)
    assert group.message == summary["failures"][0]["message"]
    assert group.example.endswith("a.root events 0–25")
    assert "probe: bad event" in group.detail


def test_missing_events_are_counted_from_their_list(flow, small_files):
    flow.write([flow.stage("Bad", "probe.fail", [], at=[30])], [small_files / "a.root"]).run(chunk_size=25)
    run_dir = flow.folder / "run"
    listed = json.loads((run_dir / "missing.json").read_text())
    (entry,) = listed["small"]["files"].values()
    entry["steps"] = [[25, 49]]
    (run_dir / "missing.json").write_text(json.dumps(listed))
    verdict = read_report(run_dir).verdict
    assert verdict.headline == "The numbers do not agree: 75 events done, 24 missing, 100 in the plan."
    assert verdict.tone == "bad"
    assert "run.json has 75 events as done and missing.json lists 24, but 100 are planned" in verdict.reasons


def test_a_summary_that_disagrees_with_the_events_is_no_complete_run(flow, small_files):
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run(chunk_size=25)
    path = flow.folder / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"events": {"total": 100, "done": 99, "read": 100}}))
    verdict = read_report(path.parent).verdict
    assert verdict.tone == "bad"
    assert verdict.headline.startswith("The numbers do not agree: 99 events done, 0 missing, 100 in the plan")


def test_a_resumed_run_forgets_the_failures_of_before(flow, small_files, tmp_path):
    gate = tmp_path / "gate"
    s = flow.stage
    stages = [s("Bad", "probe.fail", [], at=[30], once=str(gate)), s("Length", "probe.lengths", ["Bad"])]
    plan = flow.write(stages, [small_files / "a.root"]).compile(chunk_size=25)
    flow.run(plan)
    assert read_report(flow.folder / "run").verdict.missing == 25
    gate.touch()
    flow.run(plan, mode="resume")
    report, _ = same_numbers(flow.folder / "run")
    assert report.verdict.tone == "good"
    assert report.failures.groups == ()
    assert report.sessions == 2
    assert any("resumed" in note for note in report.notes)


def kill(run_dir, tasks=1):
    """Leave a run directory as a kill after some tasks does: a log that ends within a line, and no summary."""
    lines = (run_dir / "events.jsonl").read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if b'"kind":"finished"' in line)
    (run_dir / "events.jsonl").write_bytes(b"".join(lines[: first + tasks]) + b'{"time":"2026-11-30T07:00')
    (run_dir / "run.json").unlink()
    (run_dir / "report.html").unlink()
    return run_dir


@pytest.fixture
def killed(flow, small_files):
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run(chunk_size=10)
    return kill(flow.folder / "run")


def test_the_command_finishes_a_run_with_the_options_that_it_had(flow, small_files, monkeypatch, tmp_path):
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"])
    monkeypatch.chdir(flow.folder)
    settings = ["analysis.stages[0].params={}", "execution.pools.other.workers=2"]
    options = ["--set", settings[0], "--chunk-size", "10", "--set", settings[1]]
    assert invoke(["run", "flow.yaml", *options, "--outdir", "my run", "--quiet"]) == 0
    run_dir = kill(flow.folder / "my run", tasks=0)
    before = read_report(run_dir, alive=False).verdict
    assert before.done == 0
    folder, command = map(shlex.split, before.command.splitlines())
    assert command[:3] == ["fasthep-parsl", "run", "flow.yaml"]
    assert command[-3:] == ["--outdir", "my run", "--resume"]
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.chdir(folder[1])
    assert invoke([*command[1:], "--quiet"]) == 0
    after = read_report(run_dir, alive=False)
    assert after.verdict.headline == "Complete: all 100 events are in the results."
    assert after.sessions == 2


def test_options_that_give_the_same_plan(flow, small_files, monkeypatch):
    assert arguments_of("local", (), None) == ()
    settings = ("a=1", "b=x y")
    assert arguments_of("my site.yaml", settings, 7) == (
        *("--site", "my site.yaml", "--set", "a=1", "--set", "b=x y", "--chunk-size", "7"),
    )
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"])
    monkeypatch.chdir(flow.folder)
    plain, other = compile_plan("flow.yaml"), compile_plan("flow.yaml", overrides=["execution.pools.other.workers=3"])
    assert (plain.arguments, plain.folder) == ((), str(flow.folder))
    assert other.arguments == ("--set", "execution.pools.other.workers=3")
    assert other.hash == plain.hash


def test_events_that_cannot_be_normalised_are_not_resumed(flow, small_files):
    """All events are done and the run is partial: processing the rest would change nothing."""
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run(chunk_size=50)
    run_dir = flow.folder / "run"
    for name, old, new in (("run.json", '"complete"', '"partial"'), ("events.jsonl", '"complete"', '"partial"')):
        lines = [line.replace(old, new).split(',"crc"')[0] for line in (run_dir / name).read_text().splitlines()]
        closed = [f"{line}}}" if name == "events.jsonl" else line for line in lines]
        (run_dir / name).write_text("\n".join(closed) + "\n")
    verdict = read_report(run_dir).verdict
    assert verdict.headline == "Partial: all 100 events were processed, but there is something wrong."
    assert verdict.command.endswith("--force")
    assert "to resume changes nothing" in verdict.advice


@pytest.mark.parametrize(
    ("alive", "status", "tone"), [(True, "running", "open"), (False, "killed", "bad"), (None, "not ended", "open")]
)
def test_a_log_without_an_end(killed, alive, status, tone):
    events = list(read_events(killed / "events.jsonl"))
    done = sum(event.events for event in events if event.kind == "finished")
    verdict = read_report(killed, alive=alive).verdict
    assert (verdict.status, verdict.tone) == (status, tone)
    assert (verdict.done, verdict.missing, verdict.total) == (done, 100 - done, 100)
    assert f"{done} of 100 events are done" in verdict.headline
    assert verdict.command.endswith("" if alive else "--resume")
    assert bool(verdict.command) is not alive
    assert status.split()[0] in write_report(killed, alive=alive).read_text().lower()


def test_a_log_with_one_line_and_one_with_none(killed):
    (killed / "events.jsonl").write_bytes((killed / "events.jsonl").read_bytes().splitlines(keepends=True)[0])
    assert "0 of 100 events are done" in write_report(killed, alive=False).read_text()
    (killed / "events.jsonl").write_bytes(b"")
    assert "0 of 100 events are done" in write_report(killed).read_text()


def test_the_summary_of_an_earlier_session_is_not_that_of_this_one(flow, small_files):
    plan = flow.write([flow.stage("Bad", "probe.fail", [], at=[30])], [small_files / "a.root"]).compile(chunk_size=25)
    flow.run(plan)
    run_dir = flow.folder / "run"
    started = [line for line in (run_dir / "events.jsonl").read_bytes().splitlines(keepends=True) if b'"run"' in line]
    with (run_dir / "events.jsonl").open("ab") as file:
        file.write(started[0])  # a second session begins
    assert read_report(run_dir, alive=True).verdict.headline == "Running: 75 of 100 events are done."


def test_a_run_that_has_ended_without_a_summary(flow, small_files):
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run(chunk_size=25)
    (flow.folder / "run" / "run.json").unlink()
    verdict = read_report(flow.folder / "run", alive=False).verdict
    assert verdict.headline == "Complete without run.json: 100 of 100 events are done."
    assert verdict.tone == "bad"


def test_damaged_lines_are_said(killed):
    content = (killed / "events.jsonl").read_bytes().replace(b'"kind":"submitted"', b'"kind":"submittee"', 1)
    (killed / "events.jsonl").write_bytes(content)
    assert any("1 damaged line" in note for note in read_report(killed).notes)


def said(run_dir):
    """Return headline, tone and reasons of a run directory that was changed after the run."""
    verdict = read_report(run_dir, alive=False).verdict
    return verdict.headline, verdict.tone, " ".join(verdict.reasons)


def test_files_that_were_removed_or_damaged_after_the_run_are_said(flow, small_files):
    stages = [flow.stage("Bad", "probe.fail", [], at=[30]), flow.stage("L", "probe.lengths", ["Bad"])]
    flow.write(stages, [small_files / "a.root"]).run(chunk_size=25)
    run_dir = flow.folder / "run"
    missing, summary = (run_dir / "missing.json").read_text(), (run_dir / "run.json").read_text()
    partial = "Partial: 25 of 100 events are missing."
    assert said(run_dir) == (partial, "bad", "")
    for damage in ("{", "[]", '{"a": {"files": {"b": {"steps": 1}}}}'):
        (run_dir / "missing.json").write_text(damage)
        assert said(run_dir) == (partial, "bad", "missing.json cannot be read")
    (run_dir / "missing.json").unlink()
    assert said(run_dir)[0].startswith("The numbers do not agree: 75 events done, 0 missing, 100 in the plan")
    (run_dir / "missing.json").write_text(missing)
    for damage in ("", "[]", "3", '{"status": "complete"}', json.dumps(json.loads(summary) | {"events": 3})):
        (run_dir / "run.json").write_text(damage)
        assert said(run_dir) == ("Partial without run.json: 75 of 100 events are done.", "bad", "")
        assert "Partial without" in write_report(run_dir, alive=False).read_text()


def test_a_complete_run_without_its_results_is_not_good(flow, small_files):
    flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run(chunk_size=50)
    run_dir = flow.folder / "run"
    assert said(run_dir) == ("Complete: all 100 events are in the results.", "good", "")
    shutil.rmtree(run_dir / "results")
    headline, tone, reasons = said(run_dir)
    assert (headline, tone) == ("Complete: all 100 events were processed, but there is something wrong.", "bad")
    assert reasons == "the folder results has no files: they were removed after the run"
    assert flow.run(chunk_size=50, mode="resume").status == "complete"  # what the page advises
    assert said(run_dir)[1] == "good"


def refused(folder):
    """Return why a folder has no report."""
    with pytest.raises(ConfigError) as caught:
        read_report(folder)
    (problem,) = caught.value.problems
    assert problem.code == "E164"
    assert problem.hint
    return problem.message


def test_a_folder_that_has_lost_its_plan_or_its_events(killed, tmp_path):
    assert refused(tmp_path / "nowhere").endswith("nowhere is not a run directory")
    (killed / "events.jsonl").rename(tmp_path / "events.jsonl")
    assert refused(killed).endswith("has no events.jsonl, from which the report is made")
    (tmp_path / "events.jsonl").rename(killed / "events.jsonl")
    (killed / "plan.json").write_bytes((killed / "plan.json").read_bytes()[:100])
    assert refused(killed).endswith("plan.json cannot be read by this version")
    (killed / "plan.json").unlink()
    assert refused(killed).endswith("is not a run directory")


def test_a_log_that_ends_anywhere_is_read_as_far_as_it_goes(killed):
    content = (killed / "events.jsonl").read_bytes()
    step = max(len(content) // 12, 1)
    for end in range(0, len(content), step):
        (killed / "events.jsonl").write_bytes(content[:end])
        verdict = read_report(killed, alive=False).verdict
        assert verdict.done + verdict.missing == verdict.total == 100
        assert "Killed" in write_report(killed, alive=False).read_text()
