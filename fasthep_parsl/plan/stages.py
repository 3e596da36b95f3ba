"""Stages of a plan, the segments that they form, and the analysis code that they use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written
from fasthep_parsl.plan.variations import PlanWeight


class PlanModifier(Frozen):
    """A modifier of a stage."""

    kind: str
    params: Written = Field(default_factory=dict)


class Binding(Frozen):
    """A product of another stage that is bound to a parameter."""

    node: str
    port: str
    to: str


class PlanStage(Frozen):
    """A stage and its pool."""

    id: str
    op: str
    params: Written = Field(default_factory=dict)
    op_hash: str = Field("", description="content hash of the op's code")
    module: str = Field("", description="user module that defines the op, empty for built-ins")
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    needs: tuple[str, ...] = ()
    input: str = Field("", description="stage that it reads the stream of; empty for the source")
    bind: tuple[Binding, ...] = ()
    stream: bool = True
    product: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keep: tuple[str, ...] = Field((), description="columns that later stages of its segment need")
    pool: str = "default"
    why: str = Field("", description="why this pool")
    lacking: dict[str, str] = Field(default_factory=dict, description="label → why it has no pool here")
    timeout: float | None = Field(None, description="longest time per task, s")
    modifiers: tuple[PlanModifier, ...] = ()
    datasets: tuple[str, ...] | None = Field(None, description="datasets for which it runs; None: all")
    nominal: str = Field("", description="stage that this one is a copy of; empty for stages of the workflow")
    region: str = Field("", description="region of the copy")
    variation: str = Field("", description="systematic variation of the copy; empty: nominal")
    renames: dict[str, str] = Field(default_factory=dict, description="field that it reads → column of the stream")
    outputs: dict[str, str] = Field(default_factory=dict, description="field that it adds → column of the stream")
    weights: tuple[PlanWeight, ...] = Field((), description="weight variations that it fills in one call")


class PlanSegment(Frozen):
    """Stages that run together in one task, on one pool, with one read."""

    id: int
    pool: str
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    stages: tuple[str, ...]
    input: str = Field("", description="stage that it reads the stored stream of; empty for the source")
    columns: tuple[str, ...] = Field((), description="columns to read")
    stores: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="stage → columns of its stream to store for other segments"
    )
    products: tuple[str, ...] = Field((), description="stages with a product")
    after: tuple[int, ...] = Field((), description="segments that must be complete first")
    per_partition: bool = False
    unread: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="dataset → columns that no stage needs for it"
    )

    def columns_of(self, dataset: str) -> tuple[str, ...]:
        """Return the columns that its stages need for a dataset."""
        rest = self.unread.get(dataset, ())
        return tuple(column for column in self.columns if column not in rest)


class PlanCode(Frozen):
    """A file with an effect on the results."""

    name: str = Field(description="path of its copy, relative to `code`; absolute if it is not copied")
    sha256: str
    path: str = Field("", description="the original; empty if it is `name`")
    module: str = Field("", description="dotted name for imports; empty for data")
    why: str = Field("", description="why it belongs to the plan")


class PlanModule(Frozen):
    """Analysis code that may define ops."""

    name: str = Field(description="dotted name for imports")
    path: str
    sha256: str = Field(description="content hash of the files that it imports and reads, transitively")
