"""What commands print, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

from fasthep_parsl.cli import main
from fasthep_parsl.cli.main import invoke

WORKFLOW = """\
data: {datasets: [{name: dy, files: [a.root]}, {name: tt, files: [b.root]}]}
sources: {events: {kind: root_tree, tree: Events}}
analysis:
  stages:
    - {id: Twice, op: hep.define, params: {variables: [{name: y, expr: x * 2}]}}
    - {id: Sel, op: hep.selection.cutflow, params: {selection: {low: [x < 900]}}}
    - id: Hist
      op: hep.hist
      execution: {require: gpu, fallback: default}
      params: {axes: [{name: x, source: y, type: regular, bins: {nbins: 10, low: 0, high: 2000}}]}
    - {id: All, op: hep.hist, needs: [], params: {axes: [{name: x, source: x, type: regular, bins: {nbins: 4, low: 0, high: 1000}}]}}
execution:
  backend: local
  pools:
    default: {workers: 4000, resources: {cpus: 1, memory: 1GB}}
    gpu: {workers: 1, resources: {gpus: 500}}
"""
BOOM = """\
from fasthep_parsl import op


@op("cli.boom", reads=["x"], writes=["z"])
def boom(events, *, at: int = 450):
    if (events.x == at).any():
        raise ValueError(f"x {at} is bad\\nwith a second line")
    return {"z": events.x}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, start, stop in (("a", 0, 600), ("b", 600, 1000)):
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file.mktree("Events", {"x": "int64"}).extend({"x": np.arange(start, stop)})
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path
    sys.modules.pop("cli_boom", None)


def command(capsys, *arguments):
    code = invoke([str(item) for item in arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def failing(here):
    (here / "cli_boom.py").write_text(BOOM)
    text = WORKFLOW.replace("data:", "use: {modules: [cli_boom.py]}\ndata:", 1)
    (here / "w.yaml").write_text(text.replace("    - {id: Sel", "    - {id: Boom, op: cli.boom}\n    - {id: Sel"))


# --- plan -------------------------------------------------------------------------------------------------


def test_plan(here, capsys):
    code, out, err = command(capsys, "plan", "w.yaml")
    assert (code, err) == (0, "")
    assert "4 stages · 2 datasets · 2 files · 1,000 events · 2 partitions" in out
    assert re.search(r"^Hist +hep\.hist +default +requires `gpu`", out, re.MULTILINE)
    assert re.search(r"^gpu|^default +\d+ +1 cpu 1 GB", out, re.MULTILINE)
    assert "pool `default`: 4000 → " in out
    assert "stage `Hist` requires `gpu` (" in out
    assert out.endswith("nothing was started\n")
    tables = out.split("\n\n")[1:4]
    assert all(len(line) <= 80 for table in tables for line in table.splitlines() if "warning" not in line)
    assert not (here / "run").exists()


def test_plan_as_json_is_json_and_nothing_else(here, capsys):
    code, out, err = command(capsys, "plan", "w.yaml", "--json")
    assert (code, err) == (0, "")
    plan = json.loads(out)
    assert plan["schema_version"] >= 1
    assert re.fullmatch(r"[0-9a-f]{64}", plan["hash"])
    assert [stage["id"] for stage in plan["stages"]] == ["Twice", "Sel", "Hist", "All"]


def test_plan_as_graph(here, capsys):
    code, out, _ = command(capsys, "plan", "w.yaml", "--graph")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "flowchart TD"
    nodes = re.findall(r'^ +(\w+)(?:\[\(|\(\[|\[)"', out, re.MULTILINE)
    assert len(nodes) == len(set(nodes)) == 5
    edges = re.findall(r"^  (\w+) (?:-->|-\.->(?:\|\w+\|)?) (\w+)$", out, re.MULTILINE)
    assert {name for edge in edges for name in edge} == set(nodes)
    assert sum(line.startswith("  subgraph ") for line in lines) == sum(line == "  end" for line in lines)
    grammar = r'flowchart TD|  end|  subgraph s\d+\["[^"]+"\]| +\w+(\[\(|\(\[|\[)"[^"]+"(\)\]|\]\)|\])|  \w+ -.* \w+'
    assert all(re.fullmatch(grammar, line) for line in lines)


@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        ("pools.gpu.resources.gpus", [], ["= 500", "set by workflow at w.yaml:16:41"]),
        ("pools.gpu.gpus", [], ["= 500"]),
        ("pools.default.workers", [], ["= 4000", "set by workflow at w.yaml:15:24", "in the plan: ", "4000 → "]),
        ("pools.default.workers", ["--set", "pools.default.workers=1"],
         ["= 1\n", "set by --set (--set pools.default.workers=1)", "in the plan: 1 workers"]),
        ("strategy", [], ["= local", "set by site profile local at ", "local.yaml:"]),
        ("stages[Hist].execution", [], ["= gpu", "in the plan: stage Hist runs on pool default: requires `gpu`"]),
        ("chunk_size", [], ["in the plan: 100,000 events per partition at most"]),
        ("version", [], ["not set: this is the default"]),
        ("stages[Hist].params.axes[0].bins", [], ["bins.nbins = 10", "bins.high = 2000"]),
    ],
)  # fmt: skip
def test_explain(here, capsys, key, options, said):
    code, out, err = command(capsys, "plan", "w.yaml", "--explain", key, *options)
    assert (code, err) == (0, "")
    for text in said:
        assert text in out


@pytest.mark.parametrize(
    ("key", "said"),
    [("pools.gp.workers", "`pools.gp.workers` is not set and has no default"), ("poools.gpu", "did you mean `pools`?"),
     ("stages[Hit]", "did you mean `Hist`?"), ("a..b", "is not a key")],
)  # fmt: skip
def test_explain_what_is_not_there(here, capsys, key, said):
    code, out, err = command(capsys, "plan", "w.yaml", "--explain", key)
    assert (code, out) == (2, "")
    assert said in err
    assert "--set" not in err


# --- what there is ----------------------------------------------------------------------------------------


def test_ops(capsys):
    code, out, _ = command(capsys, "ops", "list")
    assert code == 0
    assert "hep.selection.cutflow" in out
    code, out, _ = command(capsys, "ops", "show", "hep.hist")
    assert "axes\n    list of {name, source, type, bins, label, unit}, required\n" in out
    code, _, err = command(capsys, "ops", "show", "hep.hst")
    assert (code, "did you mean `hep.hist`?" in err) == (2, True)


def test_schemas_accept_what_is_shipped(capsys):
    fastjsonschema = pytest.importorskip("fastjsonschema")
    from fasthep_parsl.workflow.includes import load_document

    root = Path(main.__file__).parents[2]
    for options, paths in ((["schema"], root.glob("configs/*.yaml")),
                           (["sites", "schema"], root.glob("site_profiles/*.yaml"))):  # fmt: skip
        code, out, _ = command(capsys, *options)
        assert code == 0
        schema = json.loads(out) | {"$schema": "http://json-schema.org/draft-07/schema#"}  # the newest it knows
        check = fastjsonschema.compile(schema)
        for path in paths:
            check(load_document(path, "x").data)
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            check({"exection": {}})


# --- run --------------------------------------------------------------------------------------------------


def test_run_says_what_came_of_it_and_where(here, capsys):
    code, out, err = command(capsys, "run", "w.yaml")
    assert code == 0
    assert "warning: pool `default`: 4000 → " in err
    assert "complete: 1,000 of 1,000 events" in out
    for what, place in (("plots", "run/plots"), ("results", "run/results"), ("summary", "run/run.json")):
        assert re.search(rf"^  {what} +{place}$", out, re.MULTILINE)
    assert out.index("\nSel\n") < out.index("complete")
    assert any((here / "run" / "plots").glob("Hist*.png"))


def test_quiet(here, capsys):
    assert command(capsys, "run", "w.yaml", "--quiet", "--no-plots") == (0, "", "")


def test_an_op_that_fails_for_one_partition(here, capsys):
    failing(here)
    options = ["--no-plots", "--chunk-size", "100", "--set", "pools.default.workers=1", "--outdir", "my run"]
    code, out, err = command(capsys, "run", "w.yaml", *options)
    assert code == 3
    assert "Traceback" not in out + err
    assert "failed: stage Boom at cli_boom.py:7: ValueError: x 450 is bad\n" in err
    assert re.search(r"dy: \S*/a\.root events 400–500\n", err)
    assert "partial: 900 of 1,000 events" in err
    assert "fasthep-parsl run w.yaml --set pools.default.workers=1 --chunk-size 100 --outdir 'my run' --force\n" in err
    summary = json.loads((here / "my run" / "run.json").read_text())
    failure = summary["failures"][0]
    assert (summary["status"], summary["exit_code"], len(summary["failures"])) == ("partial", 3, 1)
    assert (failure["stage"], failure["where"], failure["partition"]) == ("Boom", "cli_boom.py:7", 4)
    assert (failure["entry_start"], failure["entry_stop"]) == (400, 500)
    assert json.loads((here / "my run" / "missing.json").read_text())["dy"]["files"]

    again = command(capsys, "run", "w.yaml", *options, "--resume")
    assert again[0] == 3, "the mistake is still there"


def test_an_input_file_that_is_damaged_inside(here, capsys):
    with uproot.open("a.root") as file:
        start = int(file["Events"]["x"].member("fBasketSeek")[0])
    content = bytearray((here / "a.root").read_bytes())
    content[start : start + 200] = bytes(200)
    (here / "a.root").write_bytes(content)
    code, out, err = command(capsys, "run", "w.yaml", "--no-plots", "--quiet")
    assert (code, out) == (3, "")
    assert "Traceback" not in err
    assert re.search(r"^failed: reading: .*a\.root: branch `x` of events 0–600 cannot be read", err, re.MULTILINE)
    assert "To complete the run:\n  fasthep-parsl run w.yaml --outdir run --resume\n" in err
    failure = json.loads((here / "run" / "run.json").read_text())["failures"][0]
    assert (failure["kind"], failure["dataset"], failure["entry_stop"]) == ("data", "dy", 600)


def test_an_op_that_fails_for_all_partitions_is_one_cause(here, capsys):
    failing(here)
    text = (here / "cli_boom.py").read_text()
    (here / "cli_boom.py").write_text(text.replace("(events.x == at).any()", "True"))
    code, _, err = command(capsys, "run", "w.yaml", "--no-plots", "--chunk-size", "100")
    assert code in (1, 3)
    assert err.count("failed: stage Boom") == 1
    assert "and 9 more partitions" in err


def test_an_interrupted_run_names_no_empty_folders(here, capsys):
    stop = BOOM.replace('raise ValueError(f"x {at} is bad\\nwith a second line")', "raise KeyboardInterrupt")
    assert "KeyboardInterrupt" in stop
    (here / "cli_boom.py").write_text(stop)
    last = "    - {id: Last, op: cli.boom, needs: []}\nexecution:"
    text = WORKFLOW.replace("analysis:", "use: {modules: [cli_boom.py]}\nanalysis:").replace(
        "execution:\n", f"{last}\n", 1
    )
    (here / "w.yaml").write_text(text.replace("execution: {require: gpu, fallback: default}", "execution: {}"))
    code, out, err = command(capsys, "run", "w.yaml", "--no-plots")
    assert code == 130
    assert (here / "run" / "results").is_dir()
    assert "interrupted: " in err
    assert "--resume" in err
    assert [line.split()[0] for line in out.splitlines() if line] == ["report", "summary"]


def test_a_bug_is_called_one_and_written_down(here, capsys, monkeypatch):
    import fasthep_parsl.cli.plan

    def broken(*args, **kwargs):
        raise ZeroDivisionError("a surprise")

    monkeypatch.setenv("TMPDIR", str(here))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(fasthep_parsl.cli.plan, "compile_plan", broken)
    code, out, err = command(capsys, "plan", "w.yaml")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "This is a bug in fasthep-parsl" in err
    written = next(here.glob("fasthep-parsl-bug-*.txt"))
    assert written.name in err
    assert "ZeroDivisionError: a surprise" in written.read_text()


# --- processes --------------------------------------------------------------------------------------------


def shell(line, cwd):
    line = line.replace("FP", f"{sys.executable} -m fasthep_parsl")
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=cwd, capture_output=True, text=True,
                          timeout=60, env=environment, check=False)  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("FP plan w.yaml | head -n 1", 0),
        ("FP plan w.yaml --json | head -n 1", 0),
        ("FP plan w.yaml --json | true", 0),
        ("FP plan w.yaml >&-", 0),
        ("FP plan nofile.yaml 2>&-", 2),
        ("FP plan w.yaml --json > /dev/full", 1),
        ("FP run w.yaml --no-plots 2>&1 | true && test -e run/results/Hist/hist.json", 0),
        ("FP run w.yaml --no-plots > /dev/full && test -e run/results/Hist/hist.json", 0),
        ("FP rnu", 2),
        ("FP", 2),
    ],
)
def test_pipes_and_closed_streams(here, line, code):
    done = shell(line, here)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.integration
def test_parsl_workers_find_code_that_lies_in_the_current_folder(here):
    failing(here)
    done = shell("FP run w.yaml --no-plots --backend parsl --chunk-size 100 --set pools.default.workers=1", here)
    assert done.returncode == 3, done.stderr
    assert "failed: stage Boom at cli_boom.py:7: ValueError: x 450 is bad" in done.stderr
    assert "partial: 900 of 1,000 events" in done.stderr
    assert re.search(r"^\d\d:\d\d:\d\d pool default: starting$", done.stderr, re.MULTILINE)


@pytest.mark.integration
def test_help_imports_nothing_heavy(here):
    heavy = {"parsl", "awkward", "numba", "numpy", "uproot", "cupy", "hist", "rich", "yaml", "matplotlib"}
    script = (
        "import sys\nfrom fasthep_parsl.cli.main import invoke\nassert invoke(['run', '--help']) == 0\n"
        f"found = {heavy!r} & sys.modules.keys()\nassert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--outdir" in done.stdout


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["ops", "list"], ["schema"]])
def test_a_closed_pipe_is_not_an_error(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fasthep_parsl", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.integration
def test_planning_imports_no_arrays_and_no_parsl(here):
    script = (
        "import sys\nfrom fasthep_parsl.cli.main import invoke\nassert invoke(['plan', 'w.yaml']) == 0\n"
        "assert invoke(['plan', 'w.yaml', '--json']) == 0\n"
        "found = {'parsl', 'numba', 'cupy', 'hist', 'matplotlib'} & sys.modules.keys()\nassert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
