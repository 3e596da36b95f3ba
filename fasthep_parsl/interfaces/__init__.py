"""The contracts of everything that has variants: a page for each, read it to write a new kind.

A kind is one file plus one entry-point line in ``pyproject.toml``. Values that cross a layer are frozen;
what has a lifetime is a context manager. Nothing here does anything.

- `ops`: what a stage computes;
- `modifiers`: how that is called;
- `workers`: strategies, environments and credentials;
- `execution`: backends and their sessions.
"""

from fasthep_parsl.interfaces.execution import Backend, Session
from fasthep_parsl.interfaces.modifiers import READ, Call, Modifier, Note, Reading
from fasthep_parsl.interfaces.ops import Context, DatasetInfo, Effects, Op, OpProblem, ParamPath, Schema, Scope, Shape
from fasthep_parsl.interfaces.workers import (
    BatchStrategy,
    BlockLocation,
    Credential,
    Environment,
    Script,
    Strategy,
    WorkerSetup,
)

__all__ = [
    "READ",
    "Backend",
    "BatchStrategy",
    "BlockLocation",
    "Call",
    "Context",
    "Credential",
    "DatasetInfo",
    "Effects",
    "Environment",
    "Modifier",
    "Note",
    "Op",
    "OpProblem",
    "ParamPath",
    "Reading",
    "Schema",
    "Scope",
    "Script",
    "Session",
    "Shape",
    "Strategy",
    "WorkerSetup",
]
