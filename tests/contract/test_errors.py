"""Errors travel between workers and driver, and every code that is used is described."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
from pathlib import Path

import pytest

import fasthep_parsl
from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError, FastHepError, Location, Problem

PACKAGE = Path(fasthep_parsl.__file__).parent
PROBLEM = Problem("E100", "message", "key", Location("file", 1, 2), "hint")


def all_errors():
    """Every exception class of the package, whoever it derives from."""
    for info in pkgutil.walk_packages([str(PACKAGE)], "fasthep_parsl."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    found, waiting = set(), [BaseException]
    while waiting:
        kind = waiting.pop()
        waiting += type.__subclasses__(kind)
        if kind.__module__.startswith("fasthep_parsl"):
            found.add(kind)
    return sorted(found, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_it_survives_pickling(kind):
    if issubclass(kind, ConfigError):
        error = kind(PROBLEM, PROBLEM)
    else:
        parameters = inspect.signature(kind.__init__).parameters.values()
        named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        error = kind(*(f"value {n}" for n in range(max(len(named), 1))))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.args == error.args
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert str(error)


@pytest.mark.parametrize(
    "kind", [k for k in all_errors() if issubclass(k, FastHepError)], ids=lambda kind: kind.__name__
)
def test_it_has_a_description_and_an_exit_code(kind):
    assert kind.__doc__
    assert kind.__name__.endswith("Error")
    assert kind.exit_code in {1, 2, 3, 4, 130}


def test_every_code_that_is_used_is_described():
    used = {code for path in PACKAGE.rglob("*.py") for code in re.findall(r'"([EW]\d{3})"', path.read_text())}
    assert used <= set(CODES)
    assert all(CODES.values())
