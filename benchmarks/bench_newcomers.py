"""The same Z peak with this package, coffea and FAST-HEP: lines of the user, time to the plot, and answers to typos.

Each program of ``benchmarks/newcomers`` runs on one file of demo data in one process, and again with a misspelt branch,
a misspelt operation and a misspelt file. A tool without an interpreter is reported as not measured:

    python benchmarks/bench_newcomers.py [--coffea PYTHON] [--fasthep PYTHON] [--events 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "newcomers"


@dataclass(frozen=True)
class Tool:
    """A program, how it is run, its distributions, and the misspelt operation."""

    program: str
    command: tuple[str, ...]
    packages: tuple[str, ...]
    operation: tuple[str, str]


TOOLS = {
    "fasthep-parsl": Tool(
        "fasthep_parsl.yaml",
        (
            "-m",
            "fasthep_parsl",
            "run",
            "fasthep_parsl.yaml",
            "--site",
            "local",
            "--backend",
            "local",
            "--outdir",
            "out",
        ),
        ("fasthep-parsl",),
        ("hep.build_pairs", "hep.build_pair"),
    ),
    "coffea": Tool(
        "coffea_zpeak.py",
        ("-W", "ignore", "coffea_zpeak.py"),
        ("coffea",),
        ("ak.combinations", "ak.combination"),
    ),
    "FAST-HEP": Tool(
        "fasthep.yaml",
        ("-m", "fasthep_cli.main", "run", "fasthep.yaml", "--outdir", "out"),
        ("fasthep-cli", "fasthep-flow", "fasthep-carpenter", "fasthep-render"),
        ("hep.build_pairs", "hep.build_pair"),
    ),
}


def measure(python: str, tool: Tool, data: Path, change: tuple[str, str] | None = None) -> dict[str, Any]:
    """Run a program, with the text `change` replaced; return times, lines of its output and its exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").symlink_to(data)
        text = (PROGRAMS / tool.program).read_text()
        if change:
            assert change[0] in text, change
            text = text.replace(*change)
        (folder / tool.program).write_text(text)
        environment = {
            **os.environ,
            "COLUMNS": "120",
            "MPLBACKEND": "Agg",
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
        }
        command = [python, *tool.command]
        if tool.command[1] == "fasthep_cli.main":
            command = [str(Path(python).with_name("fasthep")), *tool.command[2:]]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "seconds": round(time.monotonic() - start, 1),
            "cpu": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "lines": sum(bool(line.strip()) for line in done.stdout.splitlines()),
            "exit": done.returncode,
            "plots": sorted(path.name for path in folder.rglob("*.png")),
            "last": done.stdout.strip().splitlines()[-1:],
        }


def versions(python: str, packages: tuple[str, ...]) -> dict[str, str] | None:
    """Return the versions of packages in the environment of an interpreter; None if one is missing."""
    code = (
        f"from importlib.metadata import version; import json; print(json.dumps({{p: version(p) for p in {packages}}}))"
    )
    done = subprocess.run([python, "-c", code], check=False, text=True, capture_output=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def code_lines(path: Path) -> int:
    return len(re.findall(r"^(?!\s*#).*\S", path.read_text(), re.MULTILINE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coffea", default=sys.executable, help="Python of an environment with coffea")
    parser.add_argument("--fasthep", default=sys.executable, help="Python of an environment with fasthep-cli")
    parser.add_argument("--events", type=int, default=100_000)
    arguments = parser.parse_args()
    from fasthep_parsl.demo import write_demo_data

    pythons = {"fasthep-parsl": sys.executable, "coffea": arguments.coffea, "FAST-HEP": arguments.fasthep}
    data = Path(tempfile.mkdtemp())
    try:
        write_demo_data(data / "data", arguments.events)
        for name, tool in TOOLS.items():
            found = versions(pythons[name], tool.packages)
            if found is None:
                print(f"{name}: not measured, because {', '.join(tool.packages)} is not installed", flush=True)
                continue
            print(name, found, f"{code_lines(PROGRAMS / tool.program)} lines", flush=True)
            branch = ("events.Muon.pt", "events.Muon.ptt") if tool.program.endswith(".py") else ("pt > 20", "ptt > 20")
            changes = {"right": None, "branch": branch, "operation": tool.operation, "file": ("dy_000", "dyy_000")}
            for kind, change in changes.items():
                print(f"  {kind}: {json.dumps(measure(pythons[name], tool, data / 'data', change))}", flush=True)
    finally:
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
