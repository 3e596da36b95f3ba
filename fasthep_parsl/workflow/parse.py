"""Parse YAML into a tree of `Node` with places. Mistakes are problems with line and column."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from fasthep_parsl.errors import ConfigError, Location, Problem
from fasthep_parsl.names import harmful
from fasthep_parsl.workflow.numbers import number
from fasthep_parsl.workflow.textfile import read_text
from fasthep_parsl.workflow.yamldoc import Document, Node, refuse

MAX_ALIASED = 100_000
"""Most values that aliases (``*name``) may add to a file. Aliases of aliases grow exponentially."""
MAX_DEPTH = 100
"""Deepest nesting: more than any workflow needs, less than Python's recursion limit."""
_TAG = "tag:yaml.org,2002:"
_TRUE = {"true", "yes", "on"}
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_MESSAGES = (
    ("mapping values are not allowed", "a `:` that YAML does not expect",
     "check the indentation, or put text with `: ` in quotes"),
    ("could not find expected ':'", "expected `key: value`", "is a `:` missing here or in the line before?"),
    ("another document", "a second document (`---`) in one file", "put it in a file of its own"),
    ("expected <block end>", "the indentation differs from the lines above", "check the indentation; is a `- ` missing?"),
    ("cannot start any token", "a character that cannot begin a value", "put the text in quotes"),
    ("maximum nesting depth", "nested too deeply", "is a bracket missing?"),
    ("stream end", "the text ends too early", "is a quote or bracket not closed?"),
    ("end of stream", "the text ends too early", "is a quote or bracket not closed?"),
)  # fmt: skip
"""Text of PyYAML's error (which has no codes), our message, and the hint."""


def split_lines(text: str) -> list[str]:
    """Return the lines of `text` as YAML counts them."""
    return _BREAK.split(text)


def load_file(path: Path, layer: str) -> Document:
    """Read one YAML file with a mapping at the top level. Includes are not followed.

    Parameters
    ----------
    path : Path
        The file, as messages name it.
    layer : str
        Name of its layer.

    Raises
    ------
    ConfigError
        The file cannot be read or is not YAML, a key is twice in one mapping, or the top level is not a mapping.
    """
    return parse(read_text(path), str(path), layer)


def parse(text: str, file: str, layer: str) -> Document:
    """Return the document in `text`. Messages name it `file`. Raise the same errors as `load_file`."""
    node = _compose(text, file)
    if node is None:
        raise ConfigError(Problem("E101", f"`{file}` is empty", where=Location(file, 1, 1)))
    reader = _Reader(file, layer)
    root = reader.read(node, None)
    if reader.problems:
        raise refuse(*reader.problems)
    if not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else "plain text"
        hint = "write `key: value` lines"
        raise ConfigError(Problem("E101", f"expected a mapping at the top level, found {what}", where=root.where,
                                  hint=hint))  # fmt: skip
    return Document(root, file, (file,))


def parse_value(text: str, location: Location, layer: str) -> Node:
    """Return the value in `text`, one line of YAML as in ``--set a.b=text``. All its places are `location`."""
    node = _compose(text, location.file)
    if node is None:
        return Node(None, location, location, layer)
    reader = _Reader(location.file, layer, fixed=location)
    root = reader.read(node, location)
    if reader.problems:
        raise refuse(*reader.problems)
    return root


def _compose(text: str, file: str) -> yaml.Node | None:
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        composed: yaml.Node | None = yaml.compose(text, Loader=fast)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_problem(_portable(error, text), text, file)) from None
    except RecursionError:
        raise ConfigError(Problem("E101", "nested too deeply", where=Location(file, 1, 1))) from None
    return composed


def _portable(error: yaml.YAMLError, text: str) -> yaml.YAMLError:
    """Return the error of the pure Python parser, which has the same messages on all platforms."""
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as other:
        return other
    except RecursionError:
        pass
    return error


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        lines = split_lines(before)
        where = Location(file, len(lines), len(lines[-1]) + 1)
        return Problem("E101", "a character that YAML does not allow", where=where, hint="remove it")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    original = str(getattr(error, "problem", None) or error)
    where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    lines = split_lines(text)
    line = lines[where.line - 1] if where.line <= len(lines) else ""
    message, hint = _reword(original, line)
    opened = getattr(error, "context_mark", None)
    if "expected ',' or" in original and opened is not None:
        hint = f"the bracket opened in line {opened.line + 1} is not closed, or a comma is missing"
    return Problem("E101", message, where=where, hint=hint)


def _reword(original: str, line: str) -> tuple[str, str]:
    """Return message and hint for an error of PyYAML."""
    if "\\t" in original or "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab in the indentation", "indent with spaces"
    if "undefined alias" in original:
        return original.replace("found ", "").replace("'", "`"), "define the anchor `&name` before `*name`"
    for part, message, hint in _MESSAGES:
        if part in original:
            return message, hint
    return f"not YAML: {original}".replace("'", "`"), ""


class _Reader:
    """Converts PyYAML's nodes and collects mistakes."""

    def __init__(self, file: str, layer: str, fixed: Location | None = None) -> None:
        self.file = file
        self.layer = layer
        self.fixed = fixed
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._made: dict[int, tuple[Node, int, int]] = {}  # list or mapping → its node, number of values, depth
        self._values = 0
        self._aliased = 0
        self._deepest = 0

    def place(self, node: yaml.Node) -> Location:
        if self.fixed:
            return self.fixed
        start, end = node.start_mark, node.end_mark
        length = 1
        if isinstance(node, yaml.ScalarNode):
            length = end.column - start.column if end.line == start.line else len(node.value.split("\n")[0])
        return Location(self.file, start.line + 1, start.column + 1, max(length, 1))

    def report(self, node: yaml.Node, message: str, hint: str = "", code: str = "E101") -> None:
        self.problems.append(Problem(code, message, where=self.place(node), hint=hint))

    def read(self, node: yaml.Node, key: Location | None) -> Node:
        self._values += 1
        if isinstance(node, yaml.ScalarNode):
            return Node(self.scalar(node), self.place(node), key, self.layer)
        if id(node) in self._made:
            return replace(self.again(node), key=key)
        if id(node) in self._open:
            self.report(node, "an anchor contains itself", "remove the alias (`*name`) in it")
            return Node(None, self.place(node), key, self.layer)
        before, deepest, level = self._values, self._deepest, len(self._open)
        self.reach(node, level + 1)
        self._deepest = level + 1
        made = Node(self.content(node), self.place(node), key, self.layer)
        self._made[id(node)] = (made, self._values - before, self._deepest - level)
        self._deepest = max(self._deepest, deepest)
        return made

    def again(self, node: yaml.Node) -> Node:
        """Return the node of an anchor again. An alias is free here, but each use of it costs time later."""
        made, values, depth = self._made[id(node)]
        self._values += values
        self._aliased += values
        if self._aliased > MAX_ALIASED:
            message = f"aliases (`*name`) add more than {MAX_ALIASED:,} values to this file"
            raise ConfigError(Problem("E101", message, where=self.place(node), hint="avoid aliases of aliases"))
        self.reach(node, len(self._open) + depth)
        return made

    def reach(self, node: yaml.Node, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ConfigError(
                Problem("E101", "nested too deeply", where=self.place(node), hint="is a bracket missing?")
            )
        self._deepest = max(self._deepest, depth)

    def content(self, node: yaml.Node) -> list[Node] | dict[str, Node]:
        if node.tag not in {_TAG + "map", _TAG + "seq"}:
            self.report(node, f"unknown tag `{node.tag.replace(_TAG, '!!')}`", "remove it")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item, None) for item in node.value]
            return self.mapping(node)
        finally:
            self._open.discard(id(node))

    def mapping(self, node: yaml.Node) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report(key, "a key must be text", "is a quote missing around `{…}` or `[…]`?")
            elif key.tag == _TAG + "merge":
                for name, found in self.merge_key(value).items():
                    merged.setdefault(name, found)
            elif harmful(key.value):
                self.report(key, f"{_control(key.value)} in a key", "remove it")
            elif key.value in own:
                first = own[key.value].key
                line = f" (first in line {first.line})" if first else ""
                self.report(key, f"key `{key.value}` is twice in one mapping{line}", "remove one of them", "E103")
            else:
                own[key.value] = self.read(value, self.place(key))
        return {**merged, **own}

    def merge_key(self, value: yaml.Node) -> dict[str, Node]:
        """Return the content of `<<: value`. The first of several mappings wins."""
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        found: dict[str, Node] = {}
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                content = self.read(part, None).value or {}
                found = {**content, **found}
            else:
                self.report(part, "`<<` needs a mapping, or a list of mappings", "write `<<: *name`")
        return found

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        tag = node.tag.removeprefix(_TAG)
        if not text.isprintable() and harmful(re.sub(r"[\n\r\t]", "", text)):
            self.report(node, _control(text), "remove it", "E106")
        if tag == "str" and node.style:
            return text
        if tag in {"str", "int", "float", "timestamp", "value", "merge"}:  # in YAML 1.1, 1e5 is text
            found = number(text)
            if found is None:
                shown = text if len(text) < 30 else f"a number of {len(text):,} characters"
                self.report(
                    node,
                    f"`{shown}` is too large or too small for a number",
                    "quote it to make it text; `.inf` is infinity",
                    "E105",
                )
            return found
        if tag in {"null", "bool"}:
            return None if tag == "null" else text.lower() in _TRUE
        self.report(node, f"unknown tag `{node.tag.replace(_TAG, '!!')}`", "remove it")
        return text


def _control(text: str) -> str:
    return f"a control character in text: `{textwrap.shorten(ascii(text)[1:-1], 40, placeholder='…')}`"
