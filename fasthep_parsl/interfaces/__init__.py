"""The contracts of all plug-ins: what to write for a new kind. One module per group of kinds.

A kind is one file and one entry point in ``pyproject.toml``. Values that cross a layer are frozen. Objects with a
lifetime are context managers.

- `ops`: what a stage computes
- `modifiers`: how an op is called
- `sources`: input formats
- `workers`: strategies, environments and credentials
- `batch`: strategies for batch systems
- `scheduler_commands`: the commands of a batch system
- `discovery`: how `sites init` finds batch systems
- `backends`: backends and their sessions
"""

from fasthep_parsl.interfaces.backends import Backend, Session
from fasthep_parsl.interfaces.batch import (
    BatchStrategy,
    BlockLocation,
    ContainerRefusal,
    Script,
)
from fasthep_parsl.interfaces.discovery import Discovery
from fasthep_parsl.interfaces.file_parameters import FileLookup, InputFile, InputFolder
from fasthep_parsl.interfaces.modifiers import READ, Call, Modifier, Note, Reading
from fasthep_parsl.interfaces.ops import (
    UNKNOWN,
    Context,
    DatasetInfo,
    Effects,
    Op,
    OpProblem,
    ParamPath,
    Schema,
    Scope,
    Shape,
    Variation,
    variant,
)
from fasthep_parsl.interfaces.region_parameters import RegionNames, parameter_of_regions, region_names
from fasthep_parsl.interfaces.scheduler_commands import CommandResult, Job, JobState, NodeGroup, SchedulerCommands
from fasthep_parsl.interfaces.sources import TEXT, Branch, Branches, InputFault, InputFileError, OpenInput, Source
from fasthep_parsl.interfaces.workers import (
    FILES,
    OTHER_PROTOCOLS,
    PREFIX,
    SECRETS,
    Credential,
    Environment,
    Inspection,
    Renewal,
    Strategy,
    WorkerSetup,
)

__all__ = [
    "FILES",
    "OTHER_PROTOCOLS",
    "PREFIX",
    "READ",
    "SECRETS",
    "TEXT",
    "UNKNOWN",
    "Backend",
    "BatchStrategy",
    "BlockLocation",
    "Branch",
    "Branches",
    "Call",
    "CommandResult",
    "ContainerRefusal",
    "Context",
    "Credential",
    "DatasetInfo",
    "Discovery",
    "Effects",
    "Environment",
    "FileLookup",
    "InputFault",
    "InputFile",
    "InputFileError",
    "InputFolder",
    "Inspection",
    "Job",
    "JobState",
    "Modifier",
    "NodeGroup",
    "Note",
    "Op",
    "OpProblem",
    "OpenInput",
    "ParamPath",
    "Reading",
    "RegionNames",
    "Renewal",
    "SchedulerCommands",
    "Schema",
    "Scope",
    "Script",
    "Session",
    "Shape",
    "Source",
    "Strategy",
    "Variation",
    "WorkerSetup",
    "parameter_of_regions",
    "region_names",
    "variant",
]
