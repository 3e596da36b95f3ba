"""Stages of a plan, the segments that they form, and the analysis code that they use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written


class PlanModifier(Frozen):
    """A modifier of a stage, carried as metadata."""

    kind: str
    params: Written = Field(default_factory=dict)


class Binding(Frozen):
    """A product of another stage, bound to a parameter."""

    node: str
    port: str
    to: str


class PlanStage(Frozen):
    """A stage, routed and checked."""

    id: str
    op: str
    params: Written = Field(default_factory=dict)
    op_hash: str = Field("", description="content hash of the op's code")
    module: str = Field("", description="user module that defines the op, empty for built-ins")
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    needs: tuple[str, ...] = ()
    input: str = Field("", description="stage whose stream it reads, empty for the source")
    bind: tuple[Binding, ...] = ()
    stream: bool = True
    product: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keep: tuple[str, ...] = Field((), description="columns needed after this stage in its segment")
    pool: str = "default"
    why: str = Field("", description="why this pool")
    lacking: dict[str, str] = Field(default_factory=dict, description="label → why it has no pool here")
    timeout: float | None = Field(None, description="s per task")
    modifiers: tuple[PlanModifier, ...] = ()


class PlanSegment(Frozen):
    """Stages that run together in one task: one pool, one read."""

    id: int
    pool: str
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    stages: tuple[str, ...]
    input: str = Field("", description="stage whose stored stream it reads, empty for the source")
    columns: tuple[str, ...] = Field((), description="columns read at the start")
    stores: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="stage → columns of its stream that are stored for other segments"
    )
    products: tuple[str, ...] = Field((), description="stages that yield a product")
    after: tuple[int, ...] = Field((), description="segments that must be complete before")
    per_partition: bool = False


class PlanCode(Frozen):
    """A file whose content decides results."""

    name: str = Field(description="path, relative to the folder of the module, or absolute")
    sha256: str


class PlanModule(Frozen):
    """Analysis code that workers import."""

    name: str
    path: str
    sha256: str = Field(description="content hash of all its files")
    folder: str = Field("", description="folder of its copy below `code`")
    files: tuple[PlanCode, ...] = Field((), description="the module, and what it imports and reads from beside it")
