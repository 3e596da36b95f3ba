"""Analysis code is imported from the plan's files only, and identified by its content. Errors have a location."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fasthep_parsl.analysis_code.missing_modules import MissingModuleError
from fasthep_parsl.analysis_code.modules import OpTable, activate, ops_of, session_kept
from fasthep_parsl.errors import ConfigError

GOOD = """
from fasthep_parsl import op

@op("mine.{name}", writes=["y"])
def one(events):
    return {{"y": {value}}}
"""


def test_ops_of_a_module_are_found_before_the_installed_ones(analysis):
    code = analysis.write(zz_good=GOOD.format(name="first", value=1)).find(modules=["zz_good.py"])
    table = OpTable(code.modules, code.files)
    assert table.get("mine.first").call(None) == {"y": 1}
    assert table.module("mine.first") == code.modules[0]
    assert table.module("hep.hist") is None
    assert {"mine.first", "hep.hist"} <= set(table.names())
    assert table.get("hep.hist").name == "hep.hist"


def test_a_package_can_define_ops(analysis):
    analysis.write(zz_pkg____init__="from .ops import one\n", zz_pkg__ops=GOOD.format(name="inside", value=3))
    code = analysis.find(packages=["zz_pkg"])
    table = OpTable(code.modules, code.files)
    assert table.get("mine.inside").call(None) == {"y": 3}
    assert table.module("mine.inside").name == "zz_pkg"


def test_an_unknown_op_has_a_hint(analysis):
    code = analysis.write(zz_hint=GOOD.format(name="first", value=1)).find(modules=["zz_hint.py"])
    with pytest.raises(ConfigError, match=r"`mine\.first`"):
        OpTable(code.modules, code.files).get("mine.frist")


def test_a_module_is_imported_once_and_again_when_it_changed(analysis):
    code = analysis.write(zz_twice=GOOD.format(name="a", value=1)).find(modules=["zz_twice.py"])
    assert analysis.load(code) is analysis.load(code)
    changed = analysis.write(zz_twice=GOOD.format(name="a", value=2)).find(modules=["zz_twice.py"])
    assert changed.modules[0].sha256 != code.modules[0].sha256
    assert ops_of(analysis.load(changed))["mine.a"].call(None) == {"y": 2}


def test_functions_of_a_module_can_be_pickled(analysis):
    module = analysis.load(analysis.write(zz_pickle=GOOD.format(name="p", value=1)).find(modules=["zz_pickle.py"]))
    assert pickle.loads(pickle.dumps(module.one)) is module.one


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("x = 1\n\nimport no_such_package_here\n", 3, "no_such_package_here"),
        ("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError"),
        ("from fasthep_parsl import op\n\n@op('x.y', merge=None, product='p')\ndef f(events): ...\n", 3, "x.y"),
        ("raise SystemExit(3)\n", 1, "SystemExit"),
        ("x = 1\nopen('no_such_file')\n", 2, "no_such_file"),
    ],
)
@pytest.mark.parametrize("helper", [False, True])
def test_a_mistake_is_located(analysis, text, line, message, helper):
    bad = "zz_bad_help" if helper else "zz_bad"
    analysis.write(zz_bad="\n\n\n\nimport zz_bad_help\n")
    analysis.text(f"{bad}.py", text)
    code = analysis.find(modules=["zz_bad.py"])
    with pytest.raises(ConfigError) as caught:
        analysis.load(code)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert (problem.where.file, problem.where.line) == (str(analysis.folder / f"{bad}.py"), line)
    assert "zz_bad" not in sys.modules


@pytest.mark.parametrize("name", ["colorsys", "json", "uproot", "sched"])
def test_a_module_with_the_name_of_an_installed_one_is_refused(analysis, name):
    before = sys.modules.get(name)
    analysis.text(f"{name}.py", "x = 1\n")
    problem = analysis.problem(modules=[f"{name}.py"])
    assert problem.message == f"analysis module `{name}.py` has the name of an installed module"
    assert sys.modules.get(name) is before


# --- content ----------------------------------------------------------------------------------------------


def test_an_edit_is_seen_also_in_the_same_second_and_of_the_same_size(analysis):
    analysis.write(zz_ops="from zz_help import X\n", zz_help="X = 1\n")
    stat = (analysis.folder / "zz_help.py").stat()
    assert analysis.load(analysis.find(modules=["zz_ops.py"])).X == 1
    analysis.write(zz_help="X = 2\n")
    os.utime(analysis.folder / "zz_help.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert analysis.load(analysis.find(modules=["zz_ops.py"])).X == 2


@pytest.mark.parametrize("edited", ["zz_ops", "zz_help"])
@pytest.mark.parametrize("how", ["edited", "removed"])
def test_what_changed_after_the_plan_is_not_run(analysis, edited, how):
    code = analysis.write(zz_ops="from zz_help import X\n", zz_help="X = 1\n").find(modules=["zz_ops.py"])
    path = analysis.folder / f"{edited}.py"
    path.write_text("X = 3\n") if how == "edited" else path.unlink()
    with pytest.raises(ConfigError, match=rf"{edited}\.py` was {how} after the plan was made"):
        analysis.load(code)
    with pytest.raises(ConfigError, match=rf"{edited}\.py` was {how} after the plan was made"):
        analysis.copies(code)
    assert not (analysis.folder / "run" / "code" / f"{edited}.py").exists()


def test_data_that_changed_after_the_plan_is_not_copied(analysis):
    analysis.text("zz_pkg/__init__.py")
    data = analysis.text("zz_pkg/data.json", "1")
    code = analysis.find(packages=["zz_pkg"])
    data.write_text("2")
    with pytest.raises(ConfigError, match=r"data\.json` was edited after the plan was made"):
        analysis.copies(code)


def test_workers_import_the_copies(analysis):
    """Also in the process that has made the plan, also within functions, and with the data beside them."""
    analysis.write(
        zz_ops="from pathlib import Path\nfrom zz_pkg import near\nDATA = (near.HERE / 'data.txt').read_text()\n"
        "def f():\n    from zz_pkg.late import X\n    return X, (near.HERE / 'data.txt').read_text()\n",
        zz_pkg____init__="",
        zz_pkg__near="from pathlib import Path\nHERE = Path(__file__).parent\n",
        zz_pkg__late="X = 1\n",
    )
    analysis.text("zz_pkg/data.txt", "one")
    code = analysis.find(modules=["zz_ops.py"])
    copies = analysis.copies(code)
    planned = analysis.load(code)
    shutil.rmtree(analysis.folder / "zz_pkg")
    (analysis.folder / "zz_ops.py").unlink()
    module = analysis.load(code, folder=copies)
    assert module is not planned
    assert module.__file__ == str(copies / "zz_ops.py")
    assert module.f() == (1, "one")


def test_a_module_that_another_imports_is_imported_once(analysis):
    analysis.write(zz_ops="import zz_help\n", zz_help="class C: ...\n")
    code = analysis.find(modules=["zz_ops.py", "zz_help.py"])
    first, second = (analysis.load(code, name) for name in ("zz_ops", "zz_help"))
    assert first.zz_help.C is second.C
    assert analysis.load(code, "zz_ops") is first


# --- the session of the user ------------------------------------------------------------------------------


def test_what_the_session_has_imported_does_not_count_and_comes_back(analysis, monkeypatch):
    analysis.write(zz_ops="from zz_pkg.mod import X\n", zz_pkg____init__="", zz_pkg__mod="X = 1\n", zz_pkg__more="")
    monkeypatch.syspath_prepend(str(analysis.folder))
    import zz_pkg.mod  # type: ignore[import-not-found]

    path = list(sys.path)
    before = sys.modules["zz_pkg"], sys.modules["zz_pkg.mod"]
    (analysis.folder / "zz_pkg" / "mod.py").write_text("X = 2  # edited in the meantime\n")
    code = analysis.find(modules=["zz_ops.py"])
    with session_kept():
        assert analysis.load(code).X == 2
        assert analysis.load(code, folder=analysis.copies(code)).X == 2
    assert (sys.modules["zz_pkg"], sys.modules["zz_pkg.mod"]) == before
    assert "zz_ops" not in sys.modules
    assert sys.path == path
    import zz_pkg.more  # type: ignore[import-not-found]  # noqa: F401


def test_code_of_another_workflow_is_not_found(analysis):
    analysis.text("a/zz_ops.py", "try:\n    import zz_extra\n    X = zz_extra.X\nexcept ImportError:\n    X = 0\n")
    analysis.text("a/zz_extra.py", "X = 1\n")
    analysis.text("b/zz_ops.py", (analysis.folder / "a" / "zz_ops.py").read_text())
    first, second = (analysis.find(modules=[f"{folder}/zz_ops.py"]) for folder in "ab")
    assert [analysis.load(code).X for code in (first, second, first)] == [1, 0, 1]


# --- modules that are missing -----------------------------------------------------------------------------


def test_a_module_that_workers_do_not_have_is_named(analysis):
    code = analysis.write(zz_ops="import zz_help\n", zz_help="\nimport no_such_package_here\n").find(
        modules=["zz_ops.py"]
    )
    copies = analysis.copies(code)
    with pytest.raises(MissingModuleError) as caught:
        OpTable(code.modules, code.files, copies, "packed-prefix")
    said = str(caught.value)
    assert "`zz_help.py:2` imports `no_such_package_here`" in said
    assert "the environment `packed-prefix` (Python" in said
    assert sys.executable in said
    assert "install it there" in said


@pytest.mark.parametrize("folder", [False, True])
def test_a_computed_name_cannot_be_found(analysis, folder):
    analysis.write(
        zz_ops="import importlib, zz_pkg\nP = importlib.import_module('zz_pkg.' + 'plugin')\n",
        zz_pkg____init__="",
        zz_pkg__plugin="X = 8\n",
    )
    code = analysis.find(modules=["zz_ops.py"])
    copies = analysis.copies(code) if folder else None
    with pytest.raises((ConfigError, MissingModuleError), match=r"`zz_pkg\.plugin`.*not in the plan.*`use\.packages`"):
        analysis.load(code, folder=copies)
    code = analysis.find(modules=["zz_ops.py"], packages=["zz_pkg"])
    copies = analysis.copies(code) if folder else None
    assert analysis.load(code, folder=copies).P.X == 8


# --- compiled modules, editable installs ------------------------------------------------------------------


def test_a_compiled_module_travels_and_says_for_what(analysis):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    source = analysis.text(
        "fast.c",
        '#include <Python.h>\nstatic struct PyModuleDef d = {PyModuleDef_HEAD_INIT, "zz_fast", 0, -1, 0};\n'
        'PyMODINIT_FUNC PyInit_zz_fast(void) { PyObject *m = PyModule_Create(&d); PyModule_AddIntConstant(m, "X", 6); return m; }\n',
    )
    built = analysis.folder / f"zz_fast{suffix}"
    compiler = shutil.which("cc")
    include = sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("there is no C compiler, or no header of Python")
    subprocess.run([compiler, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(built)], check=True)
    code = analysis.write(zz_ops="import zz_fast\n", zz_fast="X = 'hidden by the compiled module'\n").find(
        modules=["zz_ops.py"]
    )
    assert [file.name for file in code.files] == [built.name, "zz_ops.py"]
    (warning,) = code.warnings
    assert "is compiled: workers need Python" in warning
    copies = analysis.copies(code)
    module = analysis.load(code, folder=copies)
    assert module.zz_fast.X == 6
    assert module.zz_fast.__file__ == str(copies / built.name)


HOOK = """
import sys
from importlib.util import spec_from_file_location
class EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname == "zz_mine":
            return spec_from_file_location(fullname, "{folder}/zz_mine/__init__.py",
                                           submodule_search_locations=["{folder}/zz_mine"])
sys.meta_path.append(EditableFinder)
"""


@pytest.mark.parametrize("how", ["path", "hook"])
def test_an_editable_install_travels_as_a_whole(analysis, monkeypatch, how):
    source = analysis.folder.parent / "elsewhere" / "src"
    (source / "zz_mine").mkdir(parents=True)
    for name in ("__init__.py", "plugin.py", "data.json"):
        (source / "zz_mine" / name).write_text("1\n")
    if how == "path":
        monkeypatch.syspath_prepend(str(source))
    else:
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        exec(HOOK.replace("{folder}", str(source)), {})
    code = analysis.write(zz_ops="import zz_mine\n").find(modules=["zz_ops.py"])
    assert [file.name[2:] for file in code.files if "mine" in file.name] == [
        "zz_mine/__init__.py", "zz_mine/data.json", "zz_mine/plugin.py",
    ]  # fmt: skip
    copies = analysis.copies(code)
    assert analysis.load(code, folder=copies).zz_mine.__file__.startswith(str(copies))


def test_the_plan_needs_no_import(analysis):
    analysis.write(zz_ops="import zz_help\n", zz_help="raise RuntimeError('imported')\n")
    analysis.find(modules=["zz_ops.py"])
    assert "zz_help" not in sys.modules


def test_processes_that_ops_start_find_the_copies(analysis):
    code = analysis.write(zz_ops="import zz_help\n", zz_help="").find(modules=["zz_ops.py"])
    copies = analysis.copies(code)
    with session_kept():
        activate(code.files, copies)
        assert sys.path[-1] == str(copies)
    assert str(copies) not in sys.path
