"""The `execution` section as fasthep-flow writes it: `environment: {type: …}`, `staging: {mode: …}`.

What is converted follows ``hepflow.model.worker_environment`` and ``hepflow.compiler.execution`` of fasthep-flow 2026.10.1:
an empty `environment`, `config` or `profiles` is its own default and means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, problem

_EMPTY = ("environment", "staging", "config", "profiles")
"""Keys whose empty values are defaults of fasthep-flow."""
_MODES = {"shared": True, "transfer": False}
"""`staging.mode` → whether workers see the run directory."""
_NOT_NEEDED = {
    "archive_path": "archives are kept in the cache and in the run directory",
    "worker_env_dir": "nodes unpack into their scratch; `cache` names another folder",
}
"""Keys of a packed environment that fasthep-flow needs, and why they are not needed here."""


@dataclass(frozen=True, slots=True)
class Respelled:
    """A document in the spellings of this package.

    Attributes
    ----------
    document : Document
        The document.
    problems : tuple of Problem
        What cannot be converted.
    warnings : tuple of Problem
        What is ignored.
    """

    document: Document
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def respell_execution(document: Document, at: KeyPath = ()) -> Respelled:
    """Return `document` with the spellings of fasthep-flow in its `execution` section converted.

    Parameters
    ----------
    document : Document
        A workflow or a site profile.
    at : tuple
        Key path of the content of ``execution:``.
    """
    execution = document.get(at)
    if execution is None or not isinstance(execution.value, dict):
        return Respelled(document)
    content = {key: node for key, node in execution.value.items() if not (key in _EMPTY and _is_empty(node))}
    reader = _Reader(document, at)
    if "environment" in content:
        content["environment"] = reader.environment(content["environment"])
    if "credentials" in content:
        content["credentials"] = reader.credentials(content["credentials"])
    if "staging" in content:
        content = reader.staging(content)
    root = _at(document.root, at, replace(execution, value=content))
    return Respelled(replace(document, root=root), tuple(reader.problems), tuple(reader.warnings))


def _is_empty(node: Node) -> bool:
    return node.value is None or (isinstance(node.value, dict | list) and not node.value)


def _at(root: Node, path: KeyPath, new: Node) -> Node:
    """Return `root` with `new` at `path`, a path through mappings."""
    if not path:
        return new
    step = str(path[0])
    return replace(root, value={**root.value, step: _at(root.value[step], path[1:], new)})


class _Reader:
    def __init__(self, document: Document, at: KeyPath) -> None:
        self._document = document
        self._at = at
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def environment(self, node: Node) -> Node:
        """Return an environment with `kind` instead of `type`, and with our fields."""
        if not isinstance(node.value, dict):
            return node
        fields = self._with_kind(node.value, ("environment",))
        convert = self._conversions.get(str(fields["kind"].value)) if "kind" in fields else None
        return replace(node, value=convert(fields) if convert else fields)

    def credentials(self, node: Node) -> Node:
        """Return a list of credentials with `kind` instead of `type`. A single one becomes a list."""
        items = node.value if isinstance(node.value, list) else [node] if isinstance(node.value, dict | str) else None
        if items is None:
            return node
        found = [
            replace(item, value=self._with_kind(item.value, ("credentials", number)))
            if isinstance(item.value, dict)
            else item
            for number, item in enumerate(items)
        ]
        return replace(node, value=found)

    def _with_kind(self, fields: dict[str, Node], at: KeyPath) -> dict[str, Node]:
        """Return the fields of a kind with `kind` instead of `type`."""
        fields = dict(fields)
        named = fields.pop("type", None)
        if named is None:
            return fields
        if "kind" not in fields:
            return {"kind": named, **fields}
        if fields["kind"].value != named.value:
            message = f"`type` and `kind` differ: `{named.value}`, `{fields['kind'].value}`"
            path = (*self._at, *at, "type")
            self.problems.append(problem(self._document, path, "E106", message, "remove one of them"))
        return fields

    @property
    def _conversions(self) -> dict[str, Callable[[dict[str, Node]], dict[str, Node]]]:
        return {"shared-prefix": self._shared_prefix, "packed-pixi": self._packed_pixi}

    def _shared_prefix(self, fields: dict[str, Node]) -> dict[str, Node]:
        mode = fields.pop("mode", None)
        if mode is not None and mode.value != "shared":
            self._refuse("mode", f"`mode` of `shared-prefix` is `shared`, not `{mode.value}`", "remove `mode`")
        return fields

    def _packed_pixi(self, fields: dict[str, Node]) -> dict[str, Node]:
        for key in [key for key in _NOT_NEEDED if key in fields]:
            del fields[key]
            at = (*self._at, "environment", key)
            message = f"`{key}` of fasthep-flow is ignored"
            self.warnings.append(problem(self._document, at, "W107", message, _NOT_NEEDED[key], on="key"))
        mode = fields.pop("mode", None)
        if mode is None or mode.value == "self-extracting":
            if "source" in fields:
                self._refuse("source", "`source` needs `mode: prefix`", "remove it, or write `kind: packed-prefix`")
            return {key: node for key, node in fields.items() if key != "source"}
        if mode.value != "prefix":
            hint = suggest(str(mode.value), ["prefix", "self-extracting"], what="allowed")
            self._refuse("mode", f"`mode` of `packed-pixi` cannot be `{mode.value}`", hint)
            return fields
        return self._packed_prefix(fields)

    def _packed_prefix(self, fields: dict[str, Node]) -> dict[str, Node]:
        """Return the fields of `packed-prefix`, which `mode: prefix` means: the current installation is packed."""
        source = fields.pop("source", None)
        if source is not None and source.value != "current":
            hint = "write `{kind: packed-prefix, prefix: …}` to pack another installation"
            self._refuse("source", f"`source` is `current`, not `{source.value}`", hint)
        named = fields.pop("environment", None)
        if named is not None:
            hint = "remove it: the installation that starts the run is packed; or remove `mode`"
            self._refuse("environment", "`mode: prefix` packs no environment of a pixi project", hint)
        return {**fields, "kind": replace(fields["kind"], value="packed-prefix")}

    def staging(self, content: dict[str, Node]) -> dict[str, Node]:
        """Return the content of `execution` with `shared_filesystem` instead of `staging`."""
        node = content.pop("staging")
        mode = node.child("mode") if isinstance(node.value, dict) else None
        if mode is None or len(node.value) > 1 or mode.value not in _MODES:
            at, message = (*self._at, "staging"), "`staging` is `{mode: shared}` or `{mode: transfer}`"
            hint = "or write `shared_filesystem: true` or `false`"
            self.problems.append(problem(self._document, at, "E106", message, hint))
            return content
        shared = _MODES[mode.value]
        ours = content.get("shared_filesystem")
        if ours is not None and ours.value is not shared:
            at, message = (*self._at, "staging", "mode"), f"`{mode.value}` contradicts `shared_filesystem`"
            self.problems.append(problem(self._document, at, "E106", message, "remove one of them"))
        return {**content, "shared_filesystem": ours or replace(mode, value=shared, key=node.key)}

    def _refuse(self, key: str, message: str, hint: Hint) -> None:
        at = (*self._at, "environment", key)
        self.problems.append(problem(self._document, at, "E106", message, hint))
