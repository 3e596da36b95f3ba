"""Relocate an unpacked environment: replace the prefix in its files. Runs on the node with the Python of the environment.

::

    bin/python -I -S .fasthep-parsl/relocate.py [final prefix]

It uses the standard library alone. The files that contain the prefix are listed in ``relocations.json``, so that no other
file is read. The final prefix may differ from the folder in which the files are now.
"""

# ruff: noqa: PTH100, PTH118, PTH119, PTH120, PTH123
from __future__ import annotations

import json
import os
import re
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SHEBANG_LIMIT = 127
"""Bytes of a first line that all kernels read."""
FORBIDDEN = frozenset("\0\n\r:'\"\\$`")
"""Characters that scripts and `PATH` cannot have in a prefix."""


class RelocationError(Exception):
    """The environment cannot be used in this folder."""


def relocate(root: str, prefix: str) -> dict[str, Any]:
    """Replace the prefix in all listed files of the folder `root` with `prefix`, and return the list.

    Parameters
    ----------
    root : str
        The unpacked environment.
    prefix : str
        Absolute path that it will have.

    Raises
    ------
    RelocationError
        The path does not fit.
    OSError
        A file cannot be read or written.
    """
    wrong = sorted(FORBIDDEN.intersection(prefix))
    if wrong or not prefix.startswith("/"):
        raise RelocationError(f"the prefix `{prefix}` must be an absolute path, without any of the characters {wrong}")
    with open(os.path.join(root, ".fasthep-parsl", "relocations.json"), encoding="ascii") as file:
        relocations: dict[str, Any] = json.load(file)
    new = os.fsencode(prefix)
    for mode, replace in (("text", _in_text), ("binary", _in_binary)):
        for placeholder, names in relocations[mode].items():
            for name in names:
                _rewrite(os.fsencode(os.path.join(root, name)), replace, os.fsencode(placeholder), new)
    return relocations


def check(root: str, relocations: dict[str, Any]) -> None:
    """Load the modules and shared libraries that depend on the system of the node.

    Raises
    ------
    RelocationError
        One cannot be loaded.
    """
    warnings.simplefilter("ignore")  # some of the modules are deprecated
    for module in relocations["modules"]:
        try:
            __import__(module)
        except ImportError as error:
            raise RelocationError(f"Python cannot import `{module}` on this node: {error}") from None
    if relocations["libraries"]:
        import _ctypes

        for name in relocations["libraries"]:
            try:
                _ctypes.dlopen(os.path.join(root, name), 0)
            except OSError as error:
                raise RelocationError(f"the shared library `{name}` cannot be loaded on this node: {error}") from None


def _rewrite(path: bytes, replace: Callable[[bytes, bytes, bytes, bytes], bytes], old: bytes, new: bytes) -> None:
    with open(path, "r+b") as file:
        content = file.read()
        changed = replace(path, content, old, new)
        if changed != content:
            file.seek(0)
            file.write(changed)
            file.truncate()


def _in_text(_: bytes, content: bytes, old: bytes, new: bytes) -> bytes:
    if not content.startswith(b"#!"):
        return content.replace(old, new)
    line, end, rest = content.partition(b"\n")
    return (_shebang(line.replace(old, new)) if old in line else line) + end + rest.replace(old, new)


def _shebang(line: bytes) -> bytes:
    """Return a first line that kernels accept. If it is too long, or the prefix has spaces, `sh` starts the program."""
    program, option, options = line[2:].strip().partition(b" -")
    if len(line) <= SHEBANG_LIMIT and b" " not in program:
        return line
    if not os.path.basename(program).startswith(b"python"):  # the activated `PATH` has it
        return b"#!/usr/bin/env " + os.path.basename(program)
    return b"#!/bin/sh\n'''exec' \"" + program + b'"' + option + options + b" \"$0\" \"$@\"\n' '''"


def _in_binary(path: bytes, content: bytes, old: bytes, new: bytes) -> bytes:
    """Replace within NUL-terminated strings. They keep their length: the rest is filled with NUL."""
    if len(new) > len(old):
        name = os.fsdecode(path)
        raise RelocationError(f"the prefix `{os.fsdecode(new)}` has {len(new)} bytes, `{name}` has room for {len(old)}")

    def padded(match: re.Match[bytes]) -> bytes:
        return match[0].replace(old, new).ljust(len(match[0]), b"\0")

    return re.sub(re.escape(old) + rb"[^\0]*", padded, content)


def main(arguments: list[str]) -> int:
    """Relocate the environment that contains this file, and check it."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        check(root, relocate(root, arguments[0] if arguments else root))
    except (RelocationError, OSError) as error:
        print(f"relocation: {error}", file=sys.stderr)  # noqa: T201 - a program of its own
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
