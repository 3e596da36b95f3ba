"""Model of ``execution:`` in a workflow file: pools of workers, and how they are started."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import UnitError, parse_count
from fasthep_parsl.resources.validation import Count, wrong_value
from fasthep_parsl.workflow.facility import Network, Queue, Scaling
from fasthep_parsl.workflow.kind_reference import Kind, KindOf, ModifierOf
from fasthep_parsl.workflow.storage_model import Storage, StorageOf
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, Texts, empty_list, empty_mapping


def _workers(value: object) -> int | None:
    if value == "auto" or value is None:
        return None
    try:
        return parse_count(value)
    except UnitError as error:
        raise wrong_value(error.message, "write a number of workers, or `auto` for as many as fit") from None


def _how(value: object) -> str | None:
    """Tell the two spellings of a pool's resources apart."""
    return "<quantities>" if isinstance(value, dict | Resource) else "<class>"


ClassOrQuantities = Annotated[
    Annotated[Reference, Tag("<class>")] | Annotated[Resource, Tag("<quantities>")], Discriminator(_how)
]


class PoolSpec(Model):
    """A group of workers."""

    workers: Annotated[int | None, BeforeValidator(_workers, json_schema_input_type=int | Literal["auto"] | None)] = (
        Field(None, ge=1, description="number of workers; `auto`: as many as fit, on a batch system into two jobs")
    )
    resources: ClassOrQuantities = Field(
        Resource(), description="quantities per worker, or the name of a class in `execution.resources`"
    )
    workers_per_gpu: Count = Field(
        1, ge=1, description="number of workers that share a GPU, or the GPUs of one worker in `resources`"
    )
    modifiers: Annotated[tuple[ModifierOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="modifiers of all stages on this pool; they wrap those of the stages"
    )
    queue: Reference | None = Field(None, description="queue of the site; default: the first whose nodes fit")


def _with_staging(schema: dict[str, Any]) -> None:
    mode = {"enum": ["shared", "transfer"]}
    schema["properties"]["staging"] = {
        "description": "of fasthep-flow: `shared` is `shared_filesystem: true`, `transfer` is false",
        "anyOf": [{"type": "object", "properties": {"mode": mode}, "additionalProperties": False}, {"type": "null"}],
    }


class Execution(Model):
    """How and where the workflow runs."""

    model_config = ConfigDict(json_schema_extra=_with_staging)  # the loader converts it

    backend: KindOf = Field(Kind(kind="parsl"), description="system that runs tasks")
    strategy: KindOf = Field(Kind(kind="local"), description="system that creates workers")
    pools: dict[Name, PoolSpec] = Field(default_factory=dict, description="groups of workers")
    resources: dict[Reference, Resource] = Field(default_factory=dict, description="resource classes")
    environment: KindOf | None = Field(None, description="the software of workers")
    credentials: Annotated[tuple[KindOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="proxies and tokens that workers need"
    )
    chunk_size: Count | None = Field(None, ge=1, description="most events per partition; default: chosen for memory")
    queues: dict[Reference, Queue] = Field(default_factory=dict, description="queues of the site and their nodes")
    network: Annotated[Network, BeforeValidator(empty_mapping)] = Field(
        Network(), description="how workers connect to the driver"
    )
    storage: StorageOf = Field(Storage(), description="where input files are, and how long to wait for their servers")
    scaling: Annotated[Scaling, BeforeValidator(empty_mapping)] = Field(Scaling(), description="number of blocks")
    worker_init: Texts = Field((), description="shell lines that run on each node before its workers start")
    scratch: Line | None = Field(None, description="folder on the disk of a node, `$TMPDIR`; expanded there")
    shared_filesystem: bool = Field(True, description="whether workers see the run directory; if not, files are sent")
    shared_folders: Texts = Field((), description="folders that workers see without a shared file system, `/cvmfs`")
