"""The contract of ops: what they declare, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fasthep_parsl.errors import Hint

if TYPE_CHECKING:
    from pydantic import BaseModel

Shape = tuple[str, ...]
"""Structure of a field: ``()`` is one value per event, ``("nMuon",)`` a list per event whose lengths are those
of the counter ``nMuon``. Two jagged fields match if their names match; ``"*"`` is unknown and matches all."""

UNKNOWN: Shape = ("*",)
"""A field of unknown structure."""

Schema = Mapping[str, Shape]
"""Name of a field → its structure, for all fields that a stream has."""

ParamPath = tuple[str | int, ...]
"""Where in an op's parameters something stands, e.g. ``("variables", 0, "expr")``."""


@dataclass(frozen=True, slots=True)
class OpProblem:
    """A mistake in an op's parameters.

    Attributes
    ----------
    path : tuple
        Where in the parameters it is.
    message : str
        What is wrong, one line, names in backticks.
    hint : str or Suggestion
        What to do.
    name : str
        The field or collection that does not exist, empty if the mistake is another.
    code : str
        ``E150`` if `name` is a field that does not exist (the compiler finds out why), else ``E151``.
    """

    path: ParamPath
    message: str
    hint: Hint = ""
    name: str = ""
    code: Literal["E150", "E151"] = "E151"


@dataclass(frozen=True, slots=True)
class Effects:
    """What an op does to a stream, found from its parameters and the stream's schema alone.

    Attributes
    ----------
    reads : mapping
        Field → where in the parameters it is named.
    writes : mapping
        New field → its structure.
    problems : tuple of OpProblem
        Everything that is wrong with the parameters on this schema.
    keeps_all : bool
        Whether every field of the stream may be needed (then nothing is pruned before this op).
    """

    reads: Mapping[str, ParamPath] = field(default_factory=dict)
    writes: Mapping[str, Shape] = field(default_factory=dict)
    problems: tuple[OpProblem, ...] = ()
    keeps_all: bool = False


Scope = Literal["partition", "dataset", "workflow"]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What an op may know of the dataset that its events come from."""

    name: str
    eventtype: str = "mc"
    group: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to an op that has a keyword ``context``.

    Attributes
    ----------
    stage : str
        Id of the stage.
    dataset : DatasetInfo
        Dataset of the events; scope ``workflow`` gets one without a name.
    datasets : tuple of DatasetInfo
        All datasets of the plan, in its order (for category axes).
    partition : str
        ``<dataset>-<number>``: a name that is unique in the plan (for output files).
    outdir : Path
        ``results/<StageId>`` of the run directory; exists if the op yields a product.
    """

    stage: str
    dataset: DatasetInfo
    datasets: tuple[DatasetInfo, ...]
    partition: str
    outdir: Path


@dataclass(frozen=True)
class Op:
    """An operation as the compiler and the workers see it; made by the decorator ``@op``.

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
        How often it runs: per slice of events, once per dataset, once.
    stream : bool
        Whether it yields a stream for later stages.
    product : str or None
        Name of its product (``hist``, ``cutflow``), None if it yields none.
    merge : callable or None
        ``(a, b) -> c``, associative; joins the products of two disjoint sets of events, those of `a` before those
        of `b`.
    per_partition : bool
        Whether it must see each partition alone (writers). Otherwise it may be given several adjacent
        partitions at once, so that ``f(a + b) == merge(f(a), f(b))`` must hold.
    takes_events, takes_context : bool
        Whether `call` has an argument for events, and a keyword ``context``.
    takes_model : bool
        Whether `call` receives the validated model as the keyword ``params``. Otherwise each field is a keyword.
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

    def keywords(self, params: BaseModel) -> dict[str, Any]:
        """Return the keywords that pass validated parameters to `call`."""
        if self.takes_model:
            return {"params": params}
        return {name: getattr(params, name) for name in self.params.model_fields}

    @property
    def built_in(self) -> bool:
        """Whether it is one of this package: those do not write to what they are given, nor to what they have returned."""
        return str(getattr(self.call, "__module__", "")).startswith("fasthep_parsl.")
