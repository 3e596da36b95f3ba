"""Strategy ``kubernetes``: a block is a pod. Its manifests are rendered, they were not run here.

Fields follow Parsl's ``KubernetesProvider`` (``parsl/providers/kubernetes/kube.py``); unlike there, requests are equal to
limits, the pod has a deadline and is never restarted, and output goes to the block's files.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from fasthep_parsl.interfaces import BlockLocation, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.resources.units import Count
from fasthep_parsl.strategies.base import BatchModel, block_of, node_words, output
from fasthep_parsl.strategies.formats import Lines, mebibytes, short_name
from fasthep_parsl.workflow.values import Line, empty_mapping

LONGEST_NAME = 63
_Mapping = Annotated[dict[Line, Line], BeforeValidator(empty_mapping)]


class Kubernetes(BatchModel):
    """Workers in a Kubernetes cluster: one pod per block. Rendered and checked as text, not run here.

    The run directory must be on a volume that pods mount at the path that the driver sees.
    """

    several_nodes: ClassVar[bool] = False

    image: Line = Field(description="container image with the software of the workers")
    namespace: Line = Field("default", description="namespace of the pods")
    volumes: _Mapping = Field(
        default_factory=dict, description="persistent volume claim → folder; one holds the run directory"
    )
    secrets: _Mapping = Field(default_factory=dict, description="secret → folder in which its keys are files")
    image_pull_secrets: Lines = Field((), description="secrets with which the image is pulled")
    service_account: Line | None = Field(None, description="service account of the pods")
    user_id: Count | None = Field(None, ge=0, description="numeric user of the container")
    group_id: Count | None = Field(None, ge=0, description="numeric group of the container")
    gpu_resource: Line = Field("nvidia.com/gpu", description="resource that stands for GPUs")
    priority_class: Line | None = Field(None, description="priority class of the pods")
    node_selector: _Mapping = Field(default_factory=dict, description="label → value that nodes must have")
    annotations: _Mapping = Field(default_factory=dict, description="annotations of the pods")

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return the manifest of one block as JSON, which is YAML; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        number = f"-{place.block}"
        name = short_name(place.job.lower(), LONGEST_NAME - len(number), r"a-z0-9\-") + number
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": _filled(
                name=name,
                namespace=self.namespace,
                labels={"app.kubernetes.io/managed-by": "fasthep-parsl"},
                annotations=self.annotations,
            ),
            "spec": self._spec(block, place),
        }
        return Script(f"block.{place.block}.json", json.dumps(pod, indent=2) + "\n")

    def _spec(self, block: PlanBlock, place: BlockLocation) -> dict[str, Any]:
        claims = [(f"claim-{i}", *item) for i, item in enumerate(self.volumes.items())]
        secrets = [(f"secret-{i}", *item) for i, item in enumerate(self.secrets.items())]
        return _filled(
            restartPolicy="Never",
            activeDeadlineSeconds=max(int(block.walltime), 1),
            containers=[self._container(block, place, [(name, folder) for name, _, folder in claims + secrets])],
            volumes=[
                *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim, _ in claims),
                *({"name": name, "secret": {"secretName": secret}} for name, secret, _ in secrets),
            ],
            imagePullSecrets=[{"name": secret} for secret in self.image_pull_secrets],
            serviceAccountName=self.service_account,
            priorityClassName=self.priority_class,
            nodeSelector=self.node_selector,
            securityContext=_filled(runAsUser=self.user_id, runAsGroup=self.group_id, fsGroup=self.group_id),
            affinity=_keep_off(place.avoid),
        )

    def _container(self, block: PlanBlock, place: BlockLocation, mounts: list[tuple[str, str]]) -> dict[str, Any]:
        amounts = {"cpu": str(block.cpus), "memory": f"{mebibytes(block.memory)}Mi"}
        if block.gpus:
            amounts[self.gpu_resource] = str(block.gpus)
        if block.disk:
            amounts["ephemeral-storage"] = f"{mebibytes(block.disk)}Mi"
        node = {"name": "FASTHEP_PARSL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
        start = 'exec "$@" >"$0.out" 2>"$0.err"'
        return _filled(
            name="workers",
            image=self.image,
            command=["/bin/bash", "-c", start, output(place, "out").removesuffix(".out"), *node_words(place)],
            workingDir=place.folder,
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
