"""``hep.select_objects`` and ``hep.merge_collections``: make new collections from existing ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.collections.collection import (
    Collection,
    MergedCollection,
    Name,
    Params,
    apply_mask,
    collection_fields,
    collection_shape,
    existing_fields,
    fields_at_run_time,
    reference_field,
    schema_at_run_time,
    structure_of,
    unflatten,
    unknown_collection,
)
from fasthep_parsl.ops.collections.scopes import Scope, ScopeSchema
from fasthep_parsl.ops.collections.sorting import argsort_objects
from fasthep_parsl.ops.counts import all_true
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.stream import Events


class ObjectSort(Params):
    """Order of the objects of an event, by a field or expression of the object. Stable; NaN comes last."""

    by: str = "pt"
    order: Literal["ascending", "descending"] = "descending"


# --- hep.select_objects -----------------------------------------------------------------------------------


class SelectObjects(Params):
    """Parameters of ``hep.select_objects``. In expressions, ``pt`` is the ``pt`` of the object."""

    collection: Name = Field(description="collection to take objects from")
    output: Name = Field(description="name of the new collection")
    selection: list[str] | None = Field(default=None, description="expressions that an object must fulfil")
    keep: list[Name] = Field(min_length=1, description="fields of the new collection")
    derived: dict[Name, str] | None = Field(default=None, description="new fields: name → expression")
    sort: ObjectSort | Literal[False] | None = Field(
        default=None, description="default: by pt, descending; false: no sorting"
    )
    missing_fields: Literal["error", "ignore"] = Field(
        default="error", description="what to do if a field of `keep` does not exist; ignore: leave it out"
    )


def _scope_of_collection(schema: Schema, name: str, shape: Shape, derived: Mapping[str, str]) -> ScopeSchema:
    local: dict[str, tuple[str, ...]] = {field: (f"{name}_{field}",) for field in collection_fields(schema, name)}
    plain = ScopeSchema(schema, shape, local)
    made = {field: tuple(plain.analyse(text, ())[0]) for field, text in derived.items()}
    return ScopeSchema(schema, shape, local | made)


def _analyse_select(params: SelectObjects, schema: Schema) -> Effects:
    name, derived = params.collection, params.derived or {}
    problems = unknown_collection(schema, name, ("collection",))
    if problems:
        return Effects(problems=tuple(problems))
    shape = collection_shape(schema, name) or UNKNOWN
    scope = _scope_of_collection(schema, name, shape, derived)
    plain = _scope_of_collection(schema, name, shape, {})
    reads: dict[str, ParamPath] = {}

    def expressions(within: ScopeSchema, items: list[tuple[ParamPath, str]]) -> None:
        for path, text in items:
            needed, wrong = within.analyse(text, path)
            reads.update({field: where for field, where in needed.items() if field not in reads})
            problems.extend(wrong)

    expressions(scope, [(("selection", i), text) for i, text in enumerate(params.selection or [])])
    expressions(plain, [(("derived", field), text) for field, text in derived.items()])
    sort = params.sort
    if isinstance(sort, ObjectSort):
        expressions(scope, [(("sort", "by"), sort.by)])
    elif sort is None and "pt" in scope.local:
        reads = dict.fromkeys(scope.local["pt"], ("sort",)) | reads
    kept = []
    for i, field in enumerate(params.keep):
        source = f"{name}_{field}"
        if field not in derived and source not in schema and params.missing_fields == "ignore":
            continue
        kept.append(field)
        if field not in derived:
            reads.setdefault(source, ("keep", i))
            problems += _of_collection(schema, source, shape, ("keep", i))
    if not kept:
        problems.append(OpProblem(("keep",), f"collection `{name}` does not have any field of `keep`"))
    if all(field in derived for field in kept):
        reads.setdefault(f"{name}_{reference_field(collection_fields(schema, name))}", ("collection",))
    new = (f"n{params.output}",)
    writes: dict[str, Shape] = {new[0]: ()} | {f"{params.output}_{field}": new for field in kept}
    return Effects(reads, writes, (*problems, *existing_fields(schema, writes, ("output",))))


def _of_collection(schema: Schema, field: str, shape: Shape, path: ParamPath) -> list[OpProblem]:
    its = structure_of(schema, field)
    if its == () or (UNKNOWN not in (its, shape) and its != shape):
        found = "has one value per event" if its == () else f"belongs to {' '.join(its)}, not to {' '.join(shape)}"
        return [OpProblem(path, f"`{field}` {found}", "use fields of the same objects")]
    return []


@op("hep.select_objects", params=SelectObjects, analyse=_analyse_select, keeps_events=True)
def select_objects(events: Events, *, params: SelectObjects, context: Context | None = None) -> dict[str, Any]:
    """Make a collection of the objects that fulfil all expressions of `selection`.

    Writes ``n{output}`` and ``{output}_{field}`` for the fields in `keep`. In expressions, ``pt`` is
    ``{collection}_pt``. Fields of the event can be used too.

    Raises
    ------
    OpError
        Fields of the collection have different numbers of objects per event.
    """
    collection, made, sort = params.collection, params.derived or {}, params.sort
    fields = [field for field in params.keep if field in made or f"{collection}_{field}" in events]
    if params.missing_fields == "error" and len(fields) < len(params.keep):
        raise OpError(f"unknown field `{collection}_{next(field for field in params.keep if field not in fields)}`")
    anchor = next((field for field in fields if field not in made), None)
    objects = Collection(events, collection, anchor or reference_field(fields_at_run_time(events, collection)))
    plain = Scope(events, objects.offsets, lambda name: objects.column(name) if name in objects else None)
    scope = Scope(
        events, objects.offsets, lambda name: plain.evaluate(made[name], context) if name in made else plain.flat(name)
    )
    offsets, rows = objects.offsets, None
    mask = None
    for text in params.selection or []:
        found = scope.mask(text, context)
        mask = found if mask is None else device.all_of([mask, found])
    if mask is not None and not all_true(mask):
        offsets, rows = apply_mask(offsets, mask)
    if sort is None and scope.flat("pt") is not None:
        sort = ObjectSort()
    if isinstance(sort, ObjectSort):
        key = scope.evaluate(sort.by, context)
        order = argsort_objects(offsets, key if rows is None else key[rows], descending=sort.order == "descending")
        if order is not None:
            rows = order if rows is None else rows[order]
    columns: dict[str, Any] = {f"n{params.output}": np.diff(offsets)}
    for field in fields:
        values = scope.flat(field)
        columns[f"{params.output}_{field}"] = unflatten(offsets, values if rows is None else values[rows])
    return columns


# --- hep.merge_collections --------------------------------------------------------------------------------


class MergeCollections(Params):
    """Parameters of ``hep.merge_collections``."""

    inputs: dict[Name, int] | list[Name] = Field(
        min_length=1, description="mapping collection → number, or list of collections"
    )
    output: Name = Field(description="name of the new collection")
    tag: Name | None = Field(
        default="flavour", description="name of the field with the number of the collection; null: no such field"
    )
    keep: list[Name] | None = Field(
        default=None, description="fields of the new collection; default: all common fields of the inputs"
    )
    sort: ObjectSort | Literal[False] = Field(
        default=False, description="default: no sorting, in the order of the inputs"
    )


def _common_fields(schema: Schema, inputs: list[str]) -> list[str]:
    first, *others = (collection_fields(schema, name) for name in inputs)
    return [field for field in first if all(field in other for other in others)]


def _analyse_merge(params: MergeCollections, schema: Schema) -> Effects:
    names = list(params.inputs)
    problems = [
        problem
        for i, name in enumerate(names)
        for problem in unknown_collection(schema, name, ("inputs", name if isinstance(params.inputs, dict) else i))
    ]
    if len(set(names)) < len(names):
        problems.append(OpProblem(("inputs",), "a collection is named twice"))
    if problems:
        return Effects(problems=tuple(problems))
    fields = _common_fields(schema, names) if params.keep is None else params.keep
    reads: dict[str, ParamPath] = {}
    for i, field in enumerate(fields):
        path: ParamPath = ("inputs",) if params.keep is None else ("keep", i)
        for name in names:
            reads[f"{name}_{field}"] = path
            problems += _of_collection(schema, f"{name}_{field}", collection_shape(schema, name) or UNKNOWN, path)
    if not fields:
        problems.append(OpProblem(("inputs",), f"{' and '.join(names)} have no common field"))
    own = ["index"] if params.tag is None else [params.tag, "index"]
    for field in own:
        if field in fields:
            hint = "choose another `tag`" if field == params.tag else "leave it out of `keep`"
            problems.append(OpProblem(("tag",), f"`{field}` is also a field of the inputs", hint))
    new = (f"n{params.output}",)
    if isinstance(params.sort, ObjectSort):
        local = {field: [f"{name}_{field}" for name in names] for field in fields} | {field: [] for field in own}
        needed, wrong = ScopeSchema(schema, new, local).analyse(params.sort.by, ("sort", "by"))
        reads = needed | reads
        problems += wrong
    writes: dict[str, Shape] = {new[0]: ()} | {f"{params.output}_{field}": new for field in (*fields, *own)}
    return Effects(reads, writes, (*problems, *existing_fields(schema, writes, ("output",))))


@op("hep.merge_collections", params=MergeCollections, analyse=_analyse_merge, keeps_events=True)
def merge_collections(events: Events, *, params: MergeCollections, context: Context | None = None) -> dict[str, Any]:
    """Merge the objects of several collections in each event.

    Writes ``n{output}``, ``{output}_{field}``, the number of the original collection as ``{output}_{tag}`` (counted from
    0 if `inputs` is a list), and the position in the original collection as ``{output}_index``.
    """
    inputs, tag, sort = params.inputs, params.tag, params.sort
    numbers = inputs if isinstance(inputs, dict) else {name: i for i, name in enumerate(inputs)}
    fields = params.keep
    if fields is None:
        fields = _common_fields(schema_at_run_time(events, list(numbers)), list(numbers))
    parts = [Collection(events, name, fields[0]) for name in numbers]
    merged = MergedCollection(parts)

    def column(name: str) -> Any:
        if name == tag:
            return merged.join(
                [_filled(part.offsets, number) for part, number in zip(parts, numbers.values(), strict=True)]
            )
        if name == "index":
            return merged.join([_positions(part.offsets) for part in parts])
        return merged.column(name) if name in fields else None

    scope = Scope(events, merged.offsets, column)
    order = None
    if isinstance(sort, ObjectSort):
        order = argsort_objects(merged.offsets, scope.evaluate(sort.by, context), descending=sort.order == "descending")
    columns: dict[str, Any] = {f"n{params.output}": np.diff(merged.offsets)}
    for field in (*fields, *([tag] if tag else []), "index"):
        values = scope.flat(field)
        columns[f"{params.output}_{field}"] = unflatten(merged.offsets, values if order is None else values[order])
    return columns


def _filled(offsets: Any, value: int) -> Any:
    return device.module_of(offsets).full(device.to_python(offsets[-1]), value)


def _positions(offsets: Any) -> Any:
    number = device.to_python(offsets[-1])
    return device.module_of(offsets).arange(number) - device.repeat(offsets[:-1], offsets, number)
