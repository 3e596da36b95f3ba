"""The plan as a table."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

from rich.console import Console

from fasthep_parsl.cli.plan import _files, _tables
from fasthep_parsl.resources.units import counted


def printed(flow, *modifiers, overrides=()):
    stages = [flow.stage("Cut", "hep.select", selection={"All": ["x >= 0"]}), flow.stage("Sum", "probe.sum")]
    stages[0]["execution"] = {"modifiers": list(modifiers)}
    flow.write(stages, [flow.folder / "a.root"], execution={"backend": "local"})
    out = io.StringIO()
    _tables(flow.compile(overrides=overrides), Console(file=out, width=160), [])
    return out.getvalue().splitlines()


def test_modifiers_are_shown_where_there_are_some(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    assert not any("modifiers" in line for line in printed(flow))
    flame = {"kind": "profile", "what": "flame"}
    lines = [line.rstrip() for line in printed(flow, {"kind": "diagnostics", "fields": False}, flame)]
    assert "diagnostics (fields=false), profile (what=flame)  Cut" in lines
    assert lines[lines.index("diagnostics (fields=false), profile (what=flame)  Cut") - 1].startswith("modifiers ")
    lines = [line.rstrip() for line in printed(flow, overrides=["pools.default.modifiers=[profile]"])]
    assert "profile    all" in lines


def test_the_environment_is_shown_where_there_is_one(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    assert not any("environment" in line for line in printed(flow))
    lines = printed(flow, overrides=["execution.environment={kind: image, python: /opt/bin/python3}"])
    assert "environment of workers: image (python=/opt/bin/python3)" in [line.rstrip() for line in lines]


def test_files_are_shown_with_their_hashes(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    assert not any("parameters" in line for line in printed(flow))
    shutil.copyfile(Path(__file__).parents[2] / "file_ops.py", flow.folder / "file_ops.py")
    (flow.folder / "t.json").write_text('{"scale": 1}')
    (flow.folder / "model").mkdir()
    (flow.folder / "model" / "m.json").write_text('{"scale": 22}')
    stage = flow.stage("S", "file.scale", table="t.json", more=["t.json"], folder="model")
    flow.write([stage], [flow.folder / "a.root"], use={"modules": ["file_ops.py"]})
    out, plan = io.StringIO(), flow.compile()
    _tables(plan, Console(file=out, width=160), [])
    lines = [line.split() for line in out.getvalue().splitlines()]
    start = lines.index(["file", "size", "sha256", "parameters"])
    hashes = [file.sha256[:12] for file in plan.parameter_files]
    assert lines[start + 1 : start + 3] == [
        ["t.json", "12", "B", hashes[0], "S.table", "S.more[0]"],
        ["model/", "13", "B", hashes[1], "S.folder"],
    ]


def test_one_is_singular(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    flow.write([flow.stage("Sum", "probe.sum")], [flow.folder / "a.root"])
    out = io.StringIO()
    _tables(flow.compile(), Console(file=out, width=160), [])
    assert " · 1 stage · 1 dataset · 1 file · " in out.getvalue()
    assert " · 1 partition of ≤ " in out.getvalue()
    assert [counted(n, "weight") for n in (0, 1, 2000)] == ["0 weights", "1 weight", "2,000 weights"]


def test_files_of_copies_come_after_those_of_stages(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    shutil.copyfile(Path(__file__).parents[2] / "file_ops.py", flow.folder / "file_ops.py")
    (flow.folder / "t.json").write_text('{"scale": 1}')
    stages = [flow.stage("A", "file.scale", table="t.json"), flow.stage("B", "file.scale", table="t.json")]
    plan = flow.write(stages, [flow.folder / "a.root"], use={"modules": ["file_ops.py"]}).compile()
    copy = plan.stage("A").model_copy(update={"id": "A@up", "nominal": "A", "variation": "up"})
    (file,) = plan.parameter_files
    uses = (file.uses[0].model_copy(update={"stage": "A@up"}), *file.uses)
    changed = {"stages": (copy, *plan.stages), "parameter_files": (file.model_copy(update={"uses": uses}),)}
    out = io.StringIO()
    _files(plan.model_copy(update=changed), Console(file=out, width=160))
    assert out.getvalue().splitlines()[2].split()[-3:] == ["A.table", "B.table", "A@up.table"]


def test_analysis_code_is_shown_with_its_hashes_and_why(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    helper = flow.folder / "plan_helper.py"
    helper.write_text("X = 1\n")
    module = flow.folder / "probe_ops.py"
    text = module.read_text()
    module.write_text(text + "import plan_helper\n")
    rows = [line.split() for line in printed(flow)]
    expected = hashlib.sha256(helper.read_bytes()).hexdigest()[:12]
    assert ["plan_helper.py", expected, "imported", "by", f"`probe_ops.py:{text.count(chr(10)) + 1}`"] in rows


def test_places_of_files_are_shown_where_there_are_several(flow, small_files, tmp_path):
    here = [str(shutil.copyfile(small_files / f"{name}.root", tmp_path / f"{name}.root")) for name in "ab"]
    elsewhere = [f"root://far.example.org:1094//store/{name}.root" for name in "ab"]
    files = [{"any": list(places)} for places in zip(here, elsewhere, strict=True)]
    out = io.StringIO()
    _tables(flow.write([flow.stage("Sum", "probe.sum")], files).compile(), Console(file=out, width=160), [])
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines[lines.index("files  places, in the order in which they are tried") + 1] == (
        "2  this machine, root://far.example.org"
    )
    assert not any("places" in line for line in printed(flow_without(flow, small_files)))


def flow_without(flow, small_files):
    (flow.folder / "a.root").unlink()
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    return flow
