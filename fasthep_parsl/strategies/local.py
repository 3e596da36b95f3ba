"""Strategy ``local``: workers are processes of this machine."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Local(BaseModel):
    """Workers on this machine: one block per pool, all of its workers in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    batch: ClassVar[bool] = False
