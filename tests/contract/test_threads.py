"""No constructor starts a thread: what runs beside its caller is started by a method, or by entering a context."""

from __future__ import annotations

import ast
from pathlib import Path

import fasthep_parsl

PACKAGE = Path(fasthep_parsl.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def starts(class_definition):
    """Return the lines on which the constructor of a class, or a method that it calls, starts something."""
    methods = {node.name: node for node in class_definition.body if isinstance(node, ast.FunctionDef)}
    found, seen, todo = [], set(), ["__init__", "__post_init__"]
    while todo:
        name = todo.pop()
        if name in seen or name not in methods:
            continue
        seen.add(name)
        for call in (node for node in ast.walk(methods[name]) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "start":
                found.append(call.lineno)
            elif isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self":
                todo.append(call.func.attr)
    return found


def starting_classes(source):
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return [(node.name, lines) for node in classes if (lines := starts(node))]


def test_no_constructor_starts_a_thread():
    found = {path.relative_to(PACKAGE): bad for path in SOURCES if (bad := starting_classes(path.read_text()))}
    assert not found


def test_a_constructor_that_starts_a_thread_is_found():
    direct = "class A:\n    def __init__(self):\n        self.t = Thread()\n        self.t.start()\n"
    indirect = (
        "class B:\n    def __init__(self):\n        self._go()\n    def _go(self):\n        Thread(target=f).start()\n"
    )
    later = (
        "class C:\n    def __init__(self):\n        self.t = Thread()\n    def start(self):\n        self.t.start()\n"
    )
    assert starting_classes(direct) == [("A", [4])]
    assert starting_classes(indirect) == [("B", [5])]
    assert starting_classes(later) == []
