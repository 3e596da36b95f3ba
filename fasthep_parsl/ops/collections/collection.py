"""Collections: fields with a common prefix, ``Muon_pt``, ``Muon_eta`` …, as one list of objects per event.

Before the run a collection consists of names and structures. At run time it consists of flat arrays and offsets, which
are faster than awkward records.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from fasthep_parsl.errors import OpError, suggest
from fasthep_parsl.interfaces import UNKNOWN, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.dtypes import as_expression_type, promote
from fasthep_parsl.ops.columns.gather import type_of
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, same_offsets

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of a field or collection."""


class Params(BaseModel):
    """Base of the parameters of ops: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- before the run ---------------------------------------------------------------------------------------


def matches(a: Shape, b: Shape) -> bool:
    """Whether fields with structures `a` and `b` can belong to the same collection."""
    return a == b or UNKNOWN in (a, b)


def structure_of(schema: Schema, field: str) -> Shape:
    """Return the structure of `field`; unknown if it has its own counter, as uproot writes jagged branches by default."""
    shape = schema.get(field, UNKNOWN)
    return UNKNOWN if shape == (f"n{field}",) else shape


def collection_shape(schema: Schema, name: str) -> Shape | None:
    """Return the structure of the objects of collection `name`, or None if it does not exist."""
    shapes = [structure_of(schema, field) for field, shape in schema.items() if field.startswith(f"{name}_") and shape]
    if (f"n{name}",) in shapes:
        return (f"n{name}",)
    return shapes[0] if shapes else None


def collection_fields(schema: Schema, name: str) -> list[str]:
    """Return the fields of collection `name` without the prefix, in the order of the schema."""
    shape = collection_shape(schema, name)
    if shape is None:
        return []
    prefix = f"{name}_"
    return [
        field.removeprefix(prefix)
        for field, its in schema.items()
        if field.startswith(prefix)
        and its
        and matches(structure_of(schema, field), shape)
        and (shape != UNKNOWN or owner_of(field, schema) in (None, name))
    ]


def unknown_collection(schema: Schema, name: str, path: ParamPath) -> list[OpProblem]:
    """Return a problem if collection `name` does not exist."""
    if collection_shape(schema, name) is not None:
        return []
    known = {field.split("_")[0] for field, shape in schema.items() if shape and "_" in field}
    known |= {field[1:] for field in schema if field[:1] == "n" and collection_shape(schema, field[1:])}
    return [OpProblem(path, f"no collection `{name}`", suggest(name, known, what="collections"), name)]


def reference_field(fields: Sequence[str]) -> str:
    """Return the field to read if only the structure of a collection is needed."""
    return next((field for field in ("pt", "eta") if field in fields), fields[0])


def existing_fields(schema: Schema, writes: Iterable[str], path: ParamPath) -> list[OpProblem]:
    """Return a problem if some of `writes` exist already."""
    taken = [field for field in writes if field in schema]
    if not taken:
        return []
    more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    return [OpProblem(path, f"field `{taken[0]}`{more} already exists", "choose another name")]


# --- at run time ------------------------------------------------------------------------------------------


def flatten(column: Any, name: str = "column") -> tuple[Any, Any]:
    """Return ``(offsets, content)`` of a jagged column.

    Returns
    -------
    offsets : array of int64, shape (events + 1,)
        Starts at 0.
    content : numpy array, or awkward array if values can be missing or are not numbers; shape (objects,)

    Raises
    ------
    OpError
        The column is not jagged.
    """
    value = from_column(column) if isinstance(column, ak.Array) else column
    if not isinstance(value, Jagged):
        raise OpError(f"`{name}` has one value per event, but a list of objects per event is needed")
    return value.offsets, to_awkward(value.content)


def unflatten(offsets: Any, content: Any) -> Any:
    """Return the jagged awkward array with the given `offsets` and flat `content`."""
    layout = content.layout if isinstance(content, ak.Array) else ak.contents.NumpyArray(content)
    if device.on_gpu(offsets):
        device.mark_normalised(offsets)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), layout))


def offsets_of(counts: Any) -> Any:
    """Return offsets (int64, shape (events + 1,)) of lists of length `counts`."""
    return device.offsets_of(counts)


def apply_mask(offsets: Any, mask: Any) -> tuple[Any, Any]:
    """Return the offsets and positions ``(offsets, rows)`` of the objects for which `mask` is true."""
    if device.on_gpu(mask):
        device.count_wait()
        return device.cumulative_count(mask)[offsets].astype(np.int64), np.flatnonzero(mask)
    before = np.zeros(len(mask) + 1, dtype=np.int64)
    np.cumsum(mask, out=before[1:])
    return before[offsets], np.flatnonzero(mask)


def schema_at_run_time(events: Mapping[str, Any], collections: Iterable[str]) -> dict[str, Shape]:
    """Return the fields of `collections` among the columns of `events`, with unknown structure.

    If ``nJet_good`` exists, ``Jet_good_pt`` belongs to ``Jet_good``, not to ``Jet``.
    """
    return {
        field: UNKNOWN
        for name in collections
        for field in events
        if field.startswith(f"{name}_")
        and owner_of(field, events) in (None, name)
        and isinstance(events[field], ak.Array)
        and events[field].ndim > 1
    }


def fields_at_run_time(events: Mapping[str, Any], name: str) -> list[str]:
    """Return the fields of collection `name` among the columns of `events` without the prefix."""
    return collection_fields(schema_at_run_time(events, [name]), name)


def owner_of(field: str, names: Container[str]) -> str | None:
    """Return the longest prefix ``X`` of ``X_…`` for which `names` has the counter ``nX`` but no field ``X``."""
    parts = field.split("_")
    prefixes = ("_".join(parts[:i]) for i in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if f"n{prefix}" in names and prefix not in names), None)


class Collection:
    """The objects of one collection in a slice of events.

    Parameters
    ----------
    events : mapping of str to column
        The events.
    name : str
        Prefix of its fields.
    reference : str
        An existing field, from which the structure is read.
    constants : mapping
        Field → constant that replaces the values in the events.

    Attributes
    ----------
    offsets : array of int64, shape (events + 1,)
        Start and end of each event's objects in flat columns.
    """

    def __init__(
        self, events: Mapping[str, Any], name: str, reference: str, constants: Mapping[str, float] | None = None
    ) -> None:
        self.name = name
        self._events = events
        self._constants = constants or {}
        self.offsets, values = flatten(events[f"{name}_{reference}"], f"{name}_{reference}")
        self._columns = {} if reference in self._constants else {reference: values}
        self._reference = reference

    def __contains__(self, field: str) -> bool:
        return field in self._columns or field in self._constants or f"{self.name}_{field}" in self._events

    def column(self, field: str) -> Any:
        """Return a field of all objects, flat, shape (objects,)."""
        if field not in self._columns:
            self._columns[field] = self._read(field)
        return self._columns[field]

    def _read(self, field: str) -> Any:
        if field in self._constants:
            number = device.to_python(self.offsets[-1])
            return device.module_of(self.offsets).full(number, self._constants[field], dtype=np.float64)
        offsets, values = flatten(self._events[f"{self.name}_{field}"], f"{self.name}_{field}")
        if not same_offsets(offsets, self.offsets):
            raise OpError(
                f"`{self.name}_{field}` and `{self.name}_{self._reference}` have different numbers of objects per event"
            )
        return values


class MergedCollection:
    """The objects of several collections, concatenated in each event.

    Parameters
    ----------
    parts : sequence of Collection
        At least one.
    """

    def __init__(self, parts: Sequence[Collection]) -> None:
        self._parts = parts
        counts = [np.diff(part.offsets) for part in parts]
        self.offsets = offsets_of(sum(counts))
        self._positions = []
        first = self.offsets[:-1]
        for part, count in zip(parts, counts, strict=True):
            number = device.to_python(part.offsets[-1])
            rows = device.module_of(part.offsets).arange(number)
            self._positions.append(device.repeat(first - part.offsets[:-1], part.offsets, number) + rows)
            first = first + count

    def __contains__(self, field: str) -> bool:
        return all(field in part for part in self._parts)

    def column(self, field: str) -> Any:
        """Return a field of all objects in the common type of the collections, flat, shape (objects,)."""
        return self.join([part.column(field) for part in self._parts])

    def join(self, columns: Sequence[Any]) -> Any:
        """Return flat columns of the collections as one flat column of all objects."""
        values = [from_column(column) for column in columns]
        if any(isinstance(value, ak.Array | Jagged) for value in values):
            if len({type_of(value) for value in values}) > 1:
                raise OpError("a field has different types in the collections to merge: text, numbers or lists")
            order = np.empty(self.offsets[-1], dtype=np.int64)
            order[np.concatenate(self._positions)] = np.arange(self.offsets[-1])
            return ak.concatenate(columns)[order]
        flat = [value.values if isinstance(value, Masked) else value for value in values]
        if len({part.dtype for part in flat}) > 1:
            flat = list(promote(tuple(as_expression_type(part, "a field of the collections") for part in flat)))
        joined = self._put(flat)
        if not any(isinstance(value, Masked) for value in values):
            return joined
        valid = [value.valid if isinstance(value, Masked) else np.ones_like(value, dtype=bool) for value in values]
        return to_awkward(Masked(joined, self._put(valid)))

    def _put(self, flat: Sequence[Any]) -> Any:
        joined = device.module_of(flat[0]).empty(device.to_python(self.offsets[-1]), dtype=flat[0].dtype)
        for place, part in zip(self._positions, flat, strict=True):
            joined[place] = part
        return joined
