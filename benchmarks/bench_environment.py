"""A packed environment of about 500 MB: packing it, and the start of 16 workers on one node, compared with tar and zstd."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from setting import ROOT, BenchmarkError, Options, Row, middle, workspace

WORKERS = 16
READY = '"$FASTHEP_PARSL_PREFIX/bin/python" -c pass'
"""What a worker does in this benchmark."""


def environment(options: Options) -> list[Row]:
    """Pack the run-time dependencies of this installation, and start workers with an empty and with a filled cache."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fasthep_parsl.packing.archive import pack_prefix
    from fasthep_parsl.packing.start_script import ARCHIVE, START, StartOptions, start_script
    from lean_environment import lean_environment

    times: dict[str, list[float]] = {name: [] for name in ("pack", "zstd", "tar", "cold", "warm", "none")}
    with workspace() as folder:
        files = folder / "files"
        files.mkdir()
        archive, prefix = files / ARCHIVE, lean_environment()
        manifest = pack_prefix(prefix, archive)  # reads all files once: they are in memory for all measurements
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        (files / START).write_text(start_script(manifest, sha256, StartOptions(cache=str(folder / "node"))))
        unpacked = folder / "unpacked"
        for _ in range(options.repeats):
            times["pack"].append(_seconds(lambda: pack_prefix(prefix, folder / "again.tar")))
            times["tar"].append(_seconds(lambda: _untar(archive, unpacked)))
            command = f"tar -C {unpacked} -cf - . | zstd -q -3 -f -o {folder}/reference.tar.zst"
            times["zstd"].append(_seconds(lambda: _shell(command)))  # noqa: B023
            shutil.rmtree(folder / "node", ignore_errors=True)
            (folder / "node").mkdir()
            times["cold"].append(_seconds(lambda: _start(files)))
            times["warm"].append(_seconds(lambda: _start(files)))
            times["none"].append(_seconds(lambda: _start(None)))
            shutil.rmtree(unpacked)
    value = {name: middle(found) for name, found in times.items()}
    size = f"{manifest.unpacked / 1e6:.0f} MB in {manifest.files:,} files"
    return [
        Row("packing an environment", value["pack"], "s", value["pack"] / value["zstd"], 2.0,
            reference=value["zstd"], note=f"{size}; reference: tar | zstd -3"),
        Row(f"cold start of {WORKERS} workers", value["cold"], "s", value["cold"] / value["tar"], 2.0,
            reference=value["tar"], note="reference: tar -x of the same archive, alone"),
        Row(f"warm start of {WORKERS} workers", value["warm"], "s", value["warm"] - value["none"], 0.5,
            reference=value["none"], note="compared: seconds more than without an environment"),
    ]  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    os.sync()  # earlier measurements have written their files
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _untar(archive: Path, target: Path) -> None:
    target.mkdir()
    _shell(f"tar --use-compress-program=zstd -xf {archive} -C {target}")


def _shell(command: str) -> None:
    subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], check=True)


def _start(files: Path | None) -> None:
    """Start all workers at once, and wait until the Python of each has run."""
    line = f'. "$FASTHEP_PARSL_FILES/environment.sh" || exit 1; {READY}' if files else READY
    variables = {"FASTHEP_PARSL_FILES": str(files)} if files else {"FASTHEP_PARSL_PREFIX": sys.prefix}
    running = [
        subprocess.Popen(
            ["/bin/bash", "-c", line], env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(WORKERS)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    if any(process.returncode for process in running):
        raise BenchmarkError("a worker has not started:\n" + "\n".join(dict.fromkeys(said)))
    if files and "".join(said).count("unpacked the environment") > 1:
        raise BenchmarkError("the environment was unpacked more than once")
