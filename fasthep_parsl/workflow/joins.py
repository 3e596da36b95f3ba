"""Section ``joins``: convert spellings, find mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.workflow.join_model import JoinInput, JoinSpec
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, problem

_ONE = "list all sources in one join: `inputs: [a, b, c]`"


def respell_joins(document: Document) -> tuple[Document, tuple[Problem, ...]]:
    """Return `document` with fields of joined sources as fields of the join, and warnings.

    ``{stream: b, branch: x}`` is ``{stream: joined, branch: b.x}``. What fasthep-flow would only warn of is refused when
    it occurs.
    """
    joins = document.get(("joins",))
    if joins is None or not isinstance(joins.value, dict) or len(joins.value) != 1:
        return document, ()
    (name, join), *_ = joins.value.items()
    sections = dict(document.root.value)
    warnings: list[Problem] = []
    mismatch = join.child("on_mismatch")
    if mismatch is not None and mismatch.value == "warn":
        message = "`on_mismatch: warn` is `error`: events are never dropped or shifted"
        path = ("joins", name, "on_mismatch")
        warnings.append(problem(document, path, "W107", message, "write `error`, or `missing` with `by`"))
        changed = replace(join, value={**join.value, "on_mismatch": replace(mismatch, value="error")})
        sections["joins"] = replace(joins, value={name: changed})
    fields = document.get(("fields",))
    if fields is not None and isinstance(fields.value, dict):
        prefixes = dict(_prefixes(join))
        sections["fields"] = replace(
            fields, value={key: _of_join(item, name, prefixes) for key, item in fields.value.items()}
        )
    return replace(document, root=replace(document.root, value=sections)), tuple(warnings)


def _prefixes(join: Node) -> Iterator[tuple[str, str]]:
    inputs = join.child("inputs")
    for item in inputs.value if inputs is not None and isinstance(inputs.value, list) else ():
        if isinstance(item.value, str):
            yield item.value, item.value
        elif isinstance(item.value, dict):
            source, prefix = item.child("source"), item.child("prefix")
            if source is not None and isinstance(source.value, str):
                given = prefix.value if prefix is not None else None
                yield source.value, given if isinstance(given, str) else source.value


def _of_join(field: Node, join: str, prefixes: dict[str, str]) -> Node:
    stream, branch = field.child("stream"), field.child("branch")
    if stream is None or branch is None or not isinstance(stream.value, str) or stream.value not in prefixes:
        return field
    prefix = prefixes[stream.value]
    named = {"stream": replace(stream, value=join), "branch": _prefixed(branch, prefix)}
    return replace(field, value={**field.value, **named})


def _prefixed(branch: Node, prefix: str) -> Node:
    """Return the name of a branch, or one for each era, with a prefix."""
    if isinstance(branch.value, str):
        return replace(branch, value=f"{prefix}.{branch.value}")
    if isinstance(branch.value, dict):
        return replace(branch, value={key: _prefixed(item, prefix) for key, item in branch.value.items()})
    return branch


def check_joins(workflow: Workflow, document: Document) -> list[Problem]:
    """Return what is wrong with sources that are joined, or that should be."""
    found: list[Problem] = []
    names = list(workflow.joins)
    for name in names[1:]:
        message = f"more than one join: `{name}`"
        found.append(problem(document, ("joins", name), "E107", message, _ONE, on="key"))
    if workflow.join is None:
        found += _not_joined(workflow, document, list(workflow.sources)[1:])
    else:
        found += _Join(workflow, document, names[0], workflow.join).problems()
    return found


def _not_joined(workflow: Workflow, document: Document, others: list[str]) -> Iterator[Problem]:
    first = workflow.source_name
    for name in others:
        message = f"more than one source: `{name}`"
        hint = f"join them, `joins: {{events: {{inputs: [{first}, {name}]}}}}`, or write one workflow per source"
        yield problem(document, ("sources", name), "E107", message, hint, on="key")
    for name, source in workflow.sources.items():
        if source.files is not None and workflow.join is None and name not in others:
            yield _own_files(document, name)


def _own_files(document: Document, name: str) -> Problem:
    message = f"source `{name}` is that of the events: its files are those of the datasets"
    hint = "list them in `data.datasets`; `files` is for sources that `joins` adds"
    return problem(document, ("sources", name, "files"), "E106", message, hint, on="key")


class _Join:
    def __init__(self, workflow: Workflow, document: Document, name: str, join: JoinSpec) -> None:
        self.workflow, self.document, self.name, self.join = workflow, document, name, join

    def problems(self) -> Iterator[Problem]:
        sources = self.workflow.sources
        if self.name in sources:
            message = f"`{self.name}` is a source and a join"
            yield problem(self.document, ("joins", self.name), "E106", message, "rename one of them", on="key")
        joined = [item.source for item in self.join.inputs]
        left = [name for name in sources if name not in joined]
        if set(joined) <= sources.keys():
            for name in left:
                message = f"source `{name}` is not in the join `{self.name}`"
                hint = f"add it to `joins.{self.name}.inputs`, or remove it"
                yield problem(self.document, ("sources", name), "E107", message, hint, on="key")
        seen: dict[str, str] = {}
        for number, item in enumerate(self.join.inputs):
            yield from self._input(number, item, seen)
        if self.join.on_mismatch == "missing" and not any(item.by for item in self.join.inputs):
            yield self._needs_keys(("on_mismatch",))
        if self.workflow.primary_stream in joined:
            message = f"`{self.workflow.primary_stream}` is a source of the join `{self.name}`, not a stream of its own"
            hint = f"write `primary_stream: {self.name}`"
            yield problem(self.document, ("primary_stream",), "E106", message, hint)

    def _input(self, number: int, item: JoinInput, seen: dict[str, str]) -> Iterator[Problem]:
        at: KeyPath = ("inputs", number)
        path: KeyPath = ("joins", self.name, *at)
        where: KeyPath = (*path, "source") if self.document.has((*path, "source")) else path
        if item.source in self.workflow.joins:
            message = f"`{item.source}` is a join: joins cannot be joined"
            yield problem(self.document, where, "E107", message, _ONE)
            return
        if item.source not in self.workflow.sources:
            hint = suggest(item.source, self.workflow.sources, what="sources")
            yield problem(self.document, where, "E106", f"no source `{item.source}`", hint, name=item.source)
            return
        if any(item.source == other.source for other in self.join.inputs[:number]):
            message = f"source `{item.source}` is twice in the join"
            yield problem(self.document, where, "E106", message, "remove one of them")
            return
        prefix = item.prefix_or_name
        other = seen.setdefault(prefix, item.source)
        if prefix == "dataset" or other != item.source:
            taken = "facts of datasets" if prefix == "dataset" else f"source `{other}`"
            message = f"prefix `{prefix}` is that of {taken}"
            yield problem(self.document, (*path, "prefix"), "E106", message, "choose another `prefix`")
        if not number:
            yield from self._first(path, item)
        elif item.on_mismatch == "missing" and not item.by:
            yield self._needs_keys((*at, "on_mismatch"))

    def _first(self, path: KeyPath, item: JoinInput) -> Iterator[Problem]:
        """Refuse keys and files of the first source: its events are those of the datasets."""
        if self.workflow.sources[item.source].files is not None:
            yield _own_files(self.document, item.source)
        for key in ("by", "on_mismatch", "applies_to"):
            if getattr(item, key):
                message = f"source `{item.source}` is the first one: its events are those of the join"
                hint = f"write `{key}` for the sources that are added to it"
                yield problem(self.document, (*path, key), "E106", message, hint, on="key")

    def _needs_keys(self, at: KeyPath) -> Problem:
        message = "`missing` needs keys: entries that are counted cannot be missing"
        hint = "add `by: [run, luminosityBlock, event]` to the source, or remove `on_mismatch`"
        return problem(self.document, ("joins", self.name, *at), "E106", message, hint)
