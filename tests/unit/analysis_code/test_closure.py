"""Files of analysis code: all imports are found, and only verified content is run."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from fasthep_parsl.analysis_code.closure import closure, digest
from fasthep_parsl.analysis_code.modules import describe, import_module
from fasthep_parsl.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    """Write files below a folder; what was imported is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)

    def write(**files):
        for name, text in files.items():
            file = tmp_path / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path[:] = path


def names(folder, main="zz_ops"):
    return [file.name for file in closure(folder / f"{main}.py")]


def test_all_that_is_imported_from_beside_it_counts(write):
    folder = write(
        zz_ops="import zz_a\nfrom zz_pkg.deep import thing\ndef f():\n    from zz_late import x\n",
        zz_a="import importlib\nimportlib.import_module('zz_b')\nimport numpy, json\n",
        zz_b="from zz_pkg import other\n",
        zz_late="import zz_ops\n",
        zz_other="",
        json="",
    )
    for name, text in {
        "deep": "from . import near\nfrom zz_pkg import far\n",
        "near": "",
        "far": "",
        "other": "",
    }.items():
        (folder / "zz_pkg").mkdir(exist_ok=True)
        (folder / "zz_pkg" / f"{name}.py").write_text(text)
    (folder / "zz_pkg" / "__init__.py").write_text("from .base import Base\n")
    (folder / "zz_pkg" / "base.py").write_text("class Base: ...\n")
    expected = ["zz_a.py", "zz_b.py", "zz_late.py", "zz_ops.py"]
    expected += [f"zz_pkg/{name}.py" for name in ("__init__", "base", "deep", "far", "near", "other")]
    assert names(folder) == sorted(expected)


@pytest.mark.parametrize("changed", ["zz_ops", "zz_help"])
def test_a_change_anywhere_changes_the_hash(write, changed):
    folder = write(zz_ops="from zz_help import X\n", zz_help="X = 1\n", zz_free="")
    before = describe(folder / "zz_ops.py")
    write(zz_free="Y = 2\n")
    assert describe(folder / "zz_ops.py") == before
    write(**{changed: (folder / f"{changed}.py").read_text() + "\n"})
    assert describe(folder / "zz_ops.py").sha256 != before.sha256


def test_data_files_count(write):
    folder = write(zz_ops="")
    (folder / "sf.json").write_text("1")
    first = describe(folder / "zz_ops.py", [folder / "sf.json"])
    (folder / "sf.json").write_text("2")
    assert digest(describe(folder / "zz_ops.py", [folder / "sf.json"]).files) != first.sha256


def test_an_edit_of_a_helper_is_seen_also_in_the_same_second_and_of_the_same_size(write):
    folder = write(zz_ops="from zz_help import X\n", zz_help="X = 1\n")
    stat = (folder / "zz_help.py").stat()
    assert import_module(describe(folder / "zz_ops.py")).X == 1
    write(zz_help="X = 2\n")
    os.utime(folder / "zz_help.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert import_module(describe(folder / "zz_ops.py")).X == 2


def test_what_was_edited_after_the_plan_is_not_run(write):
    folder = write(zz_ops="from zz_help import X\n", zz_help="X = 1\n")
    planned = describe(folder / "zz_ops.py")
    write(zz_help="X = 2\n")
    with pytest.raises(ConfigError, match=r"zz_help\.py` was edited after the plan was made"):
        import_module(planned)
    write(zz_help="X = 1\n", zz_ops="X = 3\n")
    with pytest.raises(ConfigError, match=r"zz_ops\.py` was edited after the plan was made"):
        import_module(planned)


def test_what_is_imported_late_is_the_copy(write, tmp_path):
    folder = write(zz_ops="def f():\n    from zz_late import X\n    return X\n", zz_late="X = 1\n")
    planned = describe(folder / "zz_ops.py")
    shutil.copytree(folder, tmp_path / "run" / "code")
    module = import_module(planned)
    assert import_module(planned, tmp_path / "run" / "code") is module  # one process plans and works
    write(zz_late="X = 2\n")
    assert module.f() == 1


def test_a_module_that_another_imports_is_imported_once(write):
    folder = write(zz_ops="import zz_help\n", zz_help="class C: ...\n")
    first = import_module(describe(folder / "zz_ops.py"))
    second = import_module(describe(folder / "zz_help.py"))
    assert first.zz_help.C is second.C
    assert import_module(describe(folder / "zz_ops.py")) is first
