"""Resources of a worker: cores, memory, GPUs, disk and walltime."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.resources.validation import Count, Duration, Memory

DEFAULT_MEMORY = 2_000_000_000
"""Default bytes per worker: what most sites have per core."""


class Resource(BaseModel):
    """Resources of one worker of a pool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: Count = Field(1, ge=1, description="cores per worker")
    memory: Memory = Field(DEFAULT_MEMORY, ge=1, description="memory per worker, bytes; `4GB`, `4GiB`")
    gpus: Count = Field(0, ge=0, description="GPUs per worker")
    disk: Memory | None = Field(None, description="scratch disk per worker, bytes; `20GB`")
    walltime: Duration | None = Field(None, description="longest life of a worker, seconds; `2h`")

    def __str__(self) -> str:
        parts = [f"{self.cpus} cpu" + ("s" if self.cpus > 1 else ""), format_memory(self.memory)]
        if self.gpus:
            parts.append(f"{self.gpus} gpu" + ("s" if self.gpus > 1 else ""))
        if self.disk is not None:
            parts.append(f"{format_memory(self.disk)} disk")
        if self.walltime is not None:
            parts.append(format_duration(self.walltime))
        return ", ".join(parts)
