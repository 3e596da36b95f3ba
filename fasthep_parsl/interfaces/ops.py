"""The contract of ops: what an op declares, and what its function receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fasthep_parsl.errors import Hint
from fasthep_parsl.plan import Direction, PlanWeight, dataset_facts

if TYPE_CHECKING:
    from pydantic import BaseModel

Shape = tuple[str, ...]
"""Structure of a field. ``()`` is one value per event. ``("nMuon",)`` is a list per event, as long as the value of
the counter ``nMuon``. Two jagged fields match if these names match; ``"*"`` is unknown and matches everything."""

UNKNOWN: Shape = ("*",)
"""A field of unknown structure."""

Schema = Mapping[str, Shape]
"""Field → structure, for all fields of a stream."""

ParamPath = tuple[str | int, ...]
"""Path of a value in an op's parameters, e.g. ``("variables", 0, "expr")``."""


@dataclass(frozen=True, slots=True)
class OpProblem:
    """A mistake in an op's parameters.

    Attributes
    ----------
    path : tuple
        Its place in the parameters.
    message : str
        What is wrong, one line, names in backticks.
    hint : str or Suggestion
        What to do.
    name : str
        The field or collection that does not exist; empty for other mistakes.
    code : str
        ``E150`` if `name` is a field that does not exist (the compiler finds out why), ``E113`` for a file that cannot be
        used, ``E155`` for a correction or a model that does not fit, otherwise ``E151``.
    """

    path: ParamPath
    message: str
    hint: Hint = ""
    name: str = ""
    code: Literal["E113", "E150", "E151", "E155"] = "E151"


@dataclass(frozen=True, slots=True)
class Variation:
    """A systematic variation.

    Attributes
    ----------
    name : str
        Unique name. Equal names in several stages are one variation: everything varies together.
    group : str
        Name of the nuisance parameter.
    direction : "up", "down" or ""
        Direction; empty if it has no opposite.
    """

    name: str
    group: str = ""
    direction: Direction = ""


def variant(field: str, variation: str) -> str:
    """Return the column with the value of a field in a variation. Expressions and workflows cannot name it."""
    return f"{field}@{variation}" if variation else field


@dataclass(frozen=True, slots=True)
class Effects:
    """What an op reads and writes, derived from its parameters and the schema of the stream.

    Attributes
    ----------
    reads : mapping
        Field → path of the parameter that names it.
    writes : mapping
        New field → structure.
    problems : tuple of OpProblem
        All mistakes in the parameters on this schema.
    keeps_all : bool
        Whether the op may need every field of the stream. Then no field is dropped before it.
    keeps_events : bool
        Whether its stream has the same events in the same order: it only adds fields.
    sources : mapping
        Field in `writes` → fields in `reads` that it is computed from. Default: all of them.
    weights : frozenset of str or None
        Fields in `reads` that only enter the weight; None if the op cannot fill variations of its weight in one call.
    variants : mapping
        Field in `writes` → variation → column in `writes` with its value in this variation, named by `variant`.
    variations : tuple of Variation
        The variations in `variants`.
    """

    reads: Mapping[str, ParamPath] = field(default_factory=dict)
    writes: Mapping[str, Shape] = field(default_factory=dict)
    problems: tuple[OpProblem, ...] = ()
    keeps_all: bool = False
    keeps_events: bool = False
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    weights: frozenset[str] | None = None
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    variations: tuple[Variation, ...] = ()


Scope = Literal["partition", "dataset", "workflow"]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset as ops see it."""

    name: str
    eventtype: str = "mc"
    group: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    era: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All facts by the key that ``dataset.<key>`` has: its own, and those in `meta`."""
        return dataset_facts(self.name, self.eventtype, self.group, self.meta, self.era)


@dataclass(frozen=True, slots=True)
class Context:
    """What the keyword ``context`` of an op receives.

    Attributes
    ----------
    stage : str
        Id of the stage.
    dataset : DatasetInfo
        Dataset of the events; without a name for scope ``workflow``.
    datasets : tuple of DatasetInfo
        All datasets of the plan, in its order.
    partition : str
        ``<dataset>-<number>``, unique in the plan. Use it in names of output files.
    outdir : Path
        ``results/<StageId>`` in the run directory. It exists if the op yields a product.
    variation : str
        Systematic variation of this call; empty: nominal.
    weights : tuple of PlanWeight
        Variations of the weight to fill in this call, besides the nominal one.
    apart : bool
        Whether a histogram must keep datasets apart.
    cpus, gpus : int
        CPUs and GPUs of the worker: of the pool of the stage.
    """

    stage: str
    dataset: DatasetInfo
    datasets: tuple[DatasetInfo, ...]
    partition: str
    outdir: Path
    variation: str = ""
    weights: tuple[PlanWeight, ...] = ()
    apart: bool = False
    cpus: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class Op:
    """An operation, as the decorator ``@op`` declares it.

    Attributes
    ----------
    name : str
        ``hep.define``, ``custom.train`` …
    call : callable
        ``f([events, ]*, <parameters>[, context]) -> Events | dict of columns | product | (stream, product)``.
        With scope ``dataset`` or ``workflow`` the first argument is an iterable of `Events`, one per chunk of the
        stream. A function that reads no stream does not have it.
    params : type of BaseModel
        Model that validates the parameters (``extra="forbid"``).
    analyse : callable
        ``(params, schema) -> Effects``. Pure and light: must not import awkward.
    scope : "partition", "dataset" or "workflow"
        How often it runs: per partition, once per dataset, or once.
    stream : bool
        Whether later stages can read its stream.
    product : str or None
        Name of its product (``hist``, ``cutflow``); None without a product.
    merge : callable or None
        ``(a, b) -> c``, associative. Merges the products of two disjoint sets of events; those of `a` come before
        those of `b`.
    per_partition : bool
        Whether it must receive each partition alone, as writers do. Otherwise it may receive several adjacent
        partitions at once, and ``f(a + b) == merge(f(a), f(b))`` must be true.
    takes_events, takes_context : bool
        Whether `call` has an argument for events, and a keyword ``context``.
    takes_model : bool
        Whether `call` receives the validated model as the keyword ``params``. Otherwise each field is a keyword.
    packages : callable or None
        ``(params) -> names`` of modules that `call` imports when it runs. Their versions are part of the plan.
    keeps_events : bool
        Whether its stream always has the same events in the same order. Then systematic variations of what it reads are
        columns of the same stream; see `Effects`.
    """

    name: str
    call: Callable[..., Any]
    params: type[BaseModel]
    analyse: Callable[[Any, Schema], Effects]
    scope: Scope = "partition"
    stream: bool = True
    product: str | None = None
    merge: Callable[[Any, Any], Any] | None = None
    per_partition: bool = False
    takes_events: bool = True
    takes_context: bool = False
    takes_model: bool = False
    packages: Callable[[Any], tuple[str, ...]] | None = None
    keeps_events: bool = False

    def keywords(self, params: BaseModel) -> dict[str, Any]:
        """Return the keywords that pass validated parameters to `call`."""
        if self.takes_model:
            return {"params": params}
        return {name: getattr(params, name) for name in self.params.model_fields}

    @property
    def built_in(self) -> bool:
        """Whether it is part of this package. Built-in ops never write to columns that they received or returned."""
        return str(getattr(self.call, "__module__", "")).startswith("fasthep_parsl.")

    @property
    def foreign(self) -> bool:
        """Whether it runs code of other packages, which may print or warn."""
        return not self.built_in or self.packages is not None
