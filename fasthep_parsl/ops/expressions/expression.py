"""Expressions over fields: ``expression("Muon_pt[abs(Muon_eta) < 2.4] > 20")``.

An expression is parsed once (`grammar`), checked against a schema without reading events (`Expression.shape`), and
computed on flat arrays (`fasthep_parsl.ops.columns`).

- A name is a field. ``dataset.<key>`` is ``name``, ``eventtype``, ``group`` or a key of ``meta`` of the dataset. Any
  other dotted name is a field with that name (``Sel.presel``).
- A reduction (``sum``, ``any`` …) runs over the objects of each event.
- ``x[mask]`` selects objects, ``x[positions]`` takes objects, ``x[argmax(y)]`` takes one object per event. The result
  is missing in events without objects.
- The result of an operation on a missing value is missing. ``fill_none``, ``is_none`` and reductions are exceptions.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from fasthep_parsl.interfaces import UNKNOWN, Context, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops.columns.layouts import to_column
from fasthep_parsl.ops.columns.value_types import ExpressionError, Value
from fasthep_parsl.ops.expressions.constants import fold_constants, is_float
from fasthep_parsl.ops.expressions.evaluation import Evaluation
from fasthep_parsl.ops.expressions.functions import function
from fasthep_parsl.ops.expressions.grammar import CONSTANTS, dotted, parse
from fasthep_parsl.ops.expressions.structure import keywords_of, shape_of, unknown_field
from fasthep_parsl.ops.stream import Column, Events

__all__ = ["Expression", "ExpressionAnalysis", "ExpressionError", "analyse_expression", "expression", "with_prefix"]


class Expression:
    """A parsed expression; immutable. Use `expression` to create one: it caches them.

    Attributes
    ----------
    text : str
        The text of the expression.
    names : frozenset of str
        Fields that it reads, without functions, constants and ``dataset.<key>``.
    constants : frozenset of str
        Names of constants in it (``pi``, ``e`` …). If there is a field of that name, it is the field.
    meta : frozenset of str
        Keys in ``dataset.<key>``.
    """

    __slots__ = ("_tree", "constants", "meta", "names", "text")

    def __init__(self, text: str, tree: ast.expr) -> None:
        self.text = text
        self._tree = tree
        found = set(_names(tree))
        self.meta = frozenset(name.partition(".")[2] for name in found if name.startswith("dataset."))
        self.constants = frozenset(found & CONSTANTS.keys())
        self.names = frozenset(name for name in found - self.constants if not name.startswith("dataset."))

    def __repr__(self) -> str:
        return f"expression({self.text!r})"

    def __reduce__(self) -> Any:
        return expression, (self.text,)

    def reads(self, known: Container[str]) -> frozenset[str]:
        """Return the fields that it reads: `names`, and those of `known` with the name of a constant."""
        return self.names | {name for name in self.constants if name in known}

    @property
    def constant(self) -> bool | int | float | str | None:
        """Its value if it reads nothing and can be computed now, else None."""
        value = self._tree.value if isinstance(self._tree, ast.Constant) else None
        return value if isinstance(value, bool | int | float | str) else None

    @property
    def sure_type(self) -> Literal["text", "float", ""]:
        """Type of its result if it is the same whatever its fields are and is text or floats; else empty."""
        if isinstance(self.constant, str):
            return "text"
        return "float" if is_float(self._tree) else ""

    def shape(self, schema: Schema) -> Shape:
        """Return the structure of the result for fields with the structures in `schema`.

        Raises
        ------
        ExpressionError
            A field is unknown, jagged fields have different structure, or a reduction has no list to reduce.
        """
        return shape_of(self._tree, schema)

    def value(self, events: Mapping[str, Column], context: Context | None = None) -> Value:
        """Return the result without conversion to a column: a constant, an array, `Masked` or `Jagged`."""
        if isinstance(self._tree, ast.Name | ast.Attribute):
            return Evaluation(events, context).name(dotted(self._tree) or "", alone=True)
        return Evaluation(events, context).of(self._tree)

    def __call__(self, events: Mapping[str, Column], context: Context | None = None) -> Column:
        """Return the result as a column.

        Parameters
        ----------
        events : Events or mapping
            Field → column. All columns have the same number of events.
        context : Context, optional
            Needed for ``dataset.<key>``.

        Returns
        -------
        numpy array of shape (events,), or awkward array if the result is jagged or has missing values.

        Raises
        ------
        ExpressionError
            The fields cannot be combined, or ``dataset.<key>`` is unknown.
        """
        try:
            value = self.value(events, context)
        except ExpressionError as error:
            raise type(error)(f"in `{self.text}`: {error.message}", error.hint) from None
        return to_column(value, _number_of(events))


@lru_cache(maxsize=4096)
def expression(text: str) -> Expression:
    """Parse `text`.

    Raises
    ------
    ExpressionError
        The text is not a valid expression. The hint tells how to correct it.
    """
    tree = fold_constants(parse(text))
    _check_functions(tree)
    return Expression(text, tree)


def with_prefix(text: str, prefix: str, known: Container[str]) -> Expression:
    """Return the expression `text` with each name ``x`` replaced by ``<prefix>x`` if `known` has that field.

    Parameters
    ----------
    text : str
        E.g. ``"pt > 20"``.
    prefix : str
        E.g. ``"Muon_"``.
    known : container of str
        Fields of the stream (a schema, or events).
    """
    if not prefix:
        return expression(text)
    plain = expression(text)
    renamed = {name: prefix + name for name in plain.names | plain.constants if prefix + name in known}
    if not renamed:
        return plain
    tree = _Rename(renamed).visit(parse(text))
    return expression(ast.unparse(tree))


class ExpressionAnalysis(NamedTuple):
    """What is known about an expression before any event is read.

    Attributes
    ----------
    reads : dict
        Field that the expression reads → path of the expression in the parameters.
    shape : tuple of str
        Structure of the result; unknown if there are problems.
    problems : list of OpProblem
        Mistakes in the expression.
    """

    reads: dict[str, ParamPath]
    shape: Shape
    problems: list[OpProblem]


def analyse_expression(text: str, path: ParamPath, schema: Schema, *, prefix: str = "") -> ExpressionAnalysis:
    """Check an expression in an op's parameters, without reading an event.

    Parameters
    ----------
    text : str
        The expression.
    path : tuple
        Its place in the parameters, e.g. ``("variables", 0, "expr")``. Problems name it.
    schema : mapping
        Fields of the stream.
    prefix : str
        See `with_prefix`.

    Examples
    --------
    >>> found = analyse_expression("sum(Muon_pt)", ("expr",), {"nMuon": (), "Muon_pt": ("nMuon",)})
    >>> found.reads, found.shape, found.problems
    ({'Muon_pt': ('expr',)}, (), [])
    """
    try:
        found = with_prefix(text, prefix, schema)
        reads = dict.fromkeys(sorted(found.reads(schema) & schema.keys()), path)
    except ExpressionError as error:
        return ExpressionAnalysis({}, UNKNOWN, [_problem(path, error)])
    unknown = [_problem(path, unknown_field(name, schema)) for name in sorted(found.names - schema.keys())]
    if unknown:
        return ExpressionAnalysis(reads, UNKNOWN, unknown)
    try:
        return ExpressionAnalysis(reads, found.shape(schema), [])
    except ExpressionError as error:
        return ExpressionAnalysis(reads, UNKNOWN, [_problem(path, error)])


def _problem(path: ParamPath, error: ExpressionError) -> OpProblem:
    return OpProblem(path, error.message, error.hint, error.name, "E150" if error.name else "E151")


# --- names ------------------------------------------------------------------------------------------------


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        return [dotted(node) or ""]
    if isinstance(node, ast.Call):
        return [name for part in (*node.args, *(k.value for k in node.keywords)) for name in _names(part)]
    return [name for child in ast.iter_child_nodes(node) for name in _names(child)]


class _Rename(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        name = dotted(node) or ""
        return ast.Name(self.names.get(name, name), node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.args = [self.visit(arg) for arg in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node


def _check_functions(tree: ast.expr) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function(dotted(node.func) or "").bind(list(node.args), keywords_of(node))


def _number_of(events: Mapping[str, Column]) -> int:
    if isinstance(events, Events):
        return len(events)
    return len(next(iter(events.values()))) if events else 0
