"""The order of copies: those of one variation after each other, each as early as possible, so that streams end early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.segments import needed_columns
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_model import Copies


def in_order(copies: Copies) -> tuple[CheckedStage, ...]:
    """Return stages and copies in an order in which they can run.

    After each nominal stage come the copies that begin there, variation by variation.
    """
    items = {item.stage.id: item for item in copies.items}
    wanted: list[str] = []
    copied = {name for of in copies.after.values() for names in of.values() for name in names}
    for nominal in ("", *(name for name in items if name not in copied)):
        wanted += [nominal] if nominal else []
        for names in copies.after.get(nominal, {}).values():
            wanted += names
    return tuple(items[name] for name in _possible(wanted, items))


def _possible(wanted: Sequence[str], items: Mapping[str, CheckedStage]) -> list[str]:
    """Return an order in which every stage comes after those that it needs, as close to `wanted` as possible."""
    order: list[str] = []
    placed = {""}
    waiting = list(wanted)
    while waiting:
        ready = next(name for name in waiting if placed.issuperset(_before(items[name], items)))
        waiting.remove(ready)
        order.append(ready)
        placed.add(ready)
    return order


def _before(item: CheckedStage, items: Mapping[str, CheckedStage]) -> Iterable[str]:
    return {item.input, *(name for name in item.needs if name in items)}


def trimmed(stages: Sequence[CheckedStage], flow: Flow) -> tuple[CheckedStage, ...]:
    """Return stages that rename only the columns that they or later stages of their stream need."""
    needed = needed_columns(stages, flow)
    found = []
    for item in stages:
        wanted = set(flow.reads[item.stage.id]) | (set() if item.outputs else needed[item.stage.id])
        found.append(replace(item, renames={f: c for f, c in item.renames.items() if f in wanted}))
    return tuple(found)
