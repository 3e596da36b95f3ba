"""What ops print, warn of and log reaches the user: first lines at the end, all of it in a log per stage."""

import json
import subprocess
import sys

import pytest

OPS = """\
import logging
import sys
import warnings

from fasthep_parsl import op

logging.basicConfig(format="%(levelname)s %(message)s")


@op("my.says", reads=["x"], writes=["y"])
def says(events):
    print("first of", len(events), "events")
    print("to stderr\\x1b[31m", file=sys.stderr)
    warnings.warn("a warning")
    logging.getLogger("mine").warning("a log line")
    for number in range(10):
        print("more", number)
    return {"y": events.x}


@op("my.other", reads=["x"], writes=["z"])
def other(events):
    logging.warning("of the other")
    print("no end of line", end="")
    return {"z": events.x}


@op("my.silent", reads=["x"], writes=["s"])
def silent(events):
    return {"s": events.x}


@op("my.fails", reads=["x"], writes=["f"])
def fails(events):
    print("before it failed")
    raise ValueError("no")
"""


@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_what_ops_say_is_kept_and_shown(flow, small_files, backend):
    (flow.folder / "my_ops.py").write_text(OPS)
    s = flow.stage
    stages = [s("Says", "my.says"), s("Other", "my.other"), s("Silent", "my.silent"), s("Fails", "my.fails", [])]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["my_ops.py"]})
    options = ["--set", f"execution.backend={backend}", "--outdir", "run", "--chunk-size", "50"]
    done = subprocess.run(
        [sys.executable, "-m", "fasthep_parsl", "run", "flow.yaml", *options],
        cwd=flow.folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (1, 3), done.stderr
    logs = {path.stem: path.read_text() for path in (flow.folder / "run" / "log" / "output").iterdir()}
    assert sorted(logs) == ["Fails", "Other", "Says"]
    for text in ("first of ", "to stderr", "UserWarning: a warning", "more 9"):
        assert text in logs["Says"]
        assert (text in done.stdout + done.stderr) is (backend == "local" or text != "more 9")
    assert "no end of line" in logs["Other"]
    assert "before it failed" in logs["Fails"]
    if backend == "parsl":  # where handlers were made before the call, logging goes to the stream of the process
        assert "WARNING a log line" in logs["Says"]
        assert "WARNING of the other" in logs["Other"]
    assert "\x1b" not in done.stdout
    said = json.loads((flow.folder / "run" / "run.json").read_text())["output"]
    assert said["Says"]["lines"] == logs["Says"].count("\n")
    assert said["Says"]["log"] == "log/output/Says.log"
    assert f"printed by stage Says: {said['Says']['lines']} lines, log/output/Says.log" in done.stdout
    assert not (flow.folder / "run" / "work" / "output").exists()


def test_what_is_too_much_is_cut(flow, small_files, monkeypatch):
    from fasthep_parsl.worker import output

    monkeypatch.setattr(output, "MOST", 100)
    (flow.folder / "my_ops.py").write_text(OPS.replace('warnings.warn("a warning")', "pass"))
    flow.write([flow.stage("Says", "my.says")], [small_files / "a.root"], use={"modules": ["my_ops.py"]}).run()
    text = (flow.folder / "run" / "log" / "output" / "Says.log").read_text()
    assert text.endswith("\n… more was printed by this task; 100 characters are kept\n")
    assert len(text) < 200
