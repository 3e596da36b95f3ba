"""Protected data on a real XRootD server: the cost of credentials, of a slow link, of bad replicas, and long runs.

python benchmarks/run.py storage             opens, link, replicas
python benchmarks/run.py renewal             ten minutes with tokens of one minute
FASTHEP_BENCH_SECONDS=60 python benchmarks/run.py renewal
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from measure import Usage
from setting import ROOT, BenchmarkError, Options, Row, data_folder, middle, read_events, run_workflow, workspace

DELAY = 0.010
"""Seconds in each direction: a round trip takes 20 ms."""
OPENS = 300
LIFETIME = 60.0


@contextmanager
def _authority(folder: Path) -> Iterator[Any]:
    """Yield an authority. This process and all it starts have a token of it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from services.authority import Authority

    before = dict(os.environ)
    authority = Authority(folder / "authority")
    for name in ("BEARER_TOKEN", "X509_USER_PROXY"):
        os.environ.pop(name, None)
    os.environ.update(authority.env, BEARER_TOKEN_FILE=str(authority.token_file()))
    try:
        yield authority
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(server: Any, data: Path) -> list[str]:
    """Let a server have all files of a folder; return their names."""
    names = sorted(file.name for file in data.glob("*.root"))
    for name in names:
        target = server.data / "protected" / name
        try:
            target.hardlink_to(data / name)
        except OSError:  # another file system
            shutil.copyfile(data / name, target)
    return names


def _workflow(path: Path, files: Mapping[str, Any]) -> Path:
    """Write `configs/dimuon.yaml` with other places of its files: name of a file → place, or places."""
    content = yaml.safe_load((ROOT / "configs" / "dimuon.yaml").read_text())
    for dataset in content["data"]["datasets"]:
        dataset["files"] = [place for name, place in files.items() if name.startswith(f"{dataset['name']}_")]
    content["execution"] |= {"credentials": [{"kind": "scitoken"}]}
    path.write_text(yaml.safe_dump(content))
    return path


# ------------------------------------------------------------------------------------------------------ opens


def opens(options: Options) -> list[Row]:
    """Measure what finding the credential costs, compared with the open of a file on a connection that exists."""
    del options
    with workspace() as folder, _authority(folder) as authority:
        from fasthep_parsl.storage import StorageLimits, open_remote
        from fasthep_parsl.storage.address import with_user
        from fasthep_parsl.storage.login import current_login
        from fasthep_parsl.storage.xrootd_client import opening
        from services.xrootd import XRootDServer

        with XRootDServer(authority) as server:
            (server.data / "protected" / "small").write_bytes(bytes(100_000))
            url = server.url("protected/small")

            def whole() -> None:
                open_remote(url, StorageLimits()).close()

            def credential() -> None:
                login = current_login()
                with opening():
                    with_user(url, login.tag)

            whole()
            path, total = _microseconds(credential), _microseconds(whole)
    return [
        Row("credential, per open of a file", path, "µs", path / total, 0.05, reference=total, note="root://, token")
    ]


def _microseconds(call: Any) -> float:
    durations = []
    for _ in range(OPENS):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return middle(durations) * 1e6


# ------------------------------------------------------------------------------------------------------- link


def link(options: Options) -> list[Row]:
    """Compare the analysis over a link of 20 ms with that of local files. Runs alternate."""
    data = data_folder(options.small, options.triggers)
    rows = []
    with workspace() as folder, _authority(folder) as authority:
        from services.links import Link
        from services.xrootd import XRootDServer

        with XRootDServer(authority) as server:
            names = _serve(server, data)
            for scheme, port in (("root", server.port), ("https", server.https_port)):
                with Link(port, delay=DELAY) as slow:
                    far = {name: server.url(f"protected/{name}", scheme, slow.port) for name in names}
                    near = {name: str(data / name) for name in names}
                    there, here = _alternate(folder / scheme, far, near, options.repeats)
                for what, bar in (("cpu", 1.5), ("wall", 2.0)):
                    mine, other = (middle(getattr(usage, what) for usage in runs) for runs in (there, here))
                    label = f"dimuon, {options.small / 1e6:g} M events, {scheme}:// at 20 ms, {what}"
                    rows.append(Row(label, mine, "s", mine / other, bar, reference=other))
    return rows


def _alternate(
    folder: Path, one: Mapping[str, Any], other: Mapping[str, Any], repeats: int
) -> tuple[list[Usage], list[Usage]]:
    """Run with the files of the one and of the other, in turn; results must be the same."""
    usages: tuple[list[Usage], list[Usage]] = ([], [])
    folder.mkdir()
    results = []
    for _ in range(repeats):
        for found, files in zip(usages, (one, other), strict=True):
            workflow = _workflow(folder / "dimuon.yaml", files)
            outdir = folder / "run"
            os.environ["FASTHEP_PARSL_CACHE"] = str(folder / "cache")  # headers are read anew
            found.append(run_workflow(workflow, outdir, "--no-plots"))
            results.append((outdir / "results" / "DimuonMass" / "hist.json").read_text())
            for used in (outdir, folder / "cache"):
                shutil.rmtree(used, ignore_errors=True)
    sums = [_total(text) for text in results]
    if any(abs(value - sums[0]) > 1e-9 * abs(sums[0]) for value in sums):
        raise BenchmarkError(f"results differ: {sums}")
    return usages


def _total(text: str) -> float:
    import uhi.io.json
    from hist import Hist

    loaded = json.loads(text, object_hook=uhi.io.json.object_hook)
    return float(Hist(loaded).sum(flow=True).value)


# ---------------------------------------------------------------------------------------------------- renewal


def renewal(options: Options) -> list[Row]:
    """Run for ten minutes with tokens that live for one, and count what was disturbed."""
    del options
    seconds = float(os.environ.get("FASTHEP_BENCH_SECONDS", "600"))
    with workspace() as folder, _authority(folder) as authority:
        from integration import renewing
        from services.xrootd import XRootDServer

        with XRootDServer(authority) as server:
            source = _counted(folder / "counted.root")
            urls = [server.url(path) for path in renewing.write_files(server, "counted", source, seconds)]
            (folder / "flow").mkdir()
            run = renewing.start(folder / "flow", authority, urls, LIFETIME)
            code, output, _ = run.end(seconds * 2 + 120)
        if code != 0:
            raise BenchmarkError(f"the run ended with {code}:\n{output[-3000:]}")
        events = read_events(run.run_dir)
    disturbed = sum(event["kind"] in {"retried", "failed"} for event in events)
    restarted = len({event["pid"] for event in events if event["kind"] == "finished"}) - renewing.WORKERS
    renewed = sum(event["kind"] == "credential" and event["state"] == "renewed" for event in events)
    wall = events[-1]["at"] - events[0]["at"]
    note = f"{len(urls)} files, {renewed} renewals of tokens that live {LIFETIME:g} s"
    return [
        Row(f"{wall:.0f} s: failed or repeated tasks", disturbed, "", disturbed, 0, note=note),
        Row(f"{wall:.0f} s: restarted workers", max(restarted, 0), "", max(restarted, 0), 0),
    ]


def _counted(path: Path) -> Path:
    """Write a file with x = 0 … 199."""
    import numpy as np
    import uproot

    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": np.dtype("int64")}).extend({"x": np.arange(200)})
    return path
