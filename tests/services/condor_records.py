"""HTCondor's records of jobs: the queue, the history, and the parsed submit file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "transferring", 7: "suspended"}
#: Those of jobs that need nothing any more, and that only `leave_in_queue` keeps in the queue.
OVER = ("removed", "completed")


class CondorUnavailableError(Exception):
    """HTCondor is not installed, or cannot run on this machine."""


@dataclass(frozen=True)
class Job:
    """A job in HTCondor's records.

    Parameters
    ----------
    cluster, proc : int
        Its number.
    status : str
        ``idle``, ``running``, ``removed``, ``completed``, ``held``, ``transferring`` or ``suspended``.
    node : str
        The machine where it runs or last ran; empty before the first start.
    starts : int
        How often it started.
    exit_code : int or None
        Of a job that ended by itself.
    hold_reason, remove_reason : str
        In HTCondor's words; empty without one.
    ad : mapping
        All that HTCondor knows of it.
    """

    cluster: int
    proc: int
    status: str
    node: str
    starts: int
    exit_code: int | None
    hold_reason: str
    remove_reason: str
    ad: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """``cluster.proc``."""
        return f"{self.cluster}.{self.proc}"


def read_jobs(text: str) -> list[Job]:
    """Return the jobs in the JSON output of `condor_q` or `condor_history`, oldest first."""
    ads = json.loads(text) if text.strip() else []  # condor_q prints nothing for no jobs
    return sorted((_job(ad) for ad in ads), key=lambda job: (job.cluster, job.proc))


def _job(ad: dict[str, Any]) -> Job:
    host = ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""
    return Job(
        cluster=ad["ClusterId"],
        proc=ad["ProcId"],
        status=STATUS[ad["JobStatus"]],
        node=host.rpartition("@")[2].partition(".")[0],
        starts=ad.get("NumJobStarts", 0),
        exit_code=ad.get("ExitCode"),
        hold_reason=ad.get("HoldReason", ""),
        remove_reason=ad.get("RemoveReason", ""),
        ad=MappingProxyType(ad),
    )


def prefix() -> Path:
    """Return the folder in which `install_condor.sh` installed HTCondor.

    Raises
    ------
    CondorUnavailableError
        It is not there.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = Path(os.environ.get("FASTHEP_CONDOR_PREFIX") or cache / "fasthep-parsl-tests" / "condor").resolve()
    if not (found / ".installed").is_file():
        raise CondorUnavailableError(f"no HTCondor in {found}: run `make services`")
    return found


@dataclass(frozen=True)
class DryRun:
    """A submit file, parsed by HTCondor.

    Parameters
    ----------
    ad : str
        The job ad that it makes, one ``Name=value`` per line.
    problems : tuple of str
        Errors, and lines that HTCondor would silently not use.
    """

    ad: str
    problems: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """Return the expression of an attribute as text; None if there is none."""
        found = re.search(rf"^{re.escape(name)} ?= ?(.*)$", self.ad, re.MULTILINE | re.IGNORECASE)
        return found and found.group(1)


def dry_run(submit_text: str, folder: Path) -> DryRun:
    """Parse a submit file with HTCondor. No pool is needed.

    Parameters
    ----------
    submit_text : str
        What would be submitted.
    folder : Path
        The working folder; the file is written there as ``dry_run.submit``.

    Raises
    ------
    CondorUnavailableError
        HTCondor is not installed.
    """
    file = folder / "dry_run.submit"
    file.write_text(submit_text)
    command = [prefix() / "usr" / "bin" / "condor_submit", "-dry-run", "-", file]
    env = {**os.environ, "CONDOR_CONFIG": os.devnull}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    messages = (done.stderr + done.stdout).splitlines()
    problems = [line for line in messages if "was unused" in line and "machine_count" not in line]
    if done.returncode != 0:
        problems.append(f"exit code {done.returncode}: {done.stderr.strip()}")
    return DryRun(done.stdout, tuple(problems))
