"""What a site says of its machines: nodes, queues, network, scaling."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fasthep_parsl.resources.units import UnitError, describe, parse_count
from fasthep_parsl.resources.validation import Count, Duration, Memory, wrong_value
from fasthep_parsl.workflow.values import Line, Model, empty_mapping


class NodeShape(Model):
    """What one node has for jobs."""

    cpus: Count | None = Field(None, ge=1, description="cores; hardware threads where the site counts those")
    memory: Memory | None = Field(None, ge=1, description="memory, bytes; `256GB`")
    gpus: Count = Field(0, ge=0, description="GPUs")
    disk: Memory | None = Field(None, ge=1, description="scratch disk, bytes")


class Queue(Model):
    """A queue of a batch system, and the nodes behind it."""

    description: Line | None = Field(None, description="one line")
    node: Annotated[NodeShape, BeforeValidator(empty_mapping)] = Field(NodeShape(), description="shape of its nodes")
    walltime: Duration | None = Field(None, description="longest life of a job, seconds; `48h`")
    default_walltime: Duration | None = Field(None, description="asked for where a pool says nothing, seconds")
    whole_nodes: bool = Field(False, description="whether a job always gets whole nodes")
    slot: Count = Field(8, ge=1, description="cores that one job should take of a shared node; few large jobs are best")
    memory_per_cpu: Memory | None = Field(None, ge=1, description="bytes that one core brings; more memory costs cores")
    min_nodes: Count = Field(1, ge=1, description="fewest nodes per job")
    max_nodes: Count | None = Field(None, ge=1, description="most nodes per job; default: `min_nodes`")
    max_blocks: Count | None = Field(None, ge=1, description="most jobs that a user may have in the queue")
    options: dict[str, Any] = Field(
        default_factory=dict, description="fields of the strategy for this queue, laid over those of `strategy`"
    )


def _ports(value: object) -> object:
    """Read `8786`, `10000-10100` or a list of two as a range of ports."""
    parts = value if isinstance(value, list | tuple) else str(value).split("-")
    if isinstance(value, bool) or len(parts) not in {1, 2}:
        raise wrong_value(f"expected ports, got {describe(value)}", "`8786`, or a range `10000-10100`")
    try:
        first, last = parse_count(str(parts[0]).strip()), parse_count(str(parts[-1]).strip())
    except UnitError:
        raise wrong_value(f"expected ports, got {describe(value)}", "`8786`, or a range `10000-10100`") from None
    if not 0 < first <= last < 65536:
        raise wrong_value(f"ports from {first} to {last} make no range", "from 1 to 65535, the smaller one first")
    return first, last


Ports = Annotated[tuple[int, int], BeforeValidator(_ports, json_schema_input_type=int | str | list[int])]
"""First and last port of a range."""


class Network(Model):
    """How workers reach the driver: they connect, nothing connects to them."""

    address: Line | None = Field(None, description="name or address of the driver's machine as workers see it")
    interface: Line | None = Field(None, description="interface whose address is taken, `hsn0`")
    ports: Ports | None = Field(None, description="ports that workers may connect to, `8786` or `10000-10100`")


class Scaling(Model):
    """How many blocks a pool has, and when. A block is one job of the batch system."""

    min_blocks: Count = Field(0, ge=0, description="blocks that are kept while a pool has anything left to do")
    max_blocks: Count | None = Field(None, ge=1, description="most blocks of a pool")
    idle: Duration = Field(60.0, description="a block without work is given back after so long, seconds")
    start: Duration = Field(600.0, description="longest time from the start of a block to its first worker, seconds")
    poll: Duration = Field(30.0, description="time between two questions to the batch system, seconds")
    command_timeout: Duration = Field(60.0, description="longest time that its commands may take, seconds")
    submissions_per_minute: Count = Field(10, ge=1, description="most blocks that a pool asks for per minute")
    failures_per_node: Count = Field(2, ge=1, description="a node on which so many blocks failed is avoided")
