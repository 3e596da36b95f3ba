"""The decorator ``@op``: declare a function over events as an operation that workflows can name."""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

from fasthep_parsl.interfaces import UNKNOWN, Effects, Op, ParamPath, Schema, Scope, Shape
from fasthep_parsl.interfaces.file_parameters import wrong_with_files
from fasthep_parsl.names import wrong_with

F = TypeVar("F", bound=Callable[..., Any])
Names = Iterable[str] | Callable[..., Iterable[str]]


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
    keeps_events: bool = False,
    params: type[BaseModel] | None = None,
    analyse: Callable[[Any, Schema], Effects] | None = None,
    packages: Callable[[Any], tuple[str, ...]] | None = None,
) -> Callable[[F], F]:
    """Declare ``f(events, *, params…)`` as the operation `name`.

    The function may return events (a filtered or extended `Events`), a dict of new columns, or a product; with
    ``stream=True`` and ``product="x"`` a tuple of both. A keyword ``context`` receives a `Context`.

    Parameters
    ----------
    name : str
        Dotted name that workflows use, e.g. ``custom.dimuon_mass``.
    reads, writes : iterable of str, or callable of the parameters
        Fields that it needs and adds. Templates over the parameters (``"{output}_pt"``) are filled in; a template
        over a list gives one name per item; an optional name ends in ``?``. ``"*"`` in `reads` means all.
    scope : "partition", "dataset" or "workflow"
        Run per slice of events, once per dataset, or once.
    merge : callable, optional
        ``(a, b) -> c``, associative: joins two products, `a` of earlier events. Required for a product of scope ``partition``.
    product : str, optional
        Name of the product; with `merge`, or another scope than ``partition``, default ``"product"``.
    stream : bool, optional
        Whether it yields events; default: yes unless it yields a product.
    per_partition : bool
        Whether it must receive each partition alone. Otherwise it may receive several adjacent partitions at once.
    keeps_events : bool
        It only adds fields: its stream has the same events in the same order. Then systematic variations need less
        time. A run checks the number of events.
    params : type of BaseModel, optional
        Model of the parameters, with ``extra="forbid"``. The function then receives the validated model as its keyword ``params``. Default: a
        model built from the keywords of the function and their annotations; the function receives its keywords.
    analyse : callable, optional
        ``(params, schema) -> Effects``; replaces `reads` and `writes`. See `analyse_expression` for ops that take
        expressions.
    packages : callable, optional
        ``(params) -> names`` of modules that the function of an installed op imports only when it runs. Workers must have
        the versions of the plan.

    Raises
    ------
    TypeError
        The declaration contradicts itself. Raised at import, with the op's name.

    Examples
    --------
    >>> from fasthep_parsl import op
    >>> @op("custom.ht", reads=["Jet_pt"], writes=["{output}"])
    ... def ht(events, *, output: str = "HT"):
    ...     import awkward as ak
    ...     return {output: ak.sum(events.Jet_pt, axis=1)}
    """
    product = product or ("product" if merge is not None or scope != "partition" else None)
    stream = (product is None) if stream is None else stream
    _check(name, scope, product, merge, stream=stream)
    if keeps_events and not stream:
        raise TypeError(f"op {name!r} has keeps_events=True, but yields no events")

    def decorate(function: F) -> F:
        model = params or _model_of(function, name)
        analysis = analyse or _Templates(reads, writes)
        wrong = wrong_with_files(model)
        if wrong:
            raise TypeError(f"op {name!r}: {wrong}")
        function.op = Op(  # type: ignore[attr-defined]
            name=name,
            call=function,
            params=model,
            analyse=_KeepsEvents(analysis) if keeps_events else analysis,
            scope=scope,
            stream=stream,
            product=product,
            merge=merge,
            per_partition=per_partition,
            takes_events=_takes_events(function),
            takes_model=_takes_model(function, name, params),
            takes_context="context" in inspect.signature(function).parameters,
            packages=packages,
            keeps_events=keeps_events,
        )
        return function

    return decorate


def _check(
    name: str, scope: Scope, product: str | None, merge: Callable[[Any, Any], Any] | None, *, stream: bool
) -> None:
    """Raise `TypeError` if the declaration contradicts itself."""
    for what, given in (("name", name), ("product", product)):
        wrong = wrong_with(given) if given is not None else ""
        if wrong:  # both become file names
            raise TypeError(f"op {name!r}: {given!r} cannot be its {what}: {wrong}")
    if scope == "partition" and product and merge is None:
        raise TypeError(f"op {name!r} yields a product per partition: give merge=(a, b) -> c")
    if scope != "partition" and stream:
        raise TypeError(f"op {name!r} has scope {scope!r}: it can yield a product, not a stream")


def _takes_events(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _takes_model(function: Callable[..., Any], name: str, model: type[BaseModel] | None) -> bool:
    """Return whether `function` receives its parameters as a model.

    Raises
    ------
    TypeError
        The model accepts unknown parameters, or the function does not have exactly the keyword ``params`` for it.
    """
    if model is None:
        return False
    if model.model_config.get("extra") != "forbid":
        hint = 'give it model_config = ConfigDict(extra="forbid")'
        raise TypeError(f"op {name!r}: {model.__name__} accepts unknown parameters: {hint}")
    others = [keyword for keyword in _keywords(function) if keyword not in {"params", "context"}]
    if others or "params" not in _keywords(function):
        found = f", not {', '.join(others)}" if others else ""
        raise TypeError(f"op {name!r} has params={model.__name__}: the function takes the keyword `params`{found}")
    return True


def _keywords(function: Callable[..., Any]) -> list[str]:
    """Return the keyword-only arguments of `function`."""
    return [key for key, item in inspect.signature(function).parameters.items() if item.kind is item.KEYWORD_ONLY]


def _model_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """Build a parameter model from the keyword-only arguments of `function`."""
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"op {name!r}: name the parameters instead of **{parameter.name}")
    fields: dict[str, Any] = {}
    for key in _keywords(function):
        if key != "context":
            default = parameters[key].default
            default = ... if default is inspect.Parameter.empty else default
            fields[key] = (_resolve(parameters[key].annotation, function, f"op {name!r}: `{key}`"), default)
    config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    return create_model(f"{function.__name__}_params", __config__=config, **fields)


def _resolve(annotation: Any, function: Callable[..., Any], whose: str) -> Any:
    """Return the type that `annotation` names; `Any` if only type checkers can resolve it.

    Raises
    ------
    TypeError
        It is a file. Without the type, the file would not be sent to workers.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        try:
            return eval(annotation, function.__globals__)  # noqa: S307
        except NameError as error:
            if re.search(r"\bInput(File|Folder)\b", annotation):
                raise TypeError(f"{whose} is a file: import `{error.name}` also at run time") from None
            return Any
    return annotation


class _KeepsEvents:
    """The `analyse` of an op that only adds fields."""

    def __init__(self, analyse: Callable[[Any, Schema], Effects]) -> None:
        self.analyse = analyse

    def __call__(self, params: BaseModel, schema: Schema) -> Effects:
        return replace(self.analyse(params, schema), keeps_events=True)


class _Templates:
    """The `analyse` of ops that declare `reads` and `writes` as names or templates."""

    def __init__(self, reads: Names, writes: Names | Mapping[str, Shape]) -> None:
        self.reads = reads
        self.writes = writes

    def __call__(self, params: BaseModel, schema: Schema) -> Effects:
        reads: dict[str, ParamPath] = {}
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
        return Effects(reads, writes, keeps_all=keeps_all)


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
