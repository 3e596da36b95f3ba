"""Pools of a plan: workers, blocks, network and scaling, and the software and credentials of the workers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written


class PlanBlock(Frozen):
    """Size of a block: the resources of one job of the batch system."""

    nodes: int = Field(1, ge=1)
    workers_per_node: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1, description="cores per node")
    memory: int = Field(ge=1, description="bytes per node")
    gpus: int = Field(0, ge=0, description="GPUs per node")
    disk: int | None = Field(None, description="bytes per node")
    walltime: float = Field(gt=0, description="s")
    queue: str = Field("", description="queue of the site; empty if the site has none")
    whole_nodes: bool = Field(False, description="whether the job gets whole nodes")
    why: tuple[str, ...] = Field((), description="how the size was chosen, one sentence each")


class PlanNetwork(Frozen):
    """How workers reach the driver."""

    address: str = Field("", description="empty: chosen when the run starts")
    interface: str = ""
    ports: tuple[int, int] | None = Field(None, description="first and last; None: any")


class PlanScaling(Frozen):
    """When blocks of a pool start and end. Times in seconds; see `scaling` of the site."""

    min_blocks: int = 0
    idle: float = 60.0
    start: float = 600.0
    poll: float = 30.0
    command_timeout: float = 60.0
    submissions_per_minute: int = 10
    failures_per_node: int = 2


ContainerRuntime = Literal["site", "apptainer", "singularity", "podman", "docker"]
"""What starts a container. In a plan, ``site`` is an attribute of the batch system."""


class PlanContainer(Frozen):
    """The container in which workers run."""

    image: str = Field(description="path, or URL with its scheme")
    runtime: ContainerRuntime = "site"
    bind: tuple[str, ...] = Field((), description="folders of the node, `source[:target[:ro]]`")


BatchCredentialKind = Literal["x509", "oauth"]
"""A proxy that jobs get, or a token service of the batch system."""


class PlanBatchCredential(Frozen):
    """A credential that the batch system itself brings to jobs, and renews there. Never a secret."""

    kind: BatchCredentialKind
    name: str = Field(
        "", description="path of the proxy (empty: where the batch system looks for it), or the token service"
    )


class PlanPool(Frozen):
    """A pool as the site grants it. Its name is the label of the Parsl executor."""

    name: str
    workers: int = Field(ge=1)
    cpus: int = Field(1, ge=1, description="cores per worker")
    memory: int = Field(2_000_000_000, ge=1, description="bytes per worker")
    gpus: int = Field(0, ge=0, description="GPUs of a worker")
    workers_per_gpu: int = Field(1, ge=1, description="workers that share the same GPUs")
    disk: int | None = Field(None, description="bytes per worker")
    walltime: float | None = Field(None, description="longest life of a worker, s; as requested by the pool")
    resource: str = Field("", description="its resource class; empty: quantities of its own")
    used: bool = True
    warnings: tuple[str, ...] = Field((), description="quantities that were reduced")
    provider: str = Field("local", description="kind of strategy that creates its workers")
    options: dict[str, Any] = Field(default_factory=dict, description="fields of the strategy for this pool")
    workers_per_block: int = 1
    blocks: int = Field(1, description="most blocks at the same time")
    block: PlanBlock | None = Field(None, description="resources of one job; None: processes of this machine")
    network: PlanNetwork = PlanNetwork()
    scaling: PlanScaling = PlanScaling()
    worker_init: tuple[str, ...] = ()
    python: str = Field("", description="Python of the workers; empty: the driver's")
    container: PlanContainer | None = Field(None, description="None: workers run on the node itself")
    files: tuple[str, ...] = Field((), description="names of files that blocks bring, in `setup` of the run directory")
    secrets: tuple[str, ...] = Field((), description="names of secrets that blocks bring; never their content")
    batch_credentials: tuple[PlanBatchCredential, ...] = Field(
        (), description="credentials that its jobs get themselves"
    )
    scratch: str = Field("", description="folder on the disk of a node, expanded there")
    shared: bool = Field(True, description="whether workers see the run directory")


class PlanEnvironment(Frozen):
    """The software of workers. Each pool has the resulting settings."""

    kind: str
    params: Written = Field(default_factory=dict)


class PlanCredential(Frozen):
    """A credential of the workers, without its secret."""

    kind: str
    params: Written = Field(default_factory=dict)
