"""The workflow file as frozen values, in FAST-HEP's vocabulary."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from fasthep_parsl.errors import suggest
from fasthep_parsl.plan import EventType
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import UnitError, describe, parse_count
from fasthep_parsl.resources.validation import Count, Duration, wrong_value
from fasthep_parsl.workflow.facility import Network, Queue, Scaling
from fasthep_parsl.workflow.json_schema import SOURCE_KEYS, of_sources
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, References, Texts, empty_list, empty_mapping


def _only_tree(value: object) -> object:
    """Accept a list of one tree, as fast-curator writes it."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    if isinstance(value, list | tuple):
        raise wrong_value("expected the name of one tree, got a list", "make a dataset of each tree")
    return value


Tree = Annotated[Line, BeforeValidator(_only_tree, json_schema_input_type=str | list[str])]


class Use(Model):
    """What the workflow brings along."""

    modules: Texts = Field((), description="Python files with analysis code, relative to the workflow file")
    files: Texts = Field(
        (), description="files and folders with data that the analysis code reads, relative to this file"
    )
    profiles: Texts = Field((), description="profiles of fasthep-flow; not read here")


class Dataset(Model):
    """A set of files that belong together."""

    # the loader moves unknown keys to `meta`, as fasthep-flow does
    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    name: Line = Field(description="unique name, as catalogues have them too: `/SingleMuon/Run2018A-UL/NANOAOD`")
    files: Texts = Field(description="paths, globs (relative to this file) or URLs (`root://…`)")
    nevents: Count | None = Field(None, ge=0, description="number of events in all files; checked")
    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    group: Line | None = Field(None, description="label for plots")
    tree: Tree | None = Field(None, description="name of its tree; default: that of the source")
    meta: dict[str, Any] = Field(default_factory=dict, description="anything that ops may use, e.g. `xsec` in pb")


class DataDefaults(Model):
    """What holds for all datasets that do not say otherwise."""

    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    group: Line | None = Field(None, description="label for plots")
    tree: Tree | None = Field(None, description="name of the tree; default: that of the source")
    meta: dict[str, Any] = Field(default_factory=dict, description="as in a dataset")


class Data(Model):
    """The input."""

    defaults: Annotated[DataDefaults, BeforeValidator(empty_mapping)] = Field(
        DataDefaults(), description="defaults for all datasets"
    )
    datasets: Annotated[tuple[Dataset, ...], BeforeValidator(empty_list)] = Field((), description="the datasets")


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
    stream_type: Line = Field("event_stream", description="kept for fasthep-flow")
    params: dict[str, Any] = Field(default_factory=dict, description="all other keys: the fields of the kind")

    @property
    def tree(self) -> str:
        """Name of the tree, empty if there is none."""
        tree = self.params.get("tree")
        return tree.strip() if isinstance(tree, str) else ""


SourceOf = Annotated[SourceSpec, BeforeValidator(_with_params, json_schema_input_type=SourceSpec)]


def _branch(value: object) -> object:
    return {"branch": value} if isinstance(value, str) else value


class FieldSpec(Model):
    """Another name for a branch."""

    branch: Line = Field(description="name of the branch in the file")
    stream: Reference | None = Field(None, description="name of the source; default: the only one")
    default: bool | int | float | str | None = Field(
        None,
        description="value per event in files that lack the branch, e.g. `1` for a weight that data do not have; in the"
        " type that the branch has in the others",
    )


class Input(Model):
    """A product of another stage, bound to a parameter of the op."""

    node: Reference = Field(description="id of the stage")
    port: Line = Field(description="name of its product, e.g. `hist`")
    to: Line = Field(alias="as", description="parameter of this stage's op")


def _kind(value: object) -> object:
    """Turn a name, or a mapping with `kind:` and its fields, into kind and params."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and "kind" in value:
        return {"kind": value["kind"], "params": {key: item for key, item in value.items() if key != "kind"}}
    if isinstance(value, dict) and not value:
        raise wrong_value("expected a name, or a mapping with `kind:`, got an empty mapping")
    if isinstance(value, dict):
        for key in map(str, value):
            hint = suggest(key, ["kind"])
            if hint.close:
                raise wrong_value(f"unknown key `{key}`", hint, name=key)
        raise wrong_value("`kind` is missing", "write its name, or `{kind: name, …}` with its fields")
    raise wrong_value(f"expected a name, or a mapping with `kind:`, got {describe(value)}")


class Kind(Model):
    """Something that has variants: its name, or a mapping with ``kind:`` and its fields."""

    kind: Line = Field(description="name of the variant")
    params: dict[str, Any] = Field(default_factory=dict, description="its fields; checked by the variant itself")


def _modifier(value: object) -> object:
    """Accept upstream's ``{name, params}`` too."""
    if isinstance(value, dict) and "name" in value and "kind" not in value:
        extra = sorted(set(value) - {"name", "params"})
        if extra:
            raise wrong_value(f"unknown key `{extra[0]}` in a modifier", "allowed: name, params; or `{kind: name, …}`")
        params = value.get("params") or {}
        if not isinstance(params, dict):
            raise wrong_value(f"`params` of a modifier must be a mapping, got {describe(params)}")
        return {"kind": value["name"], "params": params}
    return _kind(value)


KindOf = Annotated[Kind, BeforeValidator(_kind, json_schema_input_type=str | dict[str, Any])]
ModifierOf = Annotated[Kind, BeforeValidator(_modifier, json_schema_input_type=str | dict[str, Any])]


class StageExecution(Model):
    """What a stage needs, by label."""

    require: Reference | None = Field(None, description="label of a pool or resource class that it cannot do without")
    prefer: Reference | None = Field(None, description="label that is used if such a pool exists")
    fallback: Reference | None = Field(None, description="label that is used otherwise")
    timeout: Duration | None = Field(None, description="longest time per task, seconds; `30m`")
    modifiers: Annotated[tuple[ModifierOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="change how the op is called"
    )


def _id_is_optional(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name != "id"]


class Stage(Model):
    """One step of the analysis."""

    model_config = ConfigDict(json_schema_extra=_id_is_optional)  # the loader fills it in

    id: Name = Field(description="unique name, also of a folder; default: the last word of the op and its number")
    op: Line = Field(description="name of the operation, e.g. `hep.hist`")
    params: Annotated[dict[str, Any], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict, description="parameters of the op"
    )
    needs: References | None = Field(
        None, description="stages before this one; default: the last with a stream; `[]`: none"
    )
    inputs: Annotated[tuple[Input, ...], BeforeValidator(empty_list)] = Field(
        (), alias="from", description="products of other stages"
    )
    execution: Annotated[StageExecution, BeforeValidator(empty_mapping)] = Field(
        StageExecution(), description="labels, timeout, modifiers"
    )


class Analysis(Model):
    """What is computed."""

    stages: Annotated[tuple[Stage, ...], BeforeValidator(empty_list)] = Field((), description="in the order of work")


def _workers(value: object) -> int | None:
    if value == "auto" or value is None:
        return None
    try:
        return parse_count(value)
    except UnitError as error:
        raise wrong_value(error.message, "a number of workers, or `auto` for as many as fit") from None


def _how(value: object) -> str | None:
    """Tell the two spellings of a pool's resources apart."""
    return "<quantities>" if isinstance(value, dict | Resource) else "<class>"


ClassOrQuantities = Annotated[
    Annotated[Reference, Tag("<class>")] | Annotated[Resource, Tag("<quantities>")], Discriminator(_how)
]


class PoolSpec(Model):
    """A group of workers."""

    workers: Annotated[int | None, BeforeValidator(_workers, json_schema_input_type=int | Literal["auto"] | None)] = (
        Field(None, ge=1, description="number of workers; `auto`: as many as fit, in a batch system into two jobs")
    )
    resources: ClassOrQuantities = Field(
        Resource(), description="quantities per worker, or the name of a class in `execution.resources`"
    )
    workers_per_gpu: Count = Field(
        1, ge=1, description="workers that share a GPU, or the GPUs that `resources` gives one"
    )
    modifiers: Annotated[tuple[ModifierOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="change how ops are called on its workers; outside of those of the stages"
    )
    queue: Reference | None = Field(None, description="queue of the site; default: the first whose nodes fit")


class Execution(Model):
    """How and where it is computed."""

    backend: KindOf = Field(Kind(kind="parsl"), description="who executes tasks")
    strategy: KindOf = Field(Kind(kind="local"), description="who creates workers")
    pools: dict[Name, PoolSpec] = Field(default_factory=dict, description="groups of workers")
    resources: dict[Reference, Resource] = Field(default_factory=dict, description="resource classes")
    environment: KindOf | None = Field(None, description="the software of workers")
    credentials: Annotated[tuple[KindOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="proxies and tokens that workers need"
    )
    chunk_size: Count | None = Field(None, ge=1, description="most events per partition; default: chosen for memory")
    queues: dict[Reference, Queue] = Field(
        default_factory=dict, description="queues of the site and the nodes behind them"
    )
    network: Annotated[Network, BeforeValidator(empty_mapping)] = Field(
        Network(), description="how workers reach the driver"
    )
    scaling: Annotated[Scaling, BeforeValidator(empty_mapping)] = Field(
        Scaling(), description="how many blocks there are, and when"
    )
    worker_init: Texts = Field((), description="shell lines that run on each node before its workers start")
    scratch: Line | None = Field(None, description="folder on the disk of a node, `$TMPDIR`; expanded there")
    shared_filesystem: bool = Field(True, description="whether workers see the run directory; else files are sent")
    shared_folders: Texts = Field((), description="folders that workers see where they do not see all, `/cvmfs`")


def _version(value: object) -> object:
    if str(value) in {"1", "1.0"} and not isinstance(value, bool):
        return "1.0"
    raise wrong_value(f"expected version `1.0`, got {describe(value)}", "this package reads version 1.0 of the format")


def _with_include(schema: dict[str, Any]) -> None:
    schema["properties"]["include"] = {
        "description": "other files, relative to this one; read first, so that this one is over them",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }


class Workflow(Model):
    """A workflow file."""

    model_config = ConfigDict(json_schema_extra=_with_include)  # the loader follows it

    version: Annotated[Literal["1.0"], BeforeValidator(_version, json_schema_input_type=Literal["1.0"] | float)] = (
        Field("1.0", description="version of the format")
    )
    use: Annotated[Use, BeforeValidator(empty_mapping)] = Field(Use(), description="analysis code")
    data: Data = Field(description="the input")
    sources: dict[Reference, SourceOf] = Field(min_length=1, description="how events are read; exactly one")
    fields: dict[Line, Annotated[FieldSpec, BeforeValidator(_branch, json_schema_input_type=FieldSpec | str)]] = Field(
        default_factory=dict, description="other names for branches"
    )
    primary_stream: Reference | None = Field(None, description="name of the source, as fasthep-flow writes it")
    analysis: Analysis = Field(description="what is computed")
    execution: Execution = Field(Execution(), description="how and where it is computed")

    def tree_of(self, dataset: Dataset) -> str | None:
        """Return the tree that a dataset or the defaults name, None if it is that of the source."""
        return dataset.tree or self.data.defaults.tree

    @property
    def source_name(self) -> str:
        """Name of the only source."""
        return next(iter(self.sources))
