"""Fill a histogram with several weights at once: entries, masks and bins are computed once.

The sums are those of one fill per weight, to the last bit: each bin adds its entries in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.ops import binning, device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import DATASET, VARIATION, add_histograms, book
from fasthep_parsl.ops.columns.value_types import Jagged, innermost
from fasthep_parsl.ops.counts import count_true
from fasthep_parsl.ops.entries import Entries, flat_entries
from fasthep_parsl.ops.filling import HistogramFiller, category_of, fillable
from fasthep_parsl.ops.weights import Weight, WeightTable, event_table, groups, numbers, table_of


class VariationFiller(HistogramFiller):
    """Fills a new histogram, of storage ``double`` or ``weighted``, with several weights.

    Parameters and attributes as in `HistogramFiller`.
    """

    def fill_all(self, weights: Sequence[Weight]) -> None:
        """Fill with all weights, each in its category of the variation axis.

        Raises
        ------
        OpError
            Jagged fields have different structure.
        """
        for group in groups(weights, len(self._events)):
            on_host = not any(device.on_gpu(innermost(value)) for _, value in self._values)
            table = event_table(group, self._events, self._context) if on_host else None
            if table is None:
                self._fill_entries(group)
            else:
                self._fill_events(group, table)

    def _fill_events(self, group: Sequence[Weight], table: WeightTable) -> None:
        """Fill with weights per event. Each entry takes the row of its event."""
        number = len(self._events)
        jagged = any(isinstance(value, Jagged) for _, value in self._values)
        events = [("", np.arange(number))] if jagged else []
        flat, absent = flat_entries([*self._values, *events], number, weights=len(events))
        place = flat.pop()[0] if jagged else None
        self._fill_table(group, table, flat, absent, place)

    def _fill_entries(self, group: Sequence[Weight]) -> None:
        """Fill with weights of which some are per object, or on a GPU."""
        varied = [(weight.text or "1", weight.value(self._events, self._context)) for weight in group]
        flat, absent = flat_entries([*self._values, *varied], len(self._events), weights=len(group))
        axes, varied_flat = flat[: len(self._plain)], flat[len(self._plain) :]
        on_gpu = any(device.on_gpu(part) for pair in flat for part in pair)
        if on_gpu and binning.fits(self._plain):
            self._fill_gpu(group, axes, varied_flat, absent)
            return
        axes, varied_flat = _to_host(axes), _to_host(varied_flat)
        entries = next(len(array) for array, _ in (*axes, *varied_flat) if np.ndim(array))
        if not any(np.ndim(array) for array, _ in axes):
            axes[0] = (np.full(entries, axes[0][0]), axes[0][1])
        self._fill_table(group, table_of(group, varied_flat, entries), axes, absent, None)

    def _fill_table(
        self, group: Sequence[Weight], table: WeightTable, flat: list[Entries], absent: int, place: Any
    ) -> None:
        """Fill axes with rows of a table. `place` is the row of each entry; None: they are in the same order."""
        keep = self._usable(flat, absent)
        if table.missing or table.bad:
            lost = table.lost_for_all() if any(axis.grows for axis in self._plain) else None
            if lost is not None and lost.any():  # a growing axis must not get their categories
                kept = ~(lost if place is None else lost[place])
                self._count_lost(table, flat, place, keep)
                keep = kept if keep is None else keep & kept
            else:
                self._count_lost(table, flat, place, keep)
        if keep is not None:
            place = np.flatnonzero(keep) if place is None else place[keep]
        cells = 2 * table.width if self._storage == "weighted" else table.width
        rows = table.rows[:, :cells]
        rows = rows if place is None else rows.take(place, axis=0)
        arrays = [array if keep is None or np.ndim(array) == 0 else array[keep] for array, _ in flat]
        entries = [fillable(axis, array) for axis, array in zip(self._plain, arrays, strict=True)]
        if len(rows):
            self._add_cells(group, entries, rows)

    def _count_lost(self, table: WeightTable, flat: list[Entries], place: Any, keep: Any) -> None:
        """Count entries with a missing, NaN or infinite weight, unless an axis is the reason that they are lost."""
        masks = [valid for _, valid in flat if valid is not None]
        nan = [np.isnan(array) for array, _ in flat if np.ndim(array) and array.dtype.kind == "f"]
        on_axes = device.all_of(masks) if masks else True
        finite = keep if keep is not None else True
        if nan:
            finite = finite & ~device.any_of(nan)
        for mask in table.missing.values():
            self.none += int(np.count_nonzero((mask if place is None else mask[place]) & on_axes))
        for mask in table.bad.values():
            self.nan += int(np.count_nonzero((mask if place is None else mask[place]) & finite))

    def _add_cells(self, group: Sequence[Weight], entries: list[Any], rows: Any) -> None:
        """Fill one histogram with all weights in each bin, and add each weight to its category."""
        import hist

        part = hist.Hist(*book(self._plain, "count").axes, storage=hist.storage.MultiCell(rows.shape[1]))
        filled = part.fill(*entries, weight=rows).view(flow=True)
        grows = any(axis.grows for axis in self._plain)
        target = self._empty_with(part.axes) if grows else self.hist
        if not self._add_slice(group, filled, target):
            self._add_each(group, filled, target)
        if grows:
            self.hist = add_histograms(self.hist, target)

    def _add_slice(self, group: Sequence[Weight], filled: Any, target: Any) -> bool:
        """Add all weights together if their categories are neighbours on the last axis; return whether they are."""
        names = [str(category) for category in self._axes[-1].categories]
        wanted = [weight.variation for weight in group]
        if self._axes[-1].source != VARIATION or wanted[0] not in names:
            return False
        first = names.index(wanted[0])
        if names[first : first + len(wanted)] != wanted:
            return False
        dataset = self._context.dataset.name if self._context else ""
        where = [category_of(axis, dataset) if axis.source == DATASET else slice(None) for axis in self._axes[:-1]]
        place = (*where, slice(first, first + len(wanted)))
        content, total = np.moveaxis(filled, 0, -1), target.view(flow=True)
        if total.dtype.names is None:
            total[place] += content
        else:
            total["value"][place] += content[..., : len(wanted)]
            total["variance"][place] += content[..., len(wanted) :]
        return True

    def _add_each(self, group: Sequence[Weight], filled: Any, target: Any) -> None:
        """Add each weight to its category."""
        for k, weight in enumerate(group):
            content = filled[k]
            if self._storage == "weighted":
                content = np.empty(content.shape, dtype=[("value", "f8"), ("variance", "f8")])
                content["value"], content["variance"] = filled[k], filled[len(group) + k]
            self._add(content, weight.variation, target)

    def _empty_with(self, plain: Sequence[Any]) -> Any:
        """Return an empty histogram with other axes in place of the axes of fields."""
        given = iter(plain)
        axes = [
            own if axis.source in (DATASET, VARIATION) else next(given)
            for axis, own in zip(self._axes, self.hist.axes, strict=True)
        ]
        return type(self.hist)(*axes, storage=self.hist.storage_type())

    def _fill_gpu(self, group: Sequence[Weight], flat: list[Entries], varied: list[Entries], absent: int) -> None:
        """Fill on a GPU. The bins are computed once, and all sums are copied to the host together."""
        keep = self._usable(flat, absent)
        masks = [valid for _, valid in flat if valid is not None]
        on_axes = device.all_of(masks) if masks else None
        columns = []
        for weight, (array, valid) in zip(group, varied, strict=True):
            column = numbers(weight.text, array)
            if valid is not None:
                lost = ~valid if on_axes is None else ~valid & on_axes
                self.none += device.to_python(count_true(lost))
                column = np.where(valid, column, 0.0)
            columns.append(column)
        if keep is not None:
            device.count_wait()
            keep = np.flatnonzero(keep)
        arrays = [array if keep is None or np.ndim(array) == 0 else array[keep] for array, _ in flat]
        columns = [column if keep is None or np.ndim(column) == 0 else column[keep] for column in columns]
        parts = binning.fill_all(self._plain, self._storage, arrays, columns)
        for weight, column, part in zip(group, columns, parts, strict=True):
            sums = part["value"] if part.dtype.names else part
            if np.isfinite(sums).all():
                self._add(part, weight.variation)
            else:
                finite = self._finite(arrays, column)
                self._add(binning.fill(self._plain, self._storage, *finite), weight.variation)


def _to_host(flat: list[Entries]) -> list[Entries]:
    return [(_downloaded(array), _downloaded(valid)) for array, valid in flat]


def _downloaded(array: Any) -> Any:
    return device.download(array) if device.on_gpu(array) else array
