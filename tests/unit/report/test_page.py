"""The page: well-formed, offline, without scripts, and names stay text."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import unquote

import pytest

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.liveness import driver_runs
from fasthep_parsl.driver.lock import DriverLock
from fasthep_parsl.report import read_report, write_report
from fasthep_parsl.report.page import base_of, cut, duration, percent, render, visible
from report_pages import Page

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}\u202e"


@pytest.fixture
def ran(flow, small_files):
    s = flow.stage
    stages = [
        s("Bad", "probe.fail", [], at=[30]),
        s("Cuts", "hep.selection.cutflow", ["Bad"], selection=["x >= 50 and x != 1"]),
        s("Length", "probe.lengths", ["Bad"]),
    ]
    flow.write(stages, [small_files / "a.root"]).run(chunk_size=25)
    return flow.folder / "run"


def test_every_run_has_a_report_with_its_numbers(ran):
    page = Page((ran / "report.html").read_text())
    events = json.loads((ran / "run.json").read_text())["events"]
    assert page.text["verdict"] == "Partial: 25 of 100 events are missing."
    assert page.text["done"] == f"{events['done']:,}"
    assert page.text["missing"] == f"{events['total'] - events['done']:,}"
    assert page.text["total"] == f"{events['total']:,}"
    assert page.text["failed"] == "1"
    assert "--force" in page.text["command"]
    assert "probe: bad event" in page.all_text
    assert "x >= 50" in page.all_text


def test_nothing_comes_from_elsewhere_and_nothing_needs_a_script(ran):
    page = Page((ran / "report.html").read_text())
    assert page.named("script") == []
    assert page.named("link") == []
    places = [attrs[key] for _, attrs in page.elements for key in ("href", "src") if key in attrs]
    assert places
    assert all(place.startswith(("#", "./")) for place in places)
    assert all((ran / unquote(place)).exists() for place in places if place[0] == ".")
    assert all(place[1:] in page.text for place in places if place[0] == "#")
    assert not any("style" in attrs for _, attrs in page.elements)  # a strict policy ignores it
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)
    charts = [attrs for attrs in page.named("svg") if "aria-hidden" not in attrs]
    assert charts
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert all(attrs["fill"] for attrs in page.named("path") + page.named("rect"))  # a strict policy ignores classes


def hostile(value):
    """Return a copy of a report in which every text is hostile."""
    if dataclasses.is_dataclass(value):
        kept = {"tone", "yaml"}
        names = [field.name for field in dataclasses.fields(value) if field.name not in kept]
        return dataclasses.replace(value, **{name: hostile(getattr(value, name)) for name in names})
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    if isinstance(value, dict):
        return {hostile(key): hostile(item) for key, item in value.items()}
    return f"{HOSTILE}{value}" if isinstance(value, str) and value else value


def test_hostile_names_stay_text(ran):
    plain, page = Page((ran / "report.html").read_text()), Page(render(hostile(read_report(ran))))
    assert page.named("script") == []
    tags = {tag for tag, _ in plain.elements}
    assert {tag for tag, _ in page.elements} <= tags | {"img", "figure"}
    assert "<script>alert(1)</script>\"'&{{ 7*7 }}\\u202e" in page.all_text
    assert "49" not in page.text["verdict"]
    assert "\u202e" not in page.all_text
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)


def test_a_run_over_hostile_names(flow, small_files):
    """Names reach the page as they are in the workflow, through the plan and the events."""
    name = "<script>alert(1)</script>&amp;\"'"
    stages = [
        flow.stage("Bad", "probe.fail", [], at=[30]),
        flow.stage("Cuts", "hep.selection.cutflow", ["Bad"], selection=["x < 50"]),
    ]
    flow.write(stages, datasets={name: [small_files / "a.root"]}).run(chunk_size=25)
    text = (flow.folder / "run" / "report.html").read_text()
    assert "<script" not in text
    page = Page(text)
    assert page.text["verdict"] == "Partial: 25 of 100 events are missing."
    assert page.all_text.count(name) >= 3  # events, failures, input files


def test_links_within_the_page_have_a_target(ran):
    """Also if events are missing without a failure: the driver was killed."""
    lines = (ran / "events.jsonl").read_text().splitlines(keepends=True)
    (ran / "run.json").unlink()
    (ran / "events.jsonl").write_text("".join(line for line in lines[:-1] if '"kind":"failed"' not in line))
    page = Page(write_report(ran, alive=False).read_text())
    assert page.text["missing"] == "25"
    targets = {attrs["href"][1:] for attrs in page.named("a") if attrs["href"][0] == "#"}
    assert targets
    assert targets <= set(page.text)


def test_names_that_are_not_unicode(ran):
    report = read_report(ran)
    text = render(dataclasses.replace(report, title="bad \udcff name"))
    assert "bad \\udcff name" in Page(text).all_text


def test_pictures_are_found_by_their_files(ran):
    (ran / "plots").mkdir(exist_ok=True)
    for name in ("Mass.png", "Mass.svg", "Mass.pdf", "a <b> #1%.png", "notes.txt", ".draft.png"):
        (ran / "plots" / name).write_bytes(b"<svg/>")
    found = read_report(ran).results.pictures
    assert [(p.name, p.path) for p in found] == [("Mass", "plots/Mass.svg"), ("a <b> #1%", "plots/a <b> #1%.png")]
    assert found[0].others == ("plots/Mass.pdf", "plots/Mass.png")
    page = Page(write_report(ran).read_text())
    images = [attrs["src"] for attrs in page.named("img")]
    assert [unquote(place) for place in images] == ["./plots/Mass.svg", "./plots/a <b> #1%.png"]
    assert all((ran / unquote(place)).is_file() for place in images)
    embedded = Page(write_report(ran, embed=True).read_text()).named("img")
    assert all(attrs["src"].startswith("data:image/") for attrs in embedded)


def test_the_page_can_be_elsewhere(ran, tmp_path):
    page = Page(write_report(ran, tmp_path / "page.html").read_text())
    links = [attrs["href"] for attrs in page.named("a") if attrs["href"][0] != "#"]
    assert links
    assert all((tmp_path / unquote(link)).exists() for link in links)
    assert base_of(tmp_path / "other" / "page.html", ran) == str(ran)


def test_the_command_writes_it_again(ran, capsys, tmp_path):
    (ran / "report.html").unlink()
    assert invoke(["report", str(ran)]) == 0
    assert capsys.readouterr().out.strip().replace("\n", "").endswith("report.html")
    assert "Partial" in (ran / "report.html").read_text()
    (ran / "run.json").unlink()
    lines = (ran / "events.jsonl").read_bytes().splitlines(keepends=True)
    (ran / "events.jsonl").write_bytes(b"".join(lines[:-1]))
    assert invoke(["report", str(ran)]) == 0
    assert "Killed" in (ran / "report.html").read_text()
    assert invoke(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "E164" in error
    assert "is not a run directory" in error


def test_whether_a_driver_works_in_a_folder(tmp_path):
    assert driver_runs(tmp_path) is False
    with DriverLock(tmp_path):
        assert driver_runs(tmp_path) is True
    assert driver_runs(tmp_path) is False


def test_a_report_that_cannot_be_written_does_not_change_the_run(flow, small_files, monkeypatch, caplog):
    def fail(*_args, **_options):
        raise RuntimeError("no page today")

    monkeypatch.setattr("fasthep_parsl.driver.execution.write_report", fail)
    outcome = flow.write([flow.stage("L", "probe.lengths", [])], [small_files / "a.root"]).run()
    assert (outcome.status, outcome.exit_code) == ("complete", 0)
    assert "no page today" in caplog.text


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.12 s", 0.123), ("45.1 s", 45.12), ("12 min 3 s", 723.4), ("5 h 07 min", 18420), ("2 h 00 min", 7200)],
)
def test_times(text, value):
    assert duration(value) == text


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("50 %", 1, 2),
        ("> 99.9 %", 99_999, 100_000),
        ("< 0.1 %", 1, 100_000),
        ("100 %", 5, 5),
        ("–", 0, 0),
        ("0 %", 0, 1),
    ],
)
def test_shares_do_not_hide_what_is_missing(text, part, whole):
    assert percent(part, whole) == text


def test_long_and_invisible_texts():
    assert cut("a" * 400) == "a" * 299 + "…"
    assert visible("a\x00b\u202ec\n") == "a\\u0000b\\u202ec\n"
