"""Kubernetes: pods by kubectl. Written after its documentation and Parsl's KubernetesProvider; not run here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.blocks.dialect import Dialect, Job, State

_PHASES: dict[str, State] = {
    "Pending": "pending",
    "Running": "running",
    "Unknown": "running",
    "Succeeded": "ended",
    "Failed": "ended",
}
"""Kubernetes documentation, "Pod Lifecycle"."""
_STUCK = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
"""Why a container waits for ever."""


class Kubernetes(Dialect):
    """Commands of Kubernetes."""

    programs = ("kubectl",)

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        namespace = options.get("namespace")
        self._kubectl = ["kubectl", *([f"--namespace={namespace}"] if namespace else [])]

    def submit(self, script: Path) -> list[str]:
        """Return the command that makes a pod."""
        return [*self._kubectl, "create", "--filename", str(script), "--output=name"]

    def job_id(self, output: str) -> str:
        """Return the name in ``pod/<name>``."""
        found = re.search(r"^pod/(\S+)$", output.strip(), re.MULTILINE)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for pods."""
        return [*self._kubectl, "get", "pods", *jobs, "--ignore-not-found", "--output=json"]

    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said."""
        if not answer.ok:
            return None
        try:
            listed = json.loads(answer.out or "{}")
        except ValueError:
            return None
        found = {}
        for pod in listed.get("items", [listed] if listed else []):
            name = pod.get("metadata", {}).get("name", "")
            if name in jobs:
                found[name] = _job(name, pod)
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove pods."""
        return [[*self._kubectl, "delete", "pods", *jobs, "--ignore-not-found", "--wait=false"]]

    def trial(self, script: Path) -> list[str]:
        """Return the command that has the server check a pod."""
        return [*self._kubectl, "create", "--dry-run=server", "--output=name", "--filename", str(script)]


def _job(name: str, pod: Mapping[str, Any]) -> Job:
    status = pod.get("status", {})
    waiting = [
        (state.get("reason", ""), state.get("message", ""))
        for container in status.get("containerStatuses", [])
        for state in [container.get("state", {}).get("waiting") or {}]
    ]
    stuck = next((f"{why}: {words}" for why, words in waiting if why in _STUCK), "")
    reason = stuck or str(status.get("reason") or status.get("message") or "")
    state: State = "held" if stuck else _PHASES.get(str(status.get("phase")), "pending")
    return Job(name, state, str(pod.get("spec", {}).get("nodeName", "")), reason)
