"""The plan of a run: frozen plain data with a schema version and a hash.

Nothing starts before the plan exists, and nothing is decided after it. Workers, ``plan --json``, resume and the report
read it.
"""

from fasthep_parsl.plan.inputs import (
    EventType,
    PlanDataset,
    PlanDefault,
    PlanFile,
    PlanSource,
    PlanStorage,
    dataset_facts,
)
from fasthep_parsl.plan.joins import Mismatch, PlanJoin
from fasthep_parsl.plan.normalisation import SUMS, PlanNormalisation, PlanSum, SumMethod, cancelled
from fasthep_parsl.plan.parameter_files import FileUse, PlanParameterFile
from fasthep_parsl.plan.plan import SCHEMA_VERSION, Plan, extent_of
from fasthep_parsl.plan.pools import (
    BatchCredentialKind,
    ContainerRuntime,
    PlanBatchCredential,
    PlanBlock,
    PlanContainer,
    PlanCredential,
    PlanEnvironment,
    PlanNetwork,
    PlanPool,
    PlanScaling,
)
from fasthep_parsl.plan.stages import Binding, PlanCode, PlanModifier, PlanModule, PlanSegment, PlanStage
from fasthep_parsl.plan.styles import PlanPicture, PlotStyle
from fasthep_parsl.plan.templates import PlanChannel, PlanRate, PlanSample, PlanTemplates, PlanTerm, TemplateFormat
from fasthep_parsl.plan.variations import Direction, PlanVariation, PlanWeight, substitutes

__all__ = [
    "SCHEMA_VERSION",
    "SUMS",
    "BatchCredentialKind",
    "Binding",
    "ContainerRuntime",
    "Direction",
    "EventType",
    "FileUse",
    "Mismatch",
    "Plan",
    "PlanBatchCredential",
    "PlanBlock",
    "PlanChannel",
    "PlanCode",
    "PlanContainer",
    "PlanCredential",
    "PlanDataset",
    "PlanDefault",
    "PlanEnvironment",
    "PlanFile",
    "PlanJoin",
    "PlanModifier",
    "PlanModule",
    "PlanNetwork",
    "PlanNormalisation",
    "PlanParameterFile",
    "PlanPicture",
    "PlanPool",
    "PlanRate",
    "PlanSample",
    "PlanScaling",
    "PlanSegment",
    "PlanSource",
    "PlanStage",
    "PlanStorage",
    "PlanSum",
    "PlanTemplates",
    "PlanTerm",
    "PlanVariation",
    "PlanWeight",
    "PlotStyle",
    "SumMethod",
    "TemplateFormat",
    "cancelled",
    "dataset_facts",
    "extent_of",
    "substitutes",
]
