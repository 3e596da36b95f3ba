"""Files of analysis code: everything that is imported is found, and nothing else."""

from __future__ import annotations

import sys

import pytest

from fasthep_parsl.analysis_code.imports import parse_imports


def names(code):
    return [file.name for file in code.files]


def test_all_that_is_imported_from_beside_it_counts(analysis):
    analysis.write(
        zz_ops="import zz_a\nfrom zz_pkg.deep import thing\ndef f():\n    from zz_late import x\n",
        zz_a="import importlib\nimportlib.import_module('zz_b')\nimport numpy, json\n",
        zz_b="from zz_pkg import other\nimport zz_pkg.renamed as r\n",
        zz_late="import zz_ops\n",  # a cycle
        zz_other="",
        json="",
        zz_pkg____init__="from .base import Base\n",
        zz_pkg__base="class Base: ...\n",
        zz_pkg__deep="from . import near\nfrom zz_pkg import far\n",
        zz_pkg__near="",
        zz_pkg__far="",
        zz_pkg__other="",
        zz_pkg__renamed="",
        zz_pkg__unused="def f(:\n",
    )
    code = analysis.find(modules=["zz_ops.py"])
    expected = ["zz_a.py", "zz_b.py", "zz_late.py", "zz_ops.py"]
    expected += [f"zz_pkg/{name}.py" for name in ("__init__", "base", "deep", "far", "near", "other", "renamed")]
    assert names(code) == sorted(expected)
    assert code.foreign == {"importlib", "numpy", "json"}
    why = {file.name: file.why for file in code.files}
    assert why["zz_ops.py"] == "listed in `use.modules`"
    assert why["zz_late.py"] == "imported by `zz_ops.py:4`"
    assert why["zz_b.py"] == "imported by `zz_a.py:2`"


IMPORTS = {
    "import a.b as c": {("a", "b")},
    "from a import b, c": {("a",), ("a", "b"), ("a", "c")},
    "from . import x": {("p", "q"), ("p", "q", "x")},
    "from ..x import y": {("p", "x"), ("p", "x", "y")},
    "from .... import y": set(),
    "__import__('a.b')": {("a", "b")},
    "importlib.import_module('.x', __package__)": {("p", "q", "x")},
    "import_module('.x', package='r.s')": {("r", "s", "x")},
    "import_module(name)": set(),
    "importlib.resources.files('a') / 'x.json'": {("a",)},
    "read_text('no name')": set(),
    "try:\n    import a\nexcept ImportError:\n    import b": {("a",), ("b",)},
    "if TYPE_CHECKING:\n    import a\nelse:\n    import b": {("b",)},
    "import typing as t\nif t.TYPE_CHECKING:\n    import a": {("typing",)},
    "def f():\n    class C:\n        import a": {("a",)},
    "x = lambda: __import__('a')": {("a",)},
    "def f(:": set(),
    "x = '\0'": set(),
}


@pytest.mark.parametrize("text", IMPORTS)
def test_imports_are_found_in_the_source(text):
    assert {item.names for item in parse_imports(text.encode(), ("p", "q")).imports} == IMPORTS[text]


def test_other_encodings_are_read(analysis):
    (analysis.folder / "zz_ops.py").write_bytes(
        "# -*- coding: latin-1 -*-\r\nX = 'é'\r\nimport zz_bom\r\n".encode("latin-1")
    )
    (analysis.folder / "zz_bom.py").write_bytes(b"\xef\xbb\xbfY = 1\nimport zz_last\n")
    analysis.write(zz_last="")
    code = analysis.find(modules=["zz_ops.py"])
    assert names(code) == ["zz_bom.py", "zz_last.py", "zz_ops.py"]
    copies = analysis.copies(code)
    assert (copies / "zz_ops.py").read_bytes() == (analysis.folder / "zz_ops.py").read_bytes()
    assert analysis.load(code, folder=copies).X == "é"


def test_a_star_imports_what_all_names(analysis):
    analysis.write(
        zz_ops="from zz_pkg import *\n",
        zz_pkg____init__="__all__ = ['one', 'f']\ndef f(): ...\n",
        zz_pkg__one="",
        zz_pkg__two="",
    )
    assert names(analysis.find(modules=["zz_ops.py"])) == ["zz_ops.py", "zz_pkg/__init__.py", "zz_pkg/one.py"]


def test_helpers_in_other_folders_are_found(analysis, monkeypatch):
    """In the folder of the workflow, and in folders in which Python searches. Each folder has its own copy."""
    analysis.text("ops/zz_ops.py", "import zz_common, zz_on_path\n")
    analysis.write(zz_common="import zz_more\n", zz_more="")
    (analysis.folder.parent / "lib").mkdir()
    (analysis.folder.parent / "lib" / "zz_on_path.py").write_text("X = 3\n")
    monkeypatch.syspath_prepend(str(analysis.folder.parent / "lib"))
    code = analysis.find(modules=["ops/zz_ops.py"])
    assert names(code) == ["1/zz_ops.py", "2/zz_common.py", "2/zz_more.py", "3/zz_on_path.py"] or sorted(
        name[2:] for name in names(code)
    ) == ["zz_common.py", "zz_more.py", "zz_on_path.py", "zz_ops.py"]
    copies = analysis.copies(code)
    module = analysis.load(code, folder=copies)
    for name in ("zz_common", "zz_more", "zz_on_path"):
        assert sys.modules[name].__file__.startswith(str(copies))
    assert module.zz_on_path.X == 3


def test_a_module_of_a_package_can_import_relatively(analysis):
    analysis.write(
        zz_pkg____init__="", zz_pkg__sub____init__="", zz_pkg__common="X = 5\n",
        zz_pkg__sub__ops="from ..common import X\nfrom . import near\n", zz_pkg__sub__near="",
    )  # fmt: skip
    code = analysis.find(modules=["zz_pkg/sub/ops.py"])
    assert [module.name for module in code.modules] == ["zz_pkg.sub.ops"]
    assert names(code) == [f"zz_pkg/{n}.py" for n in ("__init__", "common", "sub/__init__", "sub/near", "sub/ops")]
    assert analysis.load(code, folder=analysis.copies(code)).X == 5


def test_packages_without_init_are_found(analysis):
    analysis.text("zz_space/part/mod.py", "X = 7\n")
    analysis.text("zz_space/part/table.json", "[1]")
    analysis.text("zz_space/other/mod.py")
    analysis.write(
        zz_ops="import json\nfrom importlib import resources\nfrom zz_space.part import mod\n"
        "TABLE = json.loads((resources.files('zz_space.part') / 'table.json').read_text())\n"
    )
    code = analysis.find(modules=["zz_ops.py"])
    assert names(code) == ["zz_ops.py", "zz_space/part/mod.py", "zz_space/part/table.json"]
    for folder in (None, analysis.copies(code)):
        module = analysis.load(code, folder=folder)
        assert (module.mod.X, module.TABLE) == (7, [1])


@pytest.mark.parametrize("place", ["src/zz_lay/", "zz_lay/"])
def test_a_project_has_packages(analysis, place):
    analysis.text("project/pyproject.toml")
    analysis.text(f"project/{place}__init__.py")
    analysis.text(f"project/{place}ops.py")
    analysis.text("project/tests/__init__.py")
    code = analysis.find(packages=["project"])
    assert names(code) == ["zz_lay/__init__.py", "zz_lay/ops.py"]


def test_a_link_is_followed(analysis):
    real = analysis.text("elsewhere/real.py", "X = 4\n")
    (analysis.folder / "zz_linked.py").symlink_to(real)
    analysis.text("zz_pkg/__init__.py")
    (analysis.folder / "zz_pkg" / "again").symlink_to(analysis.folder / "zz_pkg")  # a loop
    (analysis.folder / "zz_pkg" / "tables").symlink_to(analysis.text("tables/one.json").parent)
    (analysis.folder / "zz_pkg" / "broken.json").symlink_to("nowhere")
    analysis.write(zz_ops="import zz_linked, zz_pkg\n")
    code = analysis.find(modules=["zz_ops.py"])
    assert names(code) == ["zz_linked.py", "zz_ops.py", "zz_pkg/__init__.py", "zz_pkg/tables/one.json"]
    assert analysis.load(code, folder=analysis.copies(code)).zz_linked.X == 4


# --- data of packages -------------------------------------------------------------------------------------


def package(analysis):
    for name in ("__init__.py", "unused.py", "data.json", "sub/deep.txt", ".git/objects/aa", "__pycache__/x.pyc",
                 ".hidden", "x.egg-info/PKG-INFO", "old.json~", "env/pyvenv.cfg", "env/lib/x.py", "run/events.jsonl",
                 "run/results/x.json"):  # fmt: skip
        analysis.text(f"zz_pkg/{name}")
    return analysis.text("zz_pkg/mod.py")


def test_data_of_a_package_travels(analysis):
    package(analysis)
    analysis.write(zz_ops="import zz_pkg.mod\n")
    analysis.text("large.root")  # beside the package
    expected = [f"zz_pkg/{name}" for name in ("__init__.py", "data.json", "mod.py", "sub/deep.txt")]
    assert names(analysis.find(modules=["zz_ops.py"])) == ["zz_ops.py", *expected]
    listed = [f"zz_pkg/{name}" for name in ("__init__.py", "data.json", "mod.py", "sub/deep.txt", "unused.py")]
    assert names(analysis.find(packages=["zz_pkg"])) == listed


def test_data_beside_the_workflow_is_not_data_of_a_package(analysis):
    """The folder of the workflow may have run directories, plots and input files."""
    package(analysis)
    assert names(analysis.find(flow="zz_pkg/flow.yaml", modules=["mod.py"])) == ["zz_pkg/__init__.py", "zz_pkg/mod.py"]


@pytest.mark.parametrize("limit", ["SIZE_LIMIT", "COUNT_LIMIT"])
def test_too_much_data_is_said(analysis, monkeypatch, limit):
    monkeypatch.setattr(f"fasthep_parsl.analysis_code.package_files.{limit}", 3)
    package(analysis)
    for name in "abc":
        analysis.text(f"zz_pkg/{name}.bin", "12")
    analysis.write(zz_ops="import zz_pkg.mod\n")
    code = analysis.find(modules=["zz_ops.py"])
    assert names(code) == ["zz_ops.py", "zz_pkg/__init__.py", "zz_pkg/mod.py"]
    (warning,) = code.warnings
    assert "the data files of the package" in warning
    assert "do not travel to workers" in warning
    assert "use.files" in warning
    problem = analysis.problem(packages=["zz_pkg"])
    assert "do not travel to workers" in problem.message
    assert ("0 MB" in problem.message) == (limit == "SIZE_LIMIT")


def test_a_huge_file_is_not_read(analysis):
    package(analysis)
    with (analysis.folder / "zz_pkg" / "huge.root").open("wb") as file:
        file.truncate(3_000_000_000_000)
    problem = analysis.problem(packages=["zz_pkg"])
    assert "more than 100 MB (`zz_pkg/huge.root` has 3,000,000 MB)" in problem.message


# --- what is refused --------------------------------------------------------------------------------------


def test_two_files_of_one_name_are_refused(analysis):
    for folder in "ab":
        analysis.text(f"{folder}/zz_{folder}.py", "import zz_help\n")
        analysis.text(f"{folder}/zz_help.py", "X = 1\n")  # also if they are equal: files beside them may differ
    problem = analysis.problem(modules=["a/zz_a.py", "b/zz_b.py"])
    assert problem.message.startswith("two files have the module name `zz_help`")
    assert problem.key == "use.modules[1]"


def test_a_package_in_two_places_is_refused(analysis):
    for folder in "ab":
        analysis.text(f"{folder}/zz_{folder}.py", f"import zz_pkg.{folder}\n")
        analysis.text(f"{folder}/zz_pkg/__init__.py")
        analysis.text(f"{folder}/zz_pkg/{folder}.py")
    assert "two files have the module name `zz_pkg`" in analysis.problem(modules=["a/zz_a.py", "b/zz_b.py"]).message


def test_names_that_differ_in_case_are_refused(analysis):
    analysis.write(zz_ops="import zz_help, ZZ_help\n", zz_help="", ZZ_help="")
    assert "differ only in case" in analysis.problem(modules=["zz_ops.py"]).message


@pytest.mark.parametrize("name", ["colorsys", "hist"])
def test_a_name_that_means_two_things_is_refused(analysis, monkeypatch, name):
    """Here Python finds the user's file first, on workers the installed module."""
    analysis.text(f"lib/{name}.py")
    analysis.write(zz_ops=f"import {name}\n")
    assert names(analysis.find(modules=["zz_ops.py"])) == ["zz_ops.py"]
    monkeypatch.syspath_prepend(str(analysis.folder / "lib"))
    problem = analysis.problem(modules=["zz_ops.py"])
    assert "has the name of an installed module, which analysis code imports" in problem.message


def test_an_archive_is_refused(analysis, monkeypatch):
    import zipfile

    with zipfile.ZipFile(analysis.folder / "lib.zip", "w") as archive:
        archive.writestr("zz_zipped.py", "X = 1\n")
    monkeypatch.syspath_prepend(str(analysis.folder / "lib.zip"))
    analysis.write(zz_ops="import zz_zipped\n")
    problem = analysis.problem(modules=["zz_ops.py"])
    assert "imports `zz_zipped` from the archive" in problem.message


def test_a_file_that_cannot_be_read_is_named(analysis, monkeypatch):
    """It may vanish while files are read."""
    from fasthep_parsl.analysis_code import closure

    def vanish(path):
        path.unlink()
        return original(path)

    original = closure.hash_file
    analysis.text("zz_pkg/__init__.py")
    analysis.text("zz_pkg/data.json")
    monkeypatch.setattr(closure, "hash_file", vanish)
    problem = analysis.problem(packages=["zz_pkg"])
    assert "cannot read `" in problem.message
    assert "zz_pkg/data.json`, part of" in problem.message or "listed in" in problem.message


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("zz_missing", "no package `zz_missing`"),
        ("zz_mod.py", "`zz_mod.py` is not the folder of a package"),
        ("not-a-name", "no package in `not-a-name`"),
        ("colorsys", "package `colorsys` has the name of an installed module"),
    ],
)
def test_a_package_that_is_none_is_refused(analysis, listed, said):
    analysis.text("zz_mod.py")
    analysis.text("not-a-name/x.py")
    analysis.text("colorsys/x.py")
    assert analysis.problem(packages=[listed]).message == said


# --- hashes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", ["zz_ops.py", "zz_help.py", "zz_pkg/data.json"])
def test_a_change_anywhere_changes_the_hash(analysis, changed):
    analysis.write(zz_ops="import zz_help, zz_pkg\n", zz_help="X = 1\n", zz_free="", zz_pkg____init__="")
    path = analysis.text("zz_pkg/data.json", "1")
    before = analysis.find(modules=["zz_ops.py"])
    analysis.write(zz_free="Y = 2\n")
    assert analysis.find(modules=["zz_ops.py"]) == before
    path = analysis.folder / changed
    path.write_text(path.read_text() + "\n")
    after = analysis.find(modules=["zz_ops.py"])
    assert after.modules[0].sha256 != before.modules[0].sha256
    assert analysis.plan(after).hash != analysis.plan(before).hash


def test_a_new_name_of_a_file_changes_the_hash(analysis):
    analysis.write(zz_ops="", zz_pkg____init__="")
    path = analysis.text("zz_pkg/data.json", "1")
    before = analysis.find(packages=["zz_pkg"])
    path.rename(path.with_name("other.json"))
    assert analysis.plan(analysis.find(packages=["zz_pkg"])).hash != analysis.plan(before).hash


def test_data_files_count(analysis):
    analysis.write(zz_ops="")
    analysis.text("sf.json", "1")
    first = analysis.find(modules=["zz_ops.py"], files=["sf.json"])
    assert names(first) == ["sf.json", "zz_ops.py"]
    analysis.text("sf.json", "2")
    assert analysis.find(modules=["zz_ops.py"], files=["sf.json"]).modules[0].sha256 != first.modules[0].sha256


def test_a_package_named_files_has_another_place(analysis):
    """`code/files` is for files that parameters name."""
    analysis.write(zz_ops="import files\n", files____init__="")
    assert names(analysis.find(modules=["zz_ops.py"])) == ["1/files/__init__.py", "1/zz_ops.py"]
