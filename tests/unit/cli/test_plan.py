"""The plan as a table."""

from __future__ import annotations

import io

from rich.console import Console

from fasthep_parsl.cli.plan import _tables


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
