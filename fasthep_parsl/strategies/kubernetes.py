"""Strategy ``kubernetes``: a block is a pod. Tested as text, without a Kubernetes.

The commands follow the documentation of kubectl. Fields follow Parsl's ``KubernetesProvider``
(``parsl/providers/kubernetes/kube.py``). Unlike there, requests equal limits, the pod has a deadline and is never
restarted, and its output goes to the block's files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from fasthep_parsl.interfaces import (
    BlockLocation,
    CommandResult,
    ContainerRefusal,
    Discovery,
    Job,
    JobState,
    SchedulerCommands,
    Script,
)
from fasthep_parsl.plan import PlanBlock, PlanContainer, PlanPool
from fasthep_parsl.resources.validation import Count
from fasthep_parsl.strategies.base import BatchModel, block_of, node_command, output_path, unknown_image
from fasthep_parsl.strategies.formats import Lines, mebibytes, short_name
from fasthep_parsl.workflow.values import Line, empty_mapping

LONGEST_NAME = 63
_REGISTRY = "docker://"
_Mapping = Annotated[dict[Line, Line], BeforeValidator(empty_mapping)]
_PHASES: dict[str, JobState] = {
    "Pending": "pending",
    "Running": "running",
    "Unknown": "running",
    "Succeeded": "ended",
    "Failed": "ended",
}
"""Kubernetes documentation, "Pod Lifecycle"."""
_STUCK = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
"""Reasons for which a container never starts."""


class KubernetesCommands(SchedulerCommands):
    """Commands of Kubernetes.

    Parameters
    ----------
    namespace : str
        Namespace of the pods; empty: kubectl's own.
    """

    programs = ("kubectl",)

    def __init__(self, namespace: str = "") -> None:
        self._kubectl = ["kubectl", *([f"--namespace={namespace}"] if namespace else [])]

    def submit(self, script: Path) -> list[str]:
        """Return the command that creates a pod."""
        return [*self._kubectl, "create", "--filename", str(script), "--output=name"]

    def job_id(self, output: str) -> str:
        """Return the name in ``pod/<name>``."""
        found = re.search(r"^pod/(\S+)$", output.strip(), re.MULTILINE)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries pods."""
        return [*self._kubectl, "get", "pods", *jobs, "--ignore-not-found", "--output=json"]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it."""
        if not result.ok:
            return None
        try:
            listed = json.loads(result.out or "{}")
        except ValueError:
            return None
        found = {}
        for pod in listed.get("items", [listed] if listed else []):
            name = pod.get("metadata", {}).get("name", "")
            if name in jobs:
                found[name] = _job(name, pod)
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the command that deletes pods."""
        return [[*self._kubectl, "delete", "pods", *jobs, "--ignore-not-found", "--wait=false"]]

    def trial(self, script: Path) -> list[str]:
        """Return the command that checks a pod on the server."""
        return [*self._kubectl, "create", "--dry-run=server", "--output=name", "--filename", str(script)]


def _job(name: str, pod: Mapping[str, Any]) -> Job:
    status = pod.get("status", {})
    waiting = [
        (state.get("reason", ""), state.get("message", ""))
        for container in status.get("containerStatuses", [])
        for state in [container.get("state", {}).get("waiting") or {}]
    ]
    stuck = next((f"{why}: {message}" for why, message in waiting if why in _STUCK), "")
    reason = stuck or str(status.get("reason") or status.get("message") or "")
    state: JobState = "held" if stuck else _PHASES.get(str(status.get("phase")), "pending")
    return Job(name, state, str(pod.get("spec", {}).get("nodeName", "")), reason)


class Kubernetes(BatchModel):
    """Workers in a Kubernetes cluster: one pod per block. Tested as text only.

    The run directory must be on a volume that pods mount at the path that the driver sees.
    """

    several_nodes: ClassVar[bool] = False

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=KubernetesCommands.programs,
        commands=KubernetesCommands(),
        queues_hint="`kubectl describe nodes` lists the resources of nodes",
    )

    image: Line | None = Field(
        None, description="container image with the software of the workers, unless environment `container` names it"
    )
    namespace: Line = Field("default", description="namespace of the pods")
    volumes: _Mapping = Field(
        default_factory=dict, description="persistent volume claim → folder; one contains the run directory"
    )
    secrets: _Mapping = Field(default_factory=dict, description="secret → folder in which its keys are files")
    image_pull_secrets: Lines = Field((), description="secrets with which the image is pulled")
    service_account: Line | None = Field(None, description="service account of the pods")
    user_id: Count | None = Field(None, ge=0, description="numeric user id of the container")
    group_id: Count | None = Field(None, ge=0, description="numeric group id of the container")
    gpu_resource: Line = Field("nvidia.com/gpu", description="name of the resource of GPUs")
    priority_class: Line | None = Field(None, description="priority class of the pods")
    node_selector: _Mapping = Field(default_factory=dict, description="label → value that nodes must have")
    annotations: _Mapping = Field(default_factory=dict, description="annotations of the pods")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the manifest of one block as JSON, which is YAML; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        number = f"-{location.block}"
        name = short_name(location.job.lower(), LONGEST_NAME - len(number), r"a-z0-9\-") + number
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": _filled(
                name=name,
                namespace=self.namespace,
                labels={"app.kubernetes.io/managed-by": "fasthep-parsl"},
                annotations=self.annotations,
            ),
            "spec": self._spec(block, location, self._image(pool.container)),
        }
        return Script(f"block.{location.block}.json", json.dumps(pod, indent=2) + "\n")

    @property
    def starts_containers(self) -> bool:
        """Pods are containers."""
        return True

    def refuse_container(self, container: PlanContainer | None) -> ContainerRefusal | None:
        """Return why pods cannot have a container: there is no image, or there are two, or it is no image for pods."""
        if container is None:
            hint = "`strategy: {image: …}`, or `environment: {kind: container, image: …}`"
            return None if self.image else ContainerRefusal(("strategy",), "`image` is missing: pods need one", hint)
        if container.runtime != "site":
            hint = "remove `runtime`"
            return ContainerRefusal(
                ("environment", "runtime"), "pods are containers and cannot start another one", hint
            )
        if self.image and self.image != self._image(container):
            message = f"`strategy.image` is another image: `{self.image}`"
            return ContainerRefusal(("environment", "image"), message, "remove one of the two")
        if container.bind:
            hint = "use `strategy.volumes`"
            return ContainerRefusal(("environment", "bind"), "pods mount volumes, not folders of the node", hint)
        return None if container.image.startswith(_REGISTRY) else unknown_image(container, f"`{_REGISTRY}…`")

    def _image(self, container: PlanContainer | None) -> str | None:
        return container.image.removeprefix(_REGISTRY) if container else self.image

    def commands(self) -> KubernetesCommands:
        """Return the commands of Kubernetes."""
        return KubernetesCommands(self.namespace)

    def _spec(self, block: PlanBlock, location: BlockLocation, image: str | None) -> dict[str, Any]:
        claims = [(f"claim-{i}", *item) for i, item in enumerate(self.volumes.items())]
        secrets = [(f"secret-{i}", *item) for i, item in enumerate(self.secrets.items())]
        return _filled(
            restartPolicy="Never",
            activeDeadlineSeconds=max(int(block.walltime), 1),
            containers=[
                self._container(block, location, image, [(name, folder) for name, _, folder in claims + secrets])
            ],
            volumes=[
                *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim, _ in claims),
                *({"name": name, "secret": {"secretName": secret}} for name, secret, _ in secrets),
            ],
            imagePullSecrets=[{"name": secret} for secret in self.image_pull_secrets],
            serviceAccountName=self.service_account,
            priorityClassName=self.priority_class,
            nodeSelector=self.node_selector,
            securityContext=_filled(runAsUser=self.user_id, runAsGroup=self.group_id, fsGroup=self.group_id),
            affinity=_keep_off(location.avoid),
        )

    def _container(
        self, block: PlanBlock, location: BlockLocation, image: str | None, mounts: list[tuple[str, str]]
    ) -> dict[str, Any]:
        amounts = {"cpu": str(block.cpus), "memory": f"{mebibytes(block.memory)}Mi"}
        if block.gpus:
            amounts[self.gpu_resource] = str(block.gpus)
        if block.disk:
            amounts["ephemeral-storage"] = f"{mebibytes(block.disk)}Mi"
        node = {"name": "FASTHEP_PARSL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
        start = 'exec "$@" >"$0.out" 2>"$0.err"'
        return _filled(
            name="workers",
            image=image,
            command=[
                "/bin/bash",
                "-c",
                start,
                output_path(location, "out").removesuffix(".out"),
                *node_command(location),
            ],
            workingDir=location.folder,
            env=[node],
            resources={"requests": amounts, "limits": amounts},
            volumeMounts=[{"name": name, "mountPath": folder} for name, folder in mounts],
        )


def _keep_off(nodes: tuple[str, ...]) -> dict[str, Any]:
    if not nodes:
        return {}
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]  # one value each
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _filled(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}
