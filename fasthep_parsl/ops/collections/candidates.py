"""Build candidates from objects: first the positions of constituents, then only the quantities that are needed.

Selections on constituents (e.g. opposite charge) are applied before four-vectors are summed. Events are processed in
blocks, so that events with many objects do not need much memory. A compiled loop computes the masses of pairs faster,
but importing Numba and compiling takes 1–2 s per worker. It is used with ``cuda.jit`` and on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from fasthep_parsl import kernels
from fasthep_parsl.interfaces import Context
from fasthep_parsl.ops import device, kinematics
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.collections.collection import Collection, MergedCollection, apply_mask, offsets_of, unflatten
from fasthep_parsl.ops.collections.combinatorics import Orders, blocks, cartesian, count_combinations, list_combinations
from fasthep_parsl.ops.collections.pairs import pair_masses
from fasthep_parsl.ops.collections.scopes import Scope
from fasthep_parsl.ops.collections.sorting import argsort_objects, first_objects
from fasthep_parsl.ops.counts import all_true
from fasthep_parsl.ops.stream import Events

BLOCK = 1 << 16
"""Number of combinations per block: their columns fit in a level-2 cache."""

NEEDS: dict[str, tuple[str, ...]] = {
    "pt": ("pt", "phi"),
    "eta": ("pt", "eta", "phi"),
    "phi": ("pt", "phi"),
    "mass": ("pt", "eta", "phi", "mass"),
    "charge": ("charge",),
}
"""Quantity of a candidate → fields of its constituents from which it is computed."""


@dataclass(frozen=True, slots=True)
class CandidateSpec:
    """Description of the candidates to build.

    Attributes
    ----------
    collections : tuple of str
        Collections of the constituents.
    n : int
        Number of objects per candidate.
    merged : bool
        Combine `n` different objects of all collections together. If false, one object of each collection.
    roles : tuple of str
        Names of the constituents, shape (n,).
    candidate, prefix : str
        Names of the outputs: ``{candidate}_mass``, ``{prefix}_{role}_pt``.
    selection : tuple of str
        Expressions that a candidate must fulfil, evaluated in this order.
    sort : (str, bool) or None
        Sort key, and whether the order is descending.
    take : int or None
        Maximum number of candidates per event.
    keep : tuple of str or None
        Quantities to write; None: all that can be computed from the collections.
    constituents : tuple of str
        Fields of constituents to write.
    masses : mapping
        Collection → mass of its objects, which replaces the field ``mass``.
    index : bool
        Whether to write the positions of the constituents in their collection.
    orders : tuple of tuple of int or None
        Orders in which the objects of a candidate have the roles; None: the order of the collection only.
    """

    collections: tuple[str, ...]
    n: int
    merged: bool
    roles: tuple[str, ...]
    candidate: str
    prefix: str
    selection: tuple[str, ...] = ()
    sort: tuple[str, bool] | None = None
    take: int | None = None
    keep: tuple[str, ...] | None = None
    constituents: tuple[str, ...] = ()
    masses: Mapping[str, float] = field(default_factory=dict)
    index: bool = True
    orders: Orders | None = None


def build(events: Events, spec: CandidateSpec, context: Context | None = None) -> dict[str, Any]:
    """Return the columns of all candidates of `spec` in `events`."""
    parts = []
    for name in spec.collections:
        constants = {"mass": spec.masses[name]} if name in spec.masses else {}
        parts.append(Collection(events, name, "pt", constants))
    groups: Sequence[Collection | MergedCollection] = parts
    if spec.merged:
        groups = [parts[0] if len(parts) == 1 else MergedCollection(parts)] * spec.n
    offsets = [group.offsets for group in groups]
    # A GPU processes all events in one block.
    whole = device.on_gpu(offsets[0])
    ranges = [(0, len(offsets[0]) - 1)] if whole else list(blocks(_numbers(spec, offsets), BLOCK)) or [(0, 0)]
    found = [_Candidates(events, spec, groups, bounds, context).columns() for bounds in ranges]
    counts = _concatenate([columns.pop("") for columns in found])
    edges = offsets_of(counts)
    flat = {name: _concatenate([columns[name] for columns in found]) for name in found[0]}
    return {f"n{spec.candidate}": counts} | {name: unflatten(edges, values) for name, values in flat.items()}


def _numbers(spec: CandidateSpec, offsets: Sequence[Any]) -> Any:
    """Return the number of combinations of each event."""
    if spec.merged:
        return count_combinations(np.diff(offsets[0]), spec.n, len(spec.orders or (0,)))
    return reduce(np.multiply, map(np.diff, offsets))


def _concatenate(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return ak.concatenate(parts) if isinstance(parts[0], ak.Array) else np.concatenate(parts)


class _Slice(Mapping[str, Any]):
    """The events in a range of positions."""

    def __init__(self, events: Events, first: int, last: int) -> None:
        self._events = events
        self._range = slice(first, last)

    def __getitem__(self, name: str) -> Any:
        return self._events[name][self._range]

    def __contains__(self, name: object) -> bool:
        return name in self._events

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events.fields)


class _Candidates:
    """The candidates of the events in `bounds`. Quantities are computed when first used."""

    def __init__(
        self,
        events: Events,
        spec: CandidateSpec,
        groups: Sequence[Collection | MergedCollection],
        bounds: tuple[int, int],
        context: Context | None,
    ) -> None:
        self._spec = spec
        self._groups = groups
        self._context = context
        first, last = bounds
        self._events = _Slice(events, first, last)
        offsets = [group.offsets[first : last + 1] for group in groups]
        self._starts = [each[:-1] for each in offsets]
        self._edges = offsets[0]
        self._pairs = spec.merged and spec.n == 2 and (kernels.active() or device.on_gpu(offsets[0]))
        found = list_combinations(offsets[0], spec.n, spec.orders) if spec.merged else cartesian(offsets)
        numbers, self._parents, self._positions = found
        self._offsets = offsets_of(numbers)
        self._computed: dict[str, Any] = {}
        self._scope = self._new_scope()
        self._roles = sorted(enumerate(spec.roles), key=lambda item: -len(item[1]))

    def columns(self) -> dict[str, Any]:
        """Return the flat columns of selected and sorted candidates by name; ``""`` has their number per event."""
        spec = self._spec
        for text in spec.selection:
            self._keep(self._scope.mask(text, self._context))
        if spec.sort is not None:
            self._sort(*spec.sort)
        if spec.take is not None:
            counts = np.diff(self._offsets)
            if len(counts) and device.to_bool(counts.max() > spec.take):
                rank = device.module_of(counts).arange(len(self._parents)) - self._offsets[self._parents]
                self._keep(rank < spec.take)
        keep = spec.keep
        if keep is None:
            keep = tuple(name for name in NEEDS if name != "charge" or all("charge" in group for group in self._groups))
        columns = {"": np.diff(self._offsets)}
        columns |= {f"{spec.candidate}_{name}": self._scope.flat(name) for name in keep}
        fields = (*spec.constituents, *(["index"] if spec.index and "index" not in spec.constituents else []))
        columns |= {
            f"{spec.prefix}_{role}_{name}": self._scope.flat(f"{role}_{name}") for role in spec.roles for name in fields
        }
        return columns

    def _sort(self, by: str, descending: bool) -> None:
        """Sort the candidates of each event. If only the first is taken, find it without sorting the others."""
        key = self._scope.evaluate(by, self._context)
        first = first_objects(self._offsets, key, descending=descending) if self._spec.take == 1 else None
        self._offsets, rows = first or (self._offsets, argsort_objects(self._offsets, key, descending=descending))
        if rows is not None:
            self._at(rows)

    def _new_scope(self) -> Scope:
        return Scope(self._events, self._offsets, self._local)

    def _keep(self, mask: Any) -> None:
        if not all_true(mask):
            self._offsets, rows = apply_mask(self._offsets, mask)
            self._at(rows)

    def _at(self, rows: Any) -> None:
        """Keep the candidates at `rows`. Computed quantities are kept; gathered fields are gathered again when used."""
        self._parents = self._parents[rows]
        self._positions = tuple(each[rows] for each in self._positions)
        self._computed = {name: values[rows] for name, values in self._computed.items()}
        self._scope = self._new_scope()

    def _local(self, name: str) -> Any:
        """Return the column of a local name, a quantity or ``<role>_<field>``, or None."""
        if name in NEEDS:
            if not all(need in group for group in self._groups for need in NEEDS[name]):
                return None
            return self._quantity(name)
        for k, role in self._roles:
            if name.startswith(f"{role}_"):
                return self._constituent(k, name.removeprefix(f"{role}_"))
        return None

    def _constituent(self, k: int, name: str) -> Any:
        if name == "index":
            return self._positions[k] - self._starts[k][self._parents]
        if name not in self._groups[k]:
            return None
        return self._groups[k].column(name)[self._positions[k]]

    def _quantity(self, name: str) -> Any:
        if name not in self._computed:
            self._computed[name] = self._compute(name)
        return self._computed[name]

    def _of_all(self, name: str) -> list[Any]:
        return [self._scope.flat(f"{role}_{name}") for role in self._spec.roles]

    def _compute(self, name: str) -> Any:
        if name == "mass" and self._pairs:
            return self._pair_mass()
        if name == "mass":
            return kinematics.invariant_mass(*(self._of_all(need) for need in ("pt", "eta", "phi", "mass")))
        if name == "charge":
            charges = self._of_all("charge")
            small = all(not isinstance(each, ak.Array) and np.can_cast(each.dtype, np.int32) for each in charges)
            return sum(each.astype(np.int32) for each in charges) if small else sum(map(kinematics.float64, charges))
        px, py = self._transverse()
        if name == "phi":
            return np.arctan2(py, px)
        if name == "pt":
            return np.sqrt(px * px + py * py)
        return kinematics.pseudorapidity(
            self._quantity("pt"), kinematics.longitudinal_sum(self._of_all("pt"), self._of_all("eta"))
        )

    def _pair_mass(self) -> Any:
        flat = (self._groups[0].column(need) for need in NEEDS["mass"])
        fields = [kinematics.float64(values) if isinstance(values, ak.Array) else values for values in flat]
        first, second = self._positions
        out = device.module_of(first).empty(len(first), dtype=np.float64)
        pair_masses(first, second, fields, out)
        return out

    def _transverse(self) -> tuple[Any, Any]:
        if "px" not in self._computed:
            found = self._transverse_of_objects() or kinematics.transverse_sum(*map(self._of_all, ("pt", "phi")))
            self._computed["px"], self._computed["py"] = found
        return self._computed["px"], self._computed["py"]

    def _transverse_of_objects(self) -> tuple[Any, Any] | None:
        """Return the sums of components that are computed once per object; None if there are fewer candidates."""
        if not self._spec.merged or device.on_gpu(self._edges):
            return None
        first, last = int(self._edges[0]), int(self._edges[-1])
        if len(self._parents) * self._spec.n <= last - first:
            return None
        x, y = kinematics.transverse(*(self._groups[0].column(name)[first:last] for name in ("pt", "phi")))
        rows = [each - first for each in self._positions]
        return sum(x[each] for each in rows), sum(y[each] for each in rows)
