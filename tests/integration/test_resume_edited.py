"""`--resume` after an edit: what decides results has changed, so nothing old is mixed with new."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

PLUGIN = """
from pathlib import Path
from fasthep_parsl import op
SF = 1
@op("plug.n", reads=["x"], product="sums", merge=lambda a, b: {"n": a["n"] + b["n"]}, per_partition=True)
def n(events):
    if Path("FAIL").exists() and 60 in events.x:
        raise RuntimeError("later")
    return {"n": SF * len(events)}
"""
HELPED = PLUGIN.replace("SF = 1\n", "from zz_help import SF\n")
LATE = PLUGIN.replace("SF = 1\n", "").replace("    return {", "    from zz_help import SF\n    return {")
READS = PLUGIN.replace("SF = 1\n", "SF = int(Path(__file__).with_name('sf.txt').read_text())\n")


def run(folder, *options, **environment):
    command = [sys.executable, "-P", "-m", "fasthep_parsl", "run", "flow.yaml", "--outdir", "run", "--no-plots", "-q"]
    done = subprocess.run(
        [*command, "--chunk-size", "25", *options],
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    return done.returncode, " ".join(done.stdout.split())


def product(folder, stage="C"):
    return json.loads((folder / "run" / "results" / stage / "sums.json").read_text())


def write_flow(folder, counted, use, stages=(("C", "plug.n"),), backend="local"):
    content = {
        "version": "1.0",
        "use": use,
        "data": {"datasets": [{"name": "d", "files": [str(counted)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [{"id": name, "op": op} for name, op in stages]},
        "execution": {"backend": backend, "strategy": "local", "pools": {"default": {"workers": 2}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))


def edit(path, old, new):
    """Edit within the same second and size, as a script does."""
    stat = path.stat()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("what", ["content", "version"])
def test_an_op_of_an_installed_package(tmp_path, counted, what):
    site = tmp_path / "site"
    info = site / "myplug-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "myplug.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: myplug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fasthep_parsl.ops]\nplug.n = myplug:n\n")
    (info / "RECORD").write_text("myplug.py,,\n")
    write_flow(tmp_path, counted, {})
    (tmp_path / "FAIL").touch()
    assert run(tmp_path, PYTHONPATH=str(site))[0] == 3
    (tmp_path / "FAIL").unlink()
    if what == "content":
        edit(site / "myplug.py", "SF = 1", "SF = 5")
    else:
        edit(info / "METADATA", "Version: 1.0", "Version: 2.0")
    code, said = run(tmp_path, "--resume", PYTHONPATH=str(site))
    assert code == 2
    assert "contains another run: myplug (1.0" in said
    assert run(tmp_path, "--force", PYTHONPATH=str(site))[0] == 0
    assert product(tmp_path) == {"n": 1000 if what == "content" else 200}


@pytest.mark.parametrize(
    ("text", "edited", "use"),
    [
        (PLUGIN, "zz_ops.py", {"modules": ["zz_ops.py"]}),
        (HELPED, "zz_help.py", {"modules": ["zz_ops.py"]}),
        (LATE, "zz_help.py", {"modules": ["zz_ops.py"]}),
        (READS, "sf.txt", {"modules": ["zz_ops.py"], "files": ["sf.txt"]}),
    ],
    ids=["module", "helper", "late", "data"],
)
@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_analysis_code(tmp_path, counted, text, edited, use, backend):
    (tmp_path / "zz_ops.py").write_text(text)
    (tmp_path / "zz_help.py").write_text("SF = 1\n")
    (tmp_path / "sf.txt").write_text("1\n")
    write_flow(tmp_path, counted, use, backend=backend)
    (tmp_path / "FAIL").touch()
    assert run(tmp_path)[0] == 3
    (tmp_path / "FAIL").unlink()
    edit(tmp_path / edited, "1" if edited == "sf.txt" else "SF = 1", "5" if edited == "sf.txt" else "SF = 5")
    code, said = run(tmp_path, "--resume")
    assert code == 2
    assert f"contains another run: {edited} changed" in said
    edit(tmp_path / edited, "5", "1")
    assert run(tmp_path, "--resume")[0] == 0
    assert product(tmp_path) == {"n": 200}


def test_two_modules_of_one_name(tmp_path, counted):
    for folder, factor in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ops.py").write_text(
            PLUGIN.replace("plug.n", f"{folder}.n").replace("SF = 1", f"SF = {factor}")
        )
    stages = (("A", "a.n"), ("B", "b.n"))
    write_flow(tmp_path, counted, {"modules": ["a/ops.py", "b/ops.py"]}, stages, backend="parsl")
    code, said = run(tmp_path)
    assert code == 0, said
    assert (product(tmp_path, "A"), product(tmp_path, "B")) == ({"n": 400}, {"n": 600})
    for folder in ("a", "b"):
        text = (tmp_path / folder / "ops.py").read_text()
        (tmp_path / folder / "ops.py").write_text("import zz_help\n" + text)
        (tmp_path / folder / "zz_help.py").write_text(f"X = '{folder}'\n")
    code, said = run(tmp_path, "--force")
    assert code == 2
    assert "two files have the module name `zz_help`" in said


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_code_that_is_edited_while_the_run_goes_on(tmp_path, counted, backend):
    """The op edits its own module and helper: later partitions and other workers run what the plan has seen."""
    rewrite = LATE.replace("    from zz_help", "    edit()\n    from zz_help") + (
        "\ndef edit():\n    for name in ('zz_help.py', 'zz_ops.py'):\n"
        "        path = Path('{folder}') / name\n        path.write_text('SF = 7')\n"
    ).replace("{folder}", str(tmp_path))
    (tmp_path / "zz_ops.py").write_text(rewrite)
    (tmp_path / "zz_help.py").write_text("SF = 1\n")
    write_flow(tmp_path, counted, {"modules": ["zz_ops.py"]}, backend=backend)
    code, said = run(tmp_path)
    assert code == 0, said
    assert product(tmp_path) == {"n": 200}
    assert (tmp_path / "zz_help.py").read_text() == "SF = 7"
    shutil.rmtree(tmp_path / "run")


def test_a_module_that_workers_do_not_have_ends_the_pool_once(tmp_path, counted):
    """The message comes from a worker of Parsl, and no task is repeated."""
    late = PLUGIN.replace("    return {", "    import zz_nowhere\n    return {")
    (tmp_path / "zz_ops.py").write_text(late)
    write_flow(tmp_path, counted, {"modules": ["zz_ops.py"]}, backend="parsl")
    code, said = run(tmp_path)
    assert code == 1, said
    line = late.splitlines().index("    import zz_nowhere") + 1
    assert f"stage `C`: `zz_ops.py:{line}` imports `zz_nowhere`, which the environment" in said
    assert sys.executable in said
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds.count("submitted") <= 4
    assert not {"retried", "lost", "failed"} & set(kinds)
