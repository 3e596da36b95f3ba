"""Models of a workflow file: datasets, sources and fields, in FAST-HEP's vocabulary."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from fasthep_parsl.plan import EventType
from fasthep_parsl.resources.validation import Count, wrong_value
from fasthep_parsl.workflow.conditions import Condition
from fasthep_parsl.workflow.join_model import FilesBeside
from fasthep_parsl.workflow.json_schema import SOURCE_KEYS, of_sources
from fasthep_parsl.workflow.normalisation_model import (
    LUMINOSITY,
    SUM_OF_WEIGHTS,
    CrossSection,
    Luminosities,
    SumOfWeightsOf,
)
from fasthep_parsl.workflow.storage_model import InputFiles
from fasthep_parsl.workflow.values import Line, Model, Reference, empty_list, empty_mapping


def _only_tree(value: object) -> object:
    """Accept a list of one tree, as fast-curator writes it."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    if isinstance(value, list | tuple):
        raise wrong_value("expected the name of one tree, got a list", "write one dataset per tree")
    return value


Tree = Annotated[Line, BeforeValidator(_only_tree, json_schema_input_type=str | list[str])]


class Dataset(Model):
    """A set of files with the same facts."""

    # the loader moves unknown keys to `meta`, as fasthep-flow does
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    name: Line = Field(description="unique name; names of catalogues are valid: `/SingleMuon/Run2018A-UL/NANOAOD`")
    files: InputFiles = Field(
        description="paths, globs (relative to this file), URLs (`root://…`), logical names (`lfn:/store/…`); `{any: […]}`"
        " is one file in several places"
    )
    nevents: Count | None = Field(None, ge=0, description="number of events in all files; checked")
    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    group: Line | None = Field(None, description="label for plots")
    era: Line | None = Field(None, description="period of data taking, such as `2018` or `2016preVFP`; text")
    tree: Tree | None = Field(None, description="name of its tree; default: that of the source")
    xsec: CrossSection | None = Field(
        None, description="cross-section: a number of pb, or `6.2 nb`; also `dataset.xsec`"
    )
    sum_of_weights: SumOfWeightsOf | None = Field(None, description="as in `data`, for this dataset")
    meta: dict[str, Any] = Field(default_factory=dict, description="facts for ops, e.g. `xsec` in pb")


class DataDefaults(Model):
    """Defaults for all datasets."""

    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    group: Line | None = Field(None, description="label for plots")
    era: Line | None = Field(None, description="period of data taking")
    tree: Tree | None = Field(None, description="name of the tree; default: that of the source")
    meta: dict[str, Any] = Field(default_factory=dict, description="as in a dataset")


class Data(Model):
    """The input."""

    defaults: Annotated[DataDefaults, BeforeValidator(empty_mapping)] = Field(
        DataDefaults(), description="defaults for all datasets"
    )
    datasets: Annotated[tuple[Dataset, ...], BeforeValidator(empty_list)] = Field((), description="the datasets")
    luminosity: Luminosities | None = Field(None, description=LUMINOSITY)
    sum_of_weights: SumOfWeightsOf | None = Field(None, description=SUM_OF_WEIGHTS)


def _with_params(value: object) -> object:
    """Collect the fields that belong to the kind of source in `params`."""
    if not isinstance(value, dict):
        return value
    own = {key: item for key, item in value.items() if key in SOURCE_KEYS}
    return {**own, "params": {key: item for key, item in value.items() if key not in SOURCE_KEYS}}


class SourceSpec(Model):
    """How events are read from the files: a kind of source, and next to it the fields of this kind."""

    model_config = ConfigDict(json_schema_extra=of_sources)

    kind: Line = Field("root_tree", description="name of the input format")
    stream_type: Line = Field("event_stream", description="for fasthep-flow; ignored")
    files: FilesBeside | None = Field(
        None,
        description="of a source that `joins` adds: its file for each file of the datasets, relative to the folder of that"
        " file; `{name}` is the name of that file, `{stem}` without suffix, `{folder}` its folder, `{dataset}` its dataset; default: the same file",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="all other keys are fields of the kind")

    @property
    def tree(self) -> str:
        """Name of the tree, empty if there is none."""
        tree = self.params.get("tree")
        return tree.strip() if isinstance(tree, str) else ""


SourceOf = Annotated[SourceSpec, BeforeValidator(_with_params, json_schema_input_type=SourceSpec)]


def _how_many(value: object) -> str:
    """Tell one branch from a mapping of branches."""
    return "<each>" if isinstance(value, dict) else "<one>"


BranchOf = Annotated[
    Annotated[Line, Tag("<one>")] | Annotated[dict[Line, Line], Tag("<each>")], Discriminator(_how_many)
]


class FieldSpec(Model):
    """A field: another name for a branch."""

    branch: BranchOf = Field(
        description="name of the branch in the file; or era or name of a dataset → branch: `{2016: MET_pt, 2023:"
        " PuppiMET_pt}`. The name of a dataset is looked up first"
    )
    applies_to: Condition = Field(
        None, description="datasets that have the field; for the others it is `default`, or there is no such field"
    )
    stream: Reference | None = Field(None, description="name of the source or join; default: the only one")
    default: bool | int | float | str | None = Field(
        None,
        description="value per event in files that lack the branch, e.g. `1` for a weight that data do not have; in the"
        " type that the branch has in the others. With `applies_to`: only for datasets to which the field does not apply",
    )


def _branch(value: object) -> object:
    return {"branch": value} if isinstance(value, str) else value


FieldOf = Annotated[FieldSpec, BeforeValidator(_branch, json_schema_input_type=FieldSpec | str)]
