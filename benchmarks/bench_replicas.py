"""Wall time of the dimuon analysis over an XRootD server: three good replicas, and one dead, one stalling, one damaged.

The server and its links are those of the tests (``make services``). The stalling place stalls each connection after so many
bytes; a new connection works until then. All events are read, and every bin is that of a run on local files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from setting import ROOT, Options, Row, dimuon_workflow, middle, run_workflow, workspace

sys.path.insert(0, str(ROOT / "tests"))

DAMAGED = 0.2
"""Share of the files that are damaged at the third place."""
FILE_EVENTS = 100_000
STALL_AFTER = 20_000_000
"""Bytes after which a connection to the second place stalls."""
LIMITS = ("--set", "execution.storage.open_timeout=3s", "--set", "execution.storage.read_timeout=3s")
"""A run of half a minute then waits as much of its time as one of 10 minutes with the defaults."""


def replicas(options: Options) -> list[Row]:
    """Compare bad replicas with good ones; runs alternate."""
    data = _data(options.events)
    good, bad = [], []
    with _server(data) as places, workspace() as folder:
        local = folder / "local"
        run_workflow(dimuon_workflow(folder, data), local, "--no-plots")
        for number in range(options.repeats):
            for kind, walls in (("good", good), ("bad", bad)):
                with workspace() as place:
                    workflow = _workflow(place, data, places[kind])
                    walls.append(run_workflow(workflow, place / "run", "--no-plots", *LIMITS).wall)
                    _check(place / "run", local, kind)
                    print(f"replicas {kind} {number}: {walls[-1]:.1f} s", file=sys.stderr)
    name = f"dimuon, {options.events / 1e6:g} M events, one replica dead, one stalls, one damaged"
    return [Row(name, middle(bad), "s wall", middle(bad) / middle(good), 1.3, reference=middle(good))]


def _data(events: int) -> Path:
    """Return a folder with demo data in many files."""
    from fasthep_parsl.demo import write_demo_data

    folder = Path(os.environ.get("FASTHEP_BENCH_DATA", tempfile.gettempdir())) / f"replicas-{events}"
    if not (folder / "demo-data.json").exists():
        write_demo_data(folder, events, file_events=FILE_EVENTS)
    return folder


@contextlib.contextmanager
def _server(data: Path) -> Iterator[dict[str, list[Callable[[str], str]]]]:
    """Serve `data`; yield for good and for bad replicas what makes a URL of the name of a file, for each place."""
    from services.authority import Authority
    from services.links import Link, dead_port
    from services.xrootd import XRootDServer

    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        with (
            XRootDServer(authority) as server,
            Link(server.port) as first,
            Link(server.port) as second,
            Link(server.port, stall_after=STALL_AFTER, each=True) as stalling,
        ):
            for name in ("good", "damaged"):
                server.put(data, f"protected/{name}")
            files = sorted((server.data / "protected/damaged").glob("*.root"))
            for path in files[:: round(1 / DAMAGED)]:
                _damage(path)
            os.environ |= {"X509_CERT_DIR": str(authority.certificates)}
            os.environ |= {"BEARER_TOKEN_FILE": str(authority.token_file())}

            def at(name: str, port: int) -> Callable[[str], str]:
                return lambda file: server.url(f"protected/{name}/{file}", port=port)

            yield {
                "good": [at("good", port) for port in (first.port, second.port, server.port)],
                "bad": [at("good", dead_port()), at("good", stalling.port), at("damaged", server.port)],
            }


def _damage(path: Path) -> None:
    """Change bytes in the middle of the file, where baskets are."""
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 4, len(content) * 3 // 4, 50_000):
        content[place : place + 64] = bytes(64)
    path.write_bytes(content)


def _workflow(folder: Path, data: Path, places: list[Callable[[str], str]]) -> Path:
    """Write the workflow with URLs in place of patterns."""
    path = dimuon_workflow(folder, data)

    def urls(match: re.Match[str]) -> str:
        names = sorted(file.name for file in data.glob(match[1]))
        return "files: " + json.dumps([{"any": [place(name) for place in places]} for name in names])

    path.write_text(re.sub(rf"files: \[{re.escape(str(data))}/([^\]]+)\]", urls, path.read_text()))
    return path


def _check(outdir: Path, local: Path, kind: str) -> None:
    """All events were read, and histograms are those of local files; bad replicas were met."""
    run: dict[str, Any] = json.loads((outdir / "run.json").read_text())
    assert run["status"] == "complete", run["failures"][:3]
    assert run["events"]["done"] == run["events"]["total"] == run["events"]["read"], run["events"]
    for expected in local.glob("results/*/hist.json"):
        found = outdir / expected.relative_to(local)
        assert json.loads(found.read_text()) == json.loads(expected.read_text()), found
    if kind == "bad":
        causes = {cause for server in run["storage"] for cause in server["failures"]}
        assert causes >= {"corrupt"}, run["storage"]
        avoided = {server["avoided"]["cause"] for server in run["storage"] if server["avoided"]}
        assert avoided & {"slow", "stalled"}, run["storage"]
