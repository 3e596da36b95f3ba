"""Description of a site in ``execution:``: queues and nodes, network, scaling."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fasthep_parsl.resources.units import UnitError, describe, parse_count
from fasthep_parsl.resources.validation import Count, Duration, Memory, wrong_value
from fasthep_parsl.workflow.values import Line, Model, empty_mapping


class NodeShape(Model):
    """Resources of a node."""

    cpus: Count | None = Field(None, ge=1, description="cores, or hardware threads if the site counts those")
    memory: Memory | None = Field(None, ge=1, description="memory, bytes; `256GB`")
    gpus: Count = Field(0, ge=0, description="GPUs")
    disk: Memory | None = Field(None, ge=1, description="scratch disk, bytes")


class Queue(Model):
    """A queue of a batch system, and its nodes."""

    description: Line | None = Field(None, description="one line")
    node: Annotated[NodeShape, BeforeValidator(empty_mapping)] = Field(
        NodeShape(), description="resources of its nodes"
    )
    walltime: Duration | None = Field(None, description="longest walltime of a job, seconds; `48h`")
    default_walltime: Duration | None = Field(None, description="walltime for pools that set none, seconds")
    whole_nodes: bool = Field(False, description="whether a job always gets whole nodes")
    slot: Count = Field(
        8, ge=1, description="cores of a job on a shared node; few large jobs are better than many small ones"
    )
    memory_per_cpu: Memory | None = Field(
        None, ge=1, description="memory that comes with each core, bytes; more memory needs more cores"
    )
    min_nodes: Count = Field(1, ge=1, description="fewest nodes per job")
    max_nodes: Count | None = Field(None, ge=1, description="most nodes per job; default: `min_nodes`")
    max_blocks: Count | None = Field(None, ge=1, description="most jobs that a user may have in the queue")
    options: dict[str, Any] = Field(
        default_factory=dict, description="fields of the strategy for this queue, merged over those of `strategy`"
    )


def _ports(value: object) -> object:
    """Return a range of ports from `8786`, `10000-10100` or a list of two numbers."""
    parts = value if isinstance(value, list | tuple) else str(value).split("-")
    if isinstance(value, bool) or len(parts) not in {1, 2}:
        raise wrong_value(f"expected ports, got {describe(value)}", "write `8786`, or a range `10000-10100`")
    try:
        first, last = parse_count(str(parts[0]).strip()), parse_count(str(parts[-1]).strip())
    except UnitError:
        raise wrong_value(f"expected ports, got {describe(value)}", "write `8786`, or a range `10000-10100`") from None
    if not 0 < first <= last < 65536:
        raise wrong_value(
            f"`{first}-{last}` is not a range of ports", "ports are from 1 to 65535, the smaller one first"
        )
    return first, last


Ports = Annotated[tuple[int, int], BeforeValidator(_ports, json_schema_input_type=int | str | list[int])]
"""First and last port of a range."""


class Network(Model):
    """How workers connect to the driver."""

    address: Line | None = Field(None, description="name or address of the driver's machine as workers see it")
    interface: Line | None = Field(None, description="network interface with this address, `hsn0`")
    ports: Ports | None = Field(None, description="ports that workers may connect to, `8786` or `10000-10100`")


class Scaling(Model):
    """Number of blocks of a pool. A block is one job of the batch system."""

    min_blocks: Count = Field(0, ge=0, description="blocks to keep while the pool has work left")
    max_blocks: Count | None = Field(None, ge=1, description="most blocks of a pool")
    idle: Duration = Field(60.0, description="time after which a block without work is cancelled, seconds")
    start: Duration = Field(600.0, description="longest time from the start of a block to its first worker, seconds")
    poll: Duration = Field(30.0, description="time between two queries to the batch system, seconds")
    command_timeout: Duration = Field(60.0, description="longest time of its commands, seconds")
    submissions_per_minute: Count = Field(10, ge=1, description="most blocks that a pool submits per minute")
    failures_per_node: Count = Field(2, ge=1, description="number of failed blocks after which a node is avoided")
