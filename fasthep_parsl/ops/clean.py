"""``hep.clean``: remove the objects of a collection that are close to objects of other collections."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from fasthep_parsl.interfaces import Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.kernels import float64 as kernel_float64
from fasthep_parsl.kernels import kernel
from fasthep_parsl.kernels.physics import azimuth_between
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.collections.collection import (
    Collection,
    Name,
    Params,
    apply_mask,
    collection_fields,
    existing_fields,
    fields_at_run_time,
    unflatten,
    unknown_collection,
)
from fasthep_parsl.ops.collections.combinatorics import blocks, cartesian
from fasthep_parsl.ops.collections.sorting import argsort_objects
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.kinematics import delta_phi, float64
from fasthep_parsl.ops.stream import Events

BLOCK = 1 << 16
"""Number of pairs of objects per block."""


class CleanDiagnostics(Params):
    """Output about removed objects."""

    removed_count: Name | Literal[False] | None = Field(
        default=None, description="name of the counter; false: no counter; default: nremoved_<output>"
    )
    keep_removed: bool = Field(default=False, description="write removed objects as collection <output>_removed")


class Clean(Params):
    """Parameters of ``hep.clean``."""

    source: Name = Field(description="collection to clean")
    clean_against: list[Name] = Field(
        min_length=1, description="collections whose objects must not be close to an object"
    )
    output: Name | None = Field(default=None, description="name of the new collection; default: cleaned_<source>")
    metric: Literal["delta_r"] = "delta_r"
    min_delta_r: float = Field(default=0.4, ge=0, description="objects closer than this are removed")
    mode: Literal["remove_source_on_overlap"] = "remove_source_on_overlap"
    sort_by: Name | None = Field(default=None, description="field of the source to sort by")
    sort_order: Literal["ascending", "descending"] = "descending"
    diagnostics: CleanDiagnostics | Literal[False] | None = Field(
        default=None, description="output about removed objects"
    )
    fields: list[Name] | None = Field(
        default=None, description="fields of the new collection, in addition to eta, phi and sort_by; default: all"
    )

    def output_name(self) -> str:
        """Return the name of the new collection."""
        return self.output or f"cleaned_{self.source}"

    def removed_count(self) -> str | None:
        """Return the name of the counter of removed objects, if there is one."""
        name = self.diagnostics.removed_count if self.diagnostics else None
        if self.diagnostics and "removed_count" in self.diagnostics.model_fields_set and not name:
            return None
        return name or f"nremoved_{self.output_name()}"

    def kept_fields(self, available: list[str]) -> list[str]:
        """Return the fields of the new collection."""
        if self.fields is None:
            return available
        return list(dict.fromkeys((*self.fields, "eta", "phi", *([self.sort_by] if self.sort_by else []))))


def _analyse(params: Clean, schema: Schema) -> Effects:
    problems = unknown_collection(schema, params.source, ("source",))
    for i, name in enumerate(params.clean_against):
        problems += unknown_collection(schema, name, ("clean_against", i))
        if name == params.source:
            problems.append(
                OpProblem(
                    ("clean_against", i),
                    "the collection is `source` itself, so all objects would overlap",
                    "choose another collection",
                )
            )
    if problems:
        return Effects(problems=tuple(problems))
    reads: dict[str, ParamPath] = {}
    fields = params.kept_fields(collection_fields(schema, params.source))
    for i, field in enumerate(params.fields or ()):
        reads[f"{params.source}_{field}"] = ("fields", i)
    if params.sort_by:
        reads.setdefault(f"{params.source}_{params.sort_by}", ("sort_by",))
    for field in (*fields, "eta", "phi"):
        reads.setdefault(f"{params.source}_{field}", ("source",))
    for i, name in enumerate(params.clean_against):
        reads |= {f"{name}_eta": ("clean_against", i), f"{name}_phi": ("clean_against", i)}
    for field in fields:
        name = f"{params.source}_{field}"
        if schema.get(name) == ():
            problems.append(OpProblem(reads[name], f"`{name}` has one value per event"))
    output = params.output_name()
    writes: dict[str, Shape] = {}
    for name in (output, *([f"{output}_removed"] if params.diagnostics and params.diagnostics.keep_removed else [])):
        writes |= {f"n{name}": ()} | {f"{name}_{field}": (f"n{name}",) for field in fields}
    count = params.removed_count()
    if count is not None:
        writes[count] = ()
    return Effects(reads, writes, (*problems, *existing_fields(schema, writes, ("output",))))


@op("hep.clean", params=Clean, analyse=_analyse, keeps_events=True)
def clean(events: Events, *, params: Clean) -> dict[str, Any]:
    """Remove objects of `source` with ``ΔR < min_delta_r`` to any object of the collections `clean_against`.

    Writes ``n{output}``, ``{output}_{field}``, the number of removed objects ``nremoved_{output}``, and with
    ``diagnostics: {keep_removed: true}`` the removed objects as collection ``{output}_removed``.
    """
    objects = Collection(events, params.source, "eta")
    overlaps = device.module_of(objects.offsets).zeros(device.to_python(objects.offsets[-1]), dtype=bool)
    for name in params.clean_against:
        others = Collection(events, name, "eta")
        mark_overlaps(len(events), *_angles(objects), *_angles(others), params.min_delta_r, overlaps)
    kept = params.kept_fields([] if params.fields is not None else fields_at_run_time(events, params.source))
    name = params.output_name()
    columns, offsets = _columns(objects, name, kept, ~overlaps, (params.sort_by, params.sort_order == "descending"))
    count = params.removed_count()
    if count is not None:
        columns[count] = np.diff(objects.offsets) - np.diff(offsets)
    if params.diagnostics and params.diagnostics.keep_removed:
        columns |= _columns(objects, f"{name}_removed", kept, overlaps, (None, False))[0]
    return columns


def _angles(objects: Collection) -> tuple[Any, Any, Any]:
    """Return offsets, η and φ of the objects. Missing values become NaN."""
    flat = (objects.column(name) for name in ("eta", "phi"))
    return (objects.offsets, *(float64(values) if isinstance(values, ak.Array) else values for values in flat))


def _mark_overlaps(
    _events: int, offsets: Any, eta: Any, phi: Any, others: Any, other_eta: Any, other_phi: Any, limit: float, out: Any
) -> None:
    """Compute `mark_overlaps` with NumPy, one block of events at a time."""
    eta_1, phi_1, eta_2, phi_2 = map(float64, (eta, phi, other_eta, other_phi))
    numbers = np.diff(offsets) * np.diff(others)
    for first, last in blocks(numbers, BLOCK):
        _, _, (i, j) = cartesian([offsets[first : last + 1], others[first : last + 1]])
        delta_eta = eta_1[i] - eta_2[j]
        # Most pairs are far apart in η, so φ is needed for few of them.
        near = np.flatnonzero(np.abs(delta_eta) < limit)
        i, j = i[near], j[near]
        delta_r2 = np.square(delta_eta[near]) + np.square(delta_phi(phi_1[i], phi_2[j]))
        out[i[np.sqrt(delta_r2) < limit]] = True


@kernel(reference=_mark_overlaps)
def mark_overlaps(
    i: int, offsets: Any, eta: Any, phi: Any, others: Any, other_eta: Any, other_phi: Any, limit: float, out: Any
) -> None:
    """Set `out` for the objects of event `i` with ΔR below `limit` to any of the others.

    It rounds like `kinematics.delta_phi`, so both select the same objects.
    """
    for a in range(offsets[i], offsets[i + 1]):
        for b in range(others[i], others[i + 1]):
            delta_eta = kernel_float64(eta[a]) - kernel_float64(other_eta[b])
            if abs(delta_eta) < limit:
                delta = azimuth_between(kernel_float64(phi[a]), kernel_float64(other_phi[b]))
                if math.sqrt(delta_eta * delta_eta + delta * delta) < limit:
                    out[a] = True


def _columns(
    objects: Collection, name: str, fields: list[str], mask: Any, sort: tuple[str | None, bool]
) -> tuple[dict[str, Any], Any]:
    """Return the objects in `mask` as the columns of collection `name`, and their offsets."""
    offsets, rows = apply_mask(objects.offsets, mask)
    by, descending = sort
    if by is not None:
        order = argsort_objects(offsets, objects.column(by)[rows], descending=descending)
        rows = rows if order is None else rows[order]
    columns: dict[str, Any] = {f"n{name}": np.diff(offsets)}
    columns |= {f"{name}_{field}": unflatten(offsets, objects.column(field)[rows]) for field in fields}
    return columns, offsets
