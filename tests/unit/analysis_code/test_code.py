"""Analysis code is imported by path and identified by its content. Errors have a location."""

from __future__ import annotations

import pickle
import sys

import pytest

from fasthep_parsl.analysis_code.modules import OpTable, describe, import_module, ops_of
from fasthep_parsl.errors import ConfigError

GOOD = """
from fasthep_parsl import op

@op("mine.{name}", writes=["y"])
def one(events):
    return {{"y": {value}}}
"""


@pytest.fixture
def write(tmp_path):
    """Write a module; what was imported is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)

    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return describe(file)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path[:] = path


def test_ops_of_a_module_are_found_before_the_installed_ones(write):
    module = write("zz_good", GOOD.format(name="first", value=1))
    table = OpTable((module,))
    assert table.get("mine.first").call(None) == {"y": 1}
    assert table.module("mine.first") == module
    assert table.module("hep.hist") is None
    assert {"mine.first", "hep.hist"} <= set(table.names())
    assert table.get("hep.hist").name == "hep.hist"


def test_an_unknown_op_has_a_hint(write):
    table = OpTable((write("zz_hint", GOOD.format(name="first", value=1)),))
    with pytest.raises(ConfigError, match=r"`mine\.first`"):
        table.get("mine.frist")


def test_a_module_is_imported_once_and_again_when_it_changed(write):
    module = write("zz_twice", GOOD.format(name="a", value=1))
    assert import_module(module) is import_module(module)
    changed = write("zz_twice", GOOD.format(name="a", value=2))
    assert changed.sha256 != module.sha256
    assert ops_of(import_module(changed))["mine.a"].call(None) == {"y": 2}


def test_functions_of_a_module_can_be_pickled(write):
    module = import_module(write("zz_pickle", GOOD.format(name="p", value=1)))
    assert pickle.loads(pickle.dumps(module.one)) is module.one


def test_workers_import_the_copy_in_the_run_directory(write, tmp_path):
    module = write("zz_copy", GOOD.format(name="c", value=1))
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "zz_copy.py").write_text((tmp_path / "zz_copy.py").read_text())
    (tmp_path / "zz_copy.py").unlink()
    assert import_module(module, folder).__file__ == str(folder / "zz_copy.py")


def test_modules_may_import_what_lies_beside_them(write):
    write("zz_beside", "VALUE = 42\n")
    module = import_module(write("zz_main", "from zz_beside import VALUE\n"))
    assert module.VALUE == 42


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("x = 1\n\nimport no_such_package_here\n", 3, "no_such_package_here"),
        ("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError"),
        ("from fasthep_parsl import op\n\n@op('x.y', merge=None, product='p')\ndef f(events): ...\n", 3, "x.y"),
        ("raise SystemExit(3)\n", 1, "SystemExit"),
    ],
)
def test_a_mistake_is_located(write, text, line, message):
    module = write("zz_bad", text)
    with pytest.raises(ConfigError) as caught:
        import_module(module)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert (problem.where.file, problem.where.line) == (module.path, line)
    assert "zz_bad" not in sys.modules


@pytest.mark.parametrize("name", ["colorsys", "json", "uproot", "sched"])
def test_a_module_with_the_name_of_an_installed_one_is_refused(write, name):
    before = sys.modules.get(name)
    with pytest.raises(ConfigError, match=rf"`{name}\.py` has the name of an installed module"):
        import_module(write(name, "x = 1\n"))
    assert sys.modules.get(name) is before
