"""Read YAML text into a tree of `Node` with marks; every mistake in it is a `Problem` with line and column."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fasthep_parsl.errors import ConfigError, Location, Problem, suggest
from fasthep_parsl.workflow.yamldoc import Document, Node, refuse

MAX_NODES = 2_000_000
"""A document that expands to more values than this is refused (aliases of aliases)."""
MAX_DEPTH = 100
"""Deepest nesting; far beyond any workflow, far below Python's own limit."""
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)
_TRUE = {"true", "yes", "on"}
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_WORDS = (
    ("mapping values are not allowed", "a `:` where YAML does not expect one",
     "check the indentation, or put text with `: ` in quotes"),
    ("could not find expected ':'", "expected `key: value`", "is a `:` missing here or in the line before?"),
    ("another document", "a second document (`---`) in one file", "put it in a file of its own"),
    ("expected <block end>", "this line does not fit the lines above", "check the indentation, or a missing `- `"),
    ("cannot start any token", "a character that cannot begin a value", "put the text in quotes"),
    ("maximum nesting depth", "nested too deeply", "is a bracket missing?"),
    ("stream end", "the text ends too early", "is a quote or bracket not closed?"),
    ("end of stream", "the text ends too early", "is a quote or bracket not closed?"),
)  # fmt: skip
"""What PyYAML says, what we say, and the hint."""


def split_lines(text: str) -> list[str]:
    """Return the lines of `text` as YAML counts them."""
    return _BREAK.split(text)


def read_text(path: Path) -> str:
    """Return the text of a YAML file.

    Raises
    ------
    ConfigError
        The file does not exist, cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        around = path.parent
        names = [p.name for p in around.iterdir() if p.suffix in {".yaml", ".yml"}] if around.is_dir() else []
        hint = suggest(path.name, names, what=f"YAML files in {around}") if around.is_dir() else "no such folder"
        raise ConfigError(Problem("E100", f"no such file: `{path}`", hint=hint)) from None
    except IsADirectoryError:
        raise ConfigError(Problem("E100", f"`{path}` is a folder", hint="give a YAML file")) from None
    except OSError as error:
        raise ConfigError(Problem("E100", f"cannot read `{path}`: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        where = Location(str(path), line, column)
        raise ConfigError(Problem("E101", "the file is not UTF-8 text", where=where, hint="save it as UTF-8")) from None


def load_file(path: Path, layer: str) -> Document:
    """Read one YAML file whose top level is a mapping; includes are not followed.

    Parameters
    ----------
    path : Path
        The file, as it shall be named in messages.
    layer : str
        Name of the layer that it sets.

    Raises
    ------
    ConfigError
        The file cannot be read or is not YAML, a key stands twice, or the top level is not a mapping.
    """
    return parse(read_text(path), str(path), layer)


def parse(text: str, file: str, layer: str) -> Document:
    """Return the document in `text`; `file` names it in messages. Raises as `load_file`."""
    node = _compose(text, file)
    if node is None:
        raise ConfigError(Problem("E101", f"`{file}` is empty", where=Location(file, 1, 1)))
    reader = _Reader(file, layer)
    root = reader.read(node, None)
    if reader.problems:
        raise refuse(*reader.problems)
    if not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else "plain text"
        hint = "the file must consist of `key: value` lines"
        raise ConfigError(Problem("E101", f"expected a mapping at the top level, found {what}", where=root.where,
                                  hint=hint))  # fmt: skip
    return Document(root, file, (file,))


def parse_value(text: str, location: Location, layer: str) -> Node:
    """Return the value in `text` (one line of YAML, as after ``--set a.b=``), placed at `location` as a whole."""
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
        raise ConfigError(_syntax_problem(_worded(error, text), text, file)) from None
    except RecursionError:
        raise ConfigError(Problem("E101", "nested too deeply", where=Location(file, 1, 1))) from None
    return composed


def _worded(error: yaml.YAMLError, text: str) -> yaml.YAMLError:
    """Return the error of the pure Python parser, which words mistakes the same on every platform."""
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
    said = str(getattr(error, "problem", None) or error)
    where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    lines = split_lines(text)
    line = lines[where.line - 1] if where.line <= len(lines) else ""
    message, hint = _reword(said, line)
    opened = getattr(error, "context_mark", None)
    if "expected ',' or" in said and opened is not None:
        hint = f"the bracket opened in line {opened.line + 1} is not closed, or a comma is missing"
    return Problem("E101", message, where=where, hint=hint)


def _reword(said: str, line: str) -> tuple[str, str]:
    """Return message and hint for what PyYAML said."""
    if "\\t" in said or "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab where YAML wants spaces", "indent with spaces only"
    if "undefined alias" in said:
        return said.replace("found ", "").replace("'", "`"), "an anchor `&name` must stand before `*name`"
    for words, message, hint in _WORDS:
        if words in said:
            return message, hint
    return f"not YAML: {said}".replace("'", "`"), ""


class _Reader:
    """Turns PyYAML's nodes into ours and collects mistakes."""

    def __init__(self, file: str, layer: str, fixed: Location | None = None) -> None:
        self.file = file
        self.layer = layer
        self.fixed = fixed
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0

    def place(self, node: yaml.Node) -> Location:
        if self.fixed:
            return self.fixed
        start, end = node.start_mark, node.end_mark
        length = 1
        if isinstance(node, yaml.ScalarNode):
            length = end.column - start.column if end.line == start.line else len(node.value.split("\n")[0])
        return Location(self.file, start.line + 1, start.column + 1, max(length, 1))

    def complain(self, node: yaml.Node, message: str, hint: str = "", code: str = "E101") -> None:
        self.problems.append(Problem(code, message, where=self.place(node), hint=hint))

    def read(self, node: yaml.Node, key: Location | None) -> Node:
        where = self.place(node)
        self._count += 1
        if self._count > MAX_NODES:
            raise ConfigError(Problem("E101", "aliases (`*name`) make this file explode", where=where))
        if isinstance(node, yaml.ScalarNode):
            return Node(self.scalar(node), where, key, self.layer)
        if len(self._open) >= MAX_DEPTH:
            raise ConfigError(Problem("E101", "nested too deeply", where=where, hint="is a bracket missing?"))
        if id(node) in self._open:
            self.complain(node, "an anchor contains itself", "remove the alias (`*name`) inside of it")
            return Node(None, where, key, self.layer)
        if node.tag not in {_TAG + "map", _TAG + "seq"}:
            self.complain(node, f"the tag `{node.tag.replace(_TAG, '!!')}` is not understood here", "remove it")
        self._open.add(id(node))
        try:
            value: Any
            if isinstance(node, yaml.SequenceNode):
                value = [self.read(item, None) for item in node.value]
            else:
                value = self.mapping(node)
        finally:
            self._open.discard(id(node))
        return Node(value, where, key, self.layer)

    def mapping(self, node: yaml.Node) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(key, "a key must be text", "is a quote missing around `{…}` or `[…]`?")
            elif key.tag == _TAG + "merge":
                for name, found in self.merge_key(value).items():
                    merged.setdefault(name, found)
            elif key.value in own:
                first = own[key.value].key
                line = f" (first in line {first.line})" if first else ""
                self.complain(key, f"key `{key.value}` stands twice{line}", "remove one of them", "E103")
            else:
                own[key.value] = self.read(value, self.place(key))
        return {**merged, **own}

    def merge_key(self, value: yaml.Node) -> dict[str, Node]:
        """Return what `<<: value` brings; the earlier of several mappings wins."""
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        found: dict[str, Node] = {}
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                content = self.read(part, None).value or {}
                found = {**content, **found}
            else:
                self.complain(part, "`<<` needs a mapping, or a list of mappings", "write `<<: *name`")
        return found

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        tag = node.tag.removeprefix(_TAG)
        if tag == "str":
            return text if node.style else number(text)  # YAML 1.1 takes 1e5 for text
        if tag in {"null", "bool"}:
            return None if tag == "null" else text.lower() in _TRUE
        if tag in {"int", "float", "timestamp", "value", "merge"}:
            return number(text)
        self.complain(node, f"the tag `{node.tag.replace(_TAG, '!!')}` is not understood here", "remove it")
        return text


def number(text: str) -> int | float | str:
    """Return the number that plain `text` is by the rules of YAML 1.2, else the text itself."""
    if _INT.fullmatch(text):
        bare = text.replace("_", "")
        return int(bare, 0) if bare[:2] in {"0x", "0o"} else int(bare)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return text
