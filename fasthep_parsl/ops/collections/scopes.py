"""Scopes of expressions on objects: in a selection of muons, ``pt`` is the ``pt`` of the muon.

A scope adds local names (fields of the objects, quantities computed from them) to the fields of the stream. Values per
event are repeated for each object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fasthep_parsl.interfaces import UNKNOWN, Context, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak
from fasthep_parsl.ops.collections.collection import unflatten
from fasthep_parsl.ops.columns.gather import repeat
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, is_scalar, same_offsets
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression

Reads = dict[str, ParamPath]


class ScopeSchema:
    """The names that expressions on objects may use, known before events are read.

    Parameters
    ----------
    schema : mapping
        Fields of the stream.
    structure : tuple
        Structure of the objects.
    local : mapping of str to iterable of str
        Local name → fields of the stream that it is computed from.
    """

    def __init__(self, schema: Schema, structure: Shape, local: Mapping[str, Iterable[str]]) -> None:
        self.structure = structure
        self.local = local
        self.known: dict[str, Shape] = dict.fromkeys(local, structure) | {
            field: shape for field, shape in schema.items() if field not in local
        }

    def analyse(self, text: str, path: ParamPath) -> tuple[Reads, list[OpProblem]]:
        """Return the fields of the stream that `text` needs, and its problems.

        The result must be one value per object or per event.
        """
        names, shape, problems = analyse_expression(text, path, self.known)
        reads = {field: path for name in names for field in self.local.get(name, (name,))}
        if not problems and shape not in ((), UNKNOWN, self.structure):
            message = f"`{text}` is not one value per object of {' '.join(self.structure)}"
            problems = [OpProblem(path, message, "reduce lists of other objects, e.g. with any(…) or sum(…)")]
        return reads, problems


class Scope(Mapping[str, Any]):
    """The names that expressions on objects may use, with their values. Expressions take it as their events.

    Parameters
    ----------
    events : mapping of str to column
        Fields of the stream.
    offsets : array of int64, shape (events + 1,)
        Structure of the objects.
    local : callable
        ``local(name)`` → flat column of shape (objects,), or None if the name is not local.
    """

    def __init__(self, events: Mapping[str, Any], offsets: Any, local: Callable[[str], Any]) -> None:
        self._events = events
        self._local = local
        self._flat: dict[str, Any] = {}
        self.offsets = offsets

    def flat(self, name: str) -> Any:
        """Return a flat local column, or None if `name` is not local."""
        if name not in self._flat:
            self._flat[name] = self._local(name)
        return self._flat[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self.flat(name) is not None or name in self._events)

    def __getitem__(self, name: str) -> Any:
        values = self.flat(name)
        if values is None:
            return self._events[name]
        # `Jagged` saves a conversion to awkward and back
        return unflatten(self.offsets, values) if isinstance(values, ak.Array) else Jagged(self.offsets, values)

    def __iter__(self) -> Any:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def evaluate(self, text: str, context: Context | None = None) -> Any:
        """Return the value of `text` per object: numpy or flat awkward array, shape (objects,).

        Raises
        ------
        ExpressionError
            The result is not one value per object or event.
        """
        try:
            value = expression(text).value(self, context)
            return self._per_object(value)
        except ExpressionError as error:
            raise type(error)(f"in `{text}`: {error.message}", error.hint) from None

    def mask(self, text: str, context: Context | None = None) -> Any:
        """Return whether each object fulfils `text`: bool, shape (objects,). Missing values count as false."""
        value = from_column(self.evaluate(text, context))
        if isinstance(value, ak.Array):
            raise ExpressionError(f"`{text}` is text, but a selection needs true or false", "compare it with ==")
        flat = value.values if isinstance(value, Masked) else value
        mask = flat if flat.dtype == bool else flat != 0
        return mask & value.valid if isinstance(value, Masked) else mask

    def _per_object(self, value: Any) -> Any:
        if isinstance(value, Jagged):
            return self._checked(value.offsets, value.content)
        number = device.to_python(self.offsets[-1])
        if is_scalar(value):
            return device.module_of(self.offsets).full(number, value)
        return to_awkward(repeat(value, self.offsets, number))

    def _checked(self, offsets: Any, content: Any) -> Any:
        if not same_offsets(offsets, self.offsets):
            raise ExpressionError("the result is not one value per object")
        return to_awkward(content)
