"""The decorator ``@op``: turns a function over events into an operation that a workflow can name."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

from fasthep_parsl.interfaces import Effects, Op, OpProblem, ParamPath, Schema, Scope, Shape
from fasthep_parsl.names import wrong_with

F = TypeVar("F", bound=Callable[..., Any])
Names = Iterable[str] | Callable[..., Iterable[str]]
UNKNOWN: Shape = ("*",)


def op(
    name: str,
    *,
    reads: Names = (),
    writes: Names | Mapping[str, Shape] = (),
    scope: Scope = "partition",
    merge: Callable[[Any, Any], Any] | None = None,
    product: str | None = None,
    stream: bool | None = None,
    per_partition: bool = False,
    params: type[BaseModel] | None = None,
    analyse: Callable[[Any, Schema], Effects] | None = None,
) -> Callable[[F], F]:
    """Declare ``f(events, *, params…)`` as the operation `name`.

    The function may return events (a filtered or extended `Events`), a dict of new columns, or a product; with
    ``stream=True`` and ``product="x"`` a tuple of both.

    Parameters
    ----------
    name : str
        Dotted name under which a workflow finds it, e.g. ``custom.dimuon_mass``.
    reads, writes : iterable of str, or callable of the parameters
        Fields that it needs and adds. Templates over the parameters (``"{output}_pt"``) are filled in; a template
        over a list gives one name per item; an optional name ends in ``?``. ``"*"`` in `reads` means all.
    scope : "partition", "dataset" or "workflow"
        Runs per slice of events, once per dataset, or once.
    merge : callable, optional
        ``(a, b) -> c``, associative: joins two products, `a` of earlier events. Required for a product of scope ``partition``.
    product : str, optional
        Name of the product; with `merge`, or another scope than ``partition``, default ``"product"``.
    stream : bool, optional
        Whether it yields events; default: yes unless it yields a product.
    per_partition : bool
        Whether it must see each partition alone. Otherwise several adjacent partitions may come at once.
    params : type of BaseModel, optional
        Validates the parameters; default: built from the keywords of the function and their annotations.
    analyse : callable, optional
        ``(params, schema) -> Effects``; replaces `reads` and `writes`.

    Raises
    ------
    TypeError
        The declaration contradicts itself; raised at import, with the op's name.

    Examples
    --------
    >>> from fasthep_parsl import op
    >>> @op("custom.ht", reads=["Jet_pt"], writes=["{output}"])
    ... def ht(events, *, output: str = "HT"):
    ...     import awkward as ak
    ...     return {output: ak.sum(events.Jet_pt, axis=1)}
    """
    yields_product = product or ("product" if merge is not None or scope != "partition" else None)
    for what, given in (("name", name), ("product", yields_product)):
        wrong = wrong_with(given) if given is not None else ""
        if wrong:  # both become files
            raise TypeError(f"op {name!r}: {given!r} cannot be its {what}: {wrong}")
    yields_stream = (yields_product is None) if stream is None else stream
    if scope == "partition" and yields_product and merge is None:
        raise TypeError(f"op {name!r} yields a product per partition: give merge=(a, b) -> c")
    if scope != "partition" and yields_stream:
        raise TypeError(f"op {name!r} has scope {scope!r}: it can yield a product, not a stream")

    def decorate(function: F) -> F:
        model = params or _model_of(function, name)
        keywords = inspect.signature(function).parameters
        positional = [p for p in keywords.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        function.op = Op(  # type: ignore[attr-defined]
            name=name,
            call=function,
            params=model,
            analyse=analyse or _Templates(reads, writes),
            scope=scope,
            stream=yields_stream,
            product=yields_product,
            merge=merge,
            per_partition=per_partition,
            takes_events=bool(positional),
            takes_context="context" in keywords,
        )
        return function

    return decorate


def _model_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """Build a parameter model from the keyword-only arguments of `function`."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"op {name!r}: name the parameters instead of **{parameter.name}")
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == "context":
            continue
        annotation = _resolve(parameter.annotation, function)
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (annotation, default)
    config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    return create_model(f"{function.__name__}_params", __config__=config, **fields)


def _resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    """Return the type that `annotation` means; Any where it is only known to type checkers."""
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        try:
            return eval(annotation, function.__globals__)  # noqa: S307
        except NameError:
            return Any
    return annotation


class _Templates:
    """`analyse` for ops that declare `reads` and `writes` as names or templates."""

    def __init__(self, reads: Names, writes: Names | Mapping[str, Shape]) -> None:
        self.reads = reads
        self.writes = writes

    def __call__(self, params: BaseModel, schema: Schema) -> Effects:
        reads: dict[str, ParamPath] = {}
        problems: list[OpProblem] = []
        keeps_all = False
        for name, path in _expand(self.reads, params):
            if name == "*":
                keeps_all = True
            elif not name.endswith("?"):
                reads[name] = path
            elif name[:-1] in schema:
                reads[name[:-1]] = path
        shapes = self.writes if isinstance(self.writes, Mapping) else {}
        names = list(self.writes) if isinstance(self.writes, Mapping) else self.writes
        writes = {name: shapes.get(name, schema.get(name, UNKNOWN)) for name, _ in _expand(names, params)}
        return Effects(reads, writes, tuple(problems), keeps_all)


def _expand(names: Names, params: BaseModel) -> list[tuple[str, ParamPath]]:
    """Fill templates from the parameters; a list value gives one name per item."""
    values = {key: getattr(params, key) for key in type(params).model_fields}
    if callable(names):
        names = names(**values)
    found: list[tuple[str, ParamPath]] = []
    for template in names:
        keys = [key for _, key, _, _ in string.Formatter().parse(template) if key]
        rows: list[tuple[dict[str, Any], ParamPath]] = [({}, ())]
        for key in keys:
            value = values[key]
            if isinstance(value, list | tuple | set | frozenset):
                items = list(enumerate(value))
                rows = [({**r, key: v}, (key, i)) for r, _ in rows for i, v in items]
            elif value is None:
                rows = []
            else:
                rows = [({**r, key: value}, (key,)) for r, _ in rows]
        found += [(template.format(**row), path) for row, path in rows]
    return found
