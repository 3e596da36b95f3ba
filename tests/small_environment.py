"""A small environment in an archive, and nodes that start with it. Its Python is a shell script, so a start takes no time."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, replace

from fasthep_parsl.packing.manifest import Manifest, this_platform
from fasthep_parsl.packing.start_script import ARCHIVE, START, StartOptions, start_script
from fasthep_parsl.strategies.node import node_script
from strategy_cases import pool

SOURCE_LINE = f'. "$FASTHEP_PARSL_FILES/{START}"'
PYTHON = """\
#!/bin/sh
root=$(dirname "$(dirname "$0")")
case $3 in
.fasthep-parsl/relocate.py) {relocate}; echo "$4" >"$root/relocated" ;;
*) {verify}; [ "$4" = "$root" ] || exit 9; echo '{activate}' >"$root/.fasthep-parsl/activate.sh" ;;
esac
"""
OLD = 1_000_000_000
"""Time of the files [s since 1970]."""


@dataclass(frozen=True)
class SmallEnvironment:
    """What is in the archive: its files have `size` bytes each."""

    files: int = 20
    size: int = 100
    format: str = "zst"
    relocate: str = "true"
    verify: str = "true"
    activate: str = "export ACTIVATED=yes"
    name: str = "small"
    hash: str = ""
    glibc: str = ""
    platform: str = this_platform()

    def members(self):
        python = PYTHON.format(relocate=self.relocate, verify=self.verify, activate=self.activate)
        yield ".fasthep-parsl/manifest.json", b"{}", 0o644
        yield ".fasthep-parsl/relocate.py", b"", 0o644
        yield "bin/python", python.encode(), 0o755
        yield "lib/__pycache__/x.pyc", b"compiled", 0o644
        yield "lib/closed/file", b"closed", 0o444
        for number in range(self.files):
            yield (
                f"lib/package {number % 7}/file{number}",
                os.urandom(self.size // 2) + bytes(self.size - self.size // 2),
                0o644,
            )

    def tar(self):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            closed = tarfile.TarInfo("lib/closed")  # nobody may write to it
            closed.type, closed.mode, closed.mtime = tarfile.DIRTYPE, 0o555, OLD
            tar.addfile(closed)
            for name, content, mode in self.members():
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime, info.uid = len(content), mode, OLD, 4321
                tar.addfile(info, io.BytesIO(content))
        return stream.getvalue()

    def compressed(self):
        if self.format == "gz":
            return gzip.compress(self.tar(), 1)
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=self.tar(), capture_output=True, check=True).stdout

    def manifest(self):
        return Manifest(
            kind="packed-prefix", name=self.name, platform=self.platform, python="3.11.7", packages={}, glibc=self.glibc,
            hash=self.hash or hashlib.sha256(self.name.encode()).hexdigest(), unpacked=self.files * self.size + 1000,
            files=self.files + 4,
        )  # fmt: skip


class StartNode:
    """A folder with ``node.sh`` and what is transferred with it; workers are a line of bash.

    Parameters
    ----------
    folder : Path
        Folder of the block.
    environment : SmallEnvironment
        The environment to start.
    **options
        The options of the start script; `cache` is the folder ``scratch`` beside the block, if nothing is said.
    """

    def __init__(self, folder, environment=SmallEnvironment(), **options):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = environment
        self.archive = folder / ARCHIVE
        self.archive.write_bytes(environment.compressed())
        self.scratch = folder.parent / "scratch"
        self.options = StartOptions(**{"cache": "$SCRATCH", "format": environment.format, **options})
        self.write()

    def write(self, **changes):
        """Write the start script for the archive as it is now."""
        checksum = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        text = start_script(self.environment.manifest(), checksum, replace(self.options, **changes))
        (self.folder / START).write_text(text)

    def wait_a_minute(self):
        """Make it long ago that a start has looked at all files."""
        os.utime(self.prefix / ".checked", (0, 0))

    def command(self, worker="env -0", lines=(), before=(), block=0):
        """Return the command line of the node."""
        p = pool(shared=False, worker_init=(*before, SOURCE_LINE, *lines)).model_copy(
            update={"files": (ARCHIVE, START)}
        )
        script = self.folder / f"node{block}.sh"
        script.write_text(node_script(p, ["bash", "-c", worker, "worker"]))
        return ["/bin/bash", str(script), str(block)]

    def env(self, **more):
        """Return the environment of the job."""
        path = os.environ["PATH"]
        return {"PATH": path, "HOME": str(self.folder), "SCRATCH": str(self.scratch), "SLURMD_NODENAME": "c1", **more}

    def run(self, worker="env -0", *, env=(), timeout=60, **command):
        """Start the node; return how it ended."""
        self.scratch.mkdir(exist_ok=True)
        return subprocess.run(
            self.command(worker, **command), env=self.env(**dict(env)), cwd="/", capture_output=True, text=True,
            check=False, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, worker="env -0", **more):
        """Start the node in the background."""
        self.scratch.mkdir(exist_ok=True)
        command = {name: more.pop(name) for name in ("lines", "before", "block") if name in more}
        return subprocess.Popen(
            self.command(worker, **command), env=self.env(**more), cwd="/", text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    @property
    def own(self):
        """The folder of this user in the scratch folder."""
        return self.scratch / f"fasthep-parsl-{os.getuid()}"

    @property
    def prefix(self):
        """The folder of the environment."""
        return self.own / "environments" / self.environment.manifest().hash

    def left(self):
        """Return the names of what is in the folder of the environments, without those that are ready."""
        folder = self.own / "environments"
        if not folder.is_dir():
            return []
        return sorted(p.name for p in folder.iterdir() if not (p / ".ready").is_file() and p.name != ".holder")

    def used(self, done):
        """Return the environment variables of workers that print theirs."""
        assert done.returncode == 0, done.stderr
        return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


def remove_tree(folder):
    """Remove a folder, also folders in it that nobody may write to."""
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def unpackings(text):
    """Return how often an environment was unpacked, from what nodes said."""
    return text.count(": unpacked the environment `")
