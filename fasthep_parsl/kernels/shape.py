"""Requirements of a kernel for its arguments, found in its source: which are written, and how long they must be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from fasthep_parsl.kernels.source import KernelFunction, KernelSource


@dataclass(frozen=True)
class Needs:
    """Requirements for the arguments of a kernel.

    Attributes
    ----------
    written : frozenset of str
        Parameters that it writes to.
    entries : mapping of str to int
        Parameter that is indexed with the number of the event → entries that it needs beyond the number of events:
        0 for ``x[i]``, 1 for ``x[i + 1]``.
    inside : mapping of str to set of str
        Parameter that is indexed within lists → offsets of these lists. It must be as long as the last list reaches.
    """

    written: frozenset[str]
    entries: dict[str, int] = field(default_factory=dict)
    inside: dict[str, set[str]] = field(default_factory=dict)


def needs(source: KernelSource) -> Needs:
    """Return the requirements of a kernel, as far as they are evident from its source."""
    kernel = source.kernel
    event, *parameters = kernel.parameters
    rows = _rows(kernel.node, event, set(parameters))
    entries: dict[str, int] = {}
    inside: dict[str, set[str]] = {}
    for name, index in _subscripts(kernel.node):
        if name not in parameters:
            continue
        beyond = _beyond(index, event)
        if beyond is not None:
            entries[name] = max(entries.get(name, 0), beyond)
        elif isinstance(index, ast.Name) and index.id in rows:
            inside.setdefault(name, set()).add(rows[index.id])
    return Needs(frozenset(_written(source, kernel, ())), entries, inside)


def _subscripts(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
            yield part.value.id, part.slice


def _beyond(index: ast.expr, event: str) -> int | None:
    """Return 0 for ``i``, 1 for ``i + 1``, None for anything else."""
    if isinstance(index, ast.Name) and index.id == event:
        return 0
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add):
        names = [part.id for part in (index.left, index.right) if isinstance(part, ast.Name)]
        numbers = [part.value for part in (index.left, index.right) if isinstance(part, ast.Constant)]
        if names == [event] and len(numbers) == 1 and isinstance(numbers[0], int) and numbers[0] > 0:
            return numbers[0]
    return None


def _rows(function: ast.FunctionDef, event: str, parameters: set[str]) -> dict[str, str]:
    """Return loop variables over the items of a list, ``for a in range(…, offsets[i + 1])`` → its offsets."""

    def end_of(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return ends.get(node.id)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and _beyond(node.slice, event) == 1:
            return node.value.id if node.value.id in parameters else None
        return None

    stores: dict[str, int] = {}
    for part in ast.walk(function):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            stores[part.id] = stores.get(part.id, 0) + 1
    ends: dict[str, str] = {}
    for part in ast.walk(function):
        for target, value in _pairs(part):
            found = end_of(value)
            if found is not None and stores[target] == 1:
                ends[target] = found
    over: dict[str, list[str | None]] = {}
    for part in ast.walk(function):
        if isinstance(part, ast.For) and isinstance(part.target, ast.Name):
            call = part.iter
            plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
            stop = call.args[1] if plain and isinstance(call, ast.Call) and len(call.args) == 2 else None
            over.setdefault(part.target.id, []).append(end_of(stop) if stop is not None else None)
    # A variable that is also set elsewhere, or loops over different lists, is not used.
    return {
        name: found[0]
        for name, found in over.items()
        if found[0] is not None and len(set(found)) == 1 and stores[name] == len(found)
    }


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of ``a = x`` and ``a, b = x, y``."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for name, part in zip(target.elts, value.elts, strict=True):
            if isinstance(name, ast.Name):
                yield name.id, part


def _written(source: KernelSource, function: KernelFunction, within: tuple[str, ...]) -> set[str]:
    """Return the parameters that a function writes to, directly or through called functions."""
    found = set()
    for part in ast.walk(function.node):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name) and not isinstance(part.ctx, ast.Load):
            found.add(part.value.id)
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            called = source.called(part.func.id)
            if called is None or called.name in within:
                continue
            theirs = _written(source, called, (*within, function.name))
            for name, argument in zip(called.parameters, part.args, strict=False):
                if name in theirs and isinstance(argument, ast.Name):
                    found.add(argument.id)
    return found & set(function.parameters)
