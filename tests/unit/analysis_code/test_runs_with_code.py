"""Runs of analysis code that changes, reads the data of its package, or needs a module that is not there."""

from __future__ import annotations

import sys

import pytest

from fasthep_parsl.driver.api import run
from fasthep_parsl.errors import ConfigError

OPS = """\
import json
from importlib import resources
from pathlib import Path

from fasthep_parsl import op
from zz_analysis import scale

@op("my.scaled", reads=["x"], writes=["y"])
def scaled(events):
    from zz_analysis.late import offset
    table = json.loads((resources.files("zz_analysis") / "tables" / "sf.json").read_text())
    assert str(Path(scale.__file__).parent).endswith("code/zz_analysis"), scale.__file__
    return {"y": events.x * 0 + scale.FACTOR * table["sf"] + offset()}
"""


@pytest.fixture
def scaled(flow, small_files):
    """A package of three modules with a data file that nobody listed."""
    package = flow.folder / "zz_analysis"
    (package / "tables").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "scale.py").write_text("FACTOR = 2\n")
    (package / "late.py").write_text(
        "from pathlib import Path\ndef offset():\n    return 0 * len(Path(__file__).parent.name)\n"
    )
    (package / "tables" / "sf.json").write_text('{"sf": 3}')
    (flow.folder / "my_ops.py").write_text(OPS)
    stages = [flow.stage("Scaled", "my.scaled"), flow.stage("S", "probe.sum", field="y")]
    return flow.write(stages, [small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})


def test_a_package_that_nobody_listed_travels(scaled):
    outcome = scaled.run()
    assert outcome.status == "complete", outcome.summary["failures"]
    assert outcome.products["S", "sum"] == 40 * 6
    assert not {name for name in sys.modules if name.startswith("zz_analysis") or name == "my_ops"}


@pytest.mark.parametrize("name", ["scale.py", "late.py", "tables/sf.json"])
@pytest.mark.parametrize("how", ["edited", "removed"])
def test_a_file_that_changes_between_plan_and_run_is_refused(scaled, name, how):
    plan = scaled.compile()
    path = scaled.folder / "zz_analysis" / name
    path.write_text(path.read_text() + "\n") if how == "edited" else path.unlink()
    with pytest.raises(ConfigError, match=rf"{name}` was {how} after the plan was made"):
        run(plan, outdir=scaled.folder / "run")
    assert not (scaled.folder / "run").exists()


def test_a_module_that_is_missing_late_ends_the_run_once(flow, small_files):
    text = OPS.replace("from zz_analysis.late import offset", "import no_such_package_here")
    text = text.replace("from zz_analysis import scale\n", "")
    (flow.folder / "my_ops.py").write_text(text)
    stages = [flow.stage("Scaled", "my.scaled"), flow.stage("S", "probe.sum", field="y")]
    flow.write(stages, [small_files / "a.root", small_files / "b.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    outcome = flow.run(chunk_size=10)
    assert outcome.status == "failed"
    assert not outcome.summary["failures"], "partitions are missing, not failed"
    said = outcome.error
    assert "stage `Scaled`: `my_ops.py:9` imports `no_such_package_here`" in said
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in said
    assert sys.executable in said
    events = (flow.folder / "run" / "events.jsonl").read_text().splitlines()
    assert sum('"submitted"' in line for line in events) == 1, "no task is repeated"
