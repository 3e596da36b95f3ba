"""The plan as a table."""

from __future__ import annotations

import io

from rich.console import Console

from fasthep_parsl.cli.planning import _tables


def printed(flow, *modifiers):
    stages = [flow.stage("Cut", "hep.select", selection={"All": ["x >= 0"]}), flow.stage("Sum", "probe.sum")]
    stages[0]["execution"] = {"modifiers": list(modifiers)}
    flow.write(stages, [flow.folder / "a.root"], execution={"backend": "local"})
    out = io.StringIO()
    _tables(flow.compile(), Console(file=out, width=160), [])
    return out.getvalue().splitlines()


def test_modifiers_are_shown_where_there_are_some(flow, small_files):
    (flow.folder / "a.root").symlink_to(small_files / "a.root")
    assert not any("modifiers" in line for line in printed(flow))
    lines = printed(flow, "diagnostics", {"kind": "profile", "what": "flame"})
    at = next(number for number, line in enumerate(lines) if line.startswith("stage"))
    assert lines[at].split()[-1] == "modifiers"
    assert lines[at + 1].rstrip().endswith("source  diagnostics, profile (what=flame)")
    assert lines[at + 2].split()[-1] == "Cut"
