"""What happens to the content of files: prefixes, compiled code, records."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from fasthep_parsl.packing.archive import pack_installation
from fasthep_parsl.packing.contents import Prefixes, compiled_content, packed_content
from fasthep_parsl.packing.manifest import PLACEHOLDER
from fasthep_parsl.packing.relocate import RelocationError, relocate
from packing_parts import PACKAGES, small_prefix, unpack, write

OLD = "/home/me/env"
CONDA = "/placeholder_" + "_" * 100


def packed(name, data, declared=None):
    return packed_content(name, data, Prefixes([OLD]), search=None, declared=declared or {})


def test_text_gets_the_placeholder_only_where_the_prefix_ends():
    content = packed("a.txt", b"/home/me/env/bin /home/me/env:/home/me/env2 /home/me/env-old /home/me/env")
    assert content.data.decode() == f"{PLACEHOLDER}/bin {PLACEHOLDER}:/home/me/env2 /home/me/env-old {PLACEHOLDER}"
    assert content.mode == "text"
    assert packed("a.txt", b"/home/me/env2 alone").mode == ""


def test_binary_files_of_conda_get_their_placeholder_back_and_are_relocated(tmp_path):
    room = len(CONDA) - len(OLD)
    data = (
        b"\x7fX\0"
        + f"{OLD}/share".encode()
        + bytes(room + 1)
        + b"middle\0"
        + f"{OLD}/a:{OLD}/b".encode()
        + bytes(2 * room + 1)
        + b"end"
    )
    content = packed("lib/x.so", data, {"lib/x.so": CONDA})
    assert content.mode == "binary"
    assert len(content.data) == len(data)
    assert content.data == b"\x7fX\0" + f"{CONDA}/share\0middle\0{CONDA}/a:{CONDA}/b\0end".encode()
    node = tmp_path / "node"
    write(node / "lib/x.so", content.data)
    write(
        node / ".fasthep-parsl/relocations.json",
        json.dumps({"text": {}, "binary": {CONDA: ["lib/x.so"]}, "modules": [], "libraries": []}),
    )
    relocate(str(node), OLD)
    assert (node / "lib/x.so").read_bytes() == data


def test_a_prefix_that_does_not_fit_into_a_binary_file_is_refused(tmp_path):
    write(tmp_path / "lib/x.so", f"{CONDA}/share\0")
    listed = {"text": {}, "binary": {CONDA: ["lib/x.so"]}, "modules": [], "libraries": []}
    write(tmp_path / ".fasthep-parsl/relocations.json", json.dumps(listed))
    with pytest.raises(RelocationError, match=r"has 200 bytes, .*lib/x\.so` has room for 113"):
        relocate(str(tmp_path), "/" + "x" * 199)


def test_other_binary_files_stay_as_they_are_and_are_named():
    data = b"\0\1" + f"{OLD}/share".encode() + b"\0"
    content = packed("data.pickle", data)
    assert (content.data, content.mode) == (data, "")
    assert "`data.pickle`" in content.note


@pytest.mark.parametrize("prefix", ["relative", "/a'b", "/a\nb", "/a:b", "/a$b"])
def test_prefixes_that_scripts_cannot_have_are_refused(tmp_path, prefix):
    with pytest.raises(RelocationError, match="must be an absolute path"):
        relocate(str(tmp_path), prefix)


@pytest.mark.parametrize("name", ["short", "with spaces", "long-" * 40])
@pytest.mark.parametrize("first", ["#!{old}/bin/python", "#!{old}/bin/python -I"])
def test_scripts_start_in_any_folder(tmp_path, name, first):
    made = small_prefix(tmp_path / "env")
    write(made.prefix / "bin/tool", first.format(old=made.prefix) + "\nimport sys\nprint(sys.argv[1:])\n", 0o755)
    pack_installation(made, tmp_path / "environment.tar")
    node = unpack(tmp_path / "environment.tar", tmp_path / name / "node")
    (node / "bin/python").unlink()
    (node / "bin/python").symlink_to(sys.executable)
    relocate(str(node), str(node))
    done = subprocess.run([node / "bin/tool", "a b", "c"], capture_output=True, text=True, check=True)
    assert done.stdout == "['a b', 'c']\n"


def compiled(tmp_path, text="def f(): return 1\n", **options):
    source = write(tmp_path / "module.py", text)
    target = py_compile.compile(str(source), doraise=True, **options)
    return source, Path(target).read_bytes()


def test_compiled_code_is_unchecked_and_without_paths(tmp_path):
    source, data = compiled(tmp_path)
    assert str(tmp_path).encode() in data
    found = compiled_content(data, source.read_bytes(), int(source.stat().st_mtime), Prefixes([str(tmp_path)]))
    assert str(tmp_path).encode() not in found
    assert found[:4] == importlib.util.MAGIC_NUMBER
    assert found[4:8] == b"\1\0\0\0"
    assert found[8:16] == importlib.util.source_hash(source.read_bytes())
    assert marshal.loads(found[16:]).co_filename == "module.py"


def test_long_names_and_names_with_umlauts_in_compiled_code(tmp_path):
    for folder in ("x" * 250, "ä" * 20):
        (tmp_path / folder).mkdir()
        source, data = compiled(tmp_path / folder)
        place = Prefixes([str(tmp_path / folder)])
        found = compiled_content(data, source.read_bytes(), int(source.stat().st_mtime), place)
        assert marshal.loads(found[16:]).co_filename == "module.py"


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_outdated_compiled_code_is_not_packed(tmp_path, mode):
    source, data = compiled(tmp_path, invalidation_mode=mode)
    place = Prefixes(["/elsewhere"])
    mtime = int(source.stat().st_mtime)
    assert compiled_content(data, source.read_bytes(), mtime, place) is not None
    changed = source.read_bytes().replace(b"1", b"2")
    late = mtime + 1 if mode is py_compile.PycInvalidationMode.TIMESTAMP else mtime
    assert compiled_content(data, changed, late, place) is None
    assert compiled_content(data[:10], source.read_bytes(), mtime, place) is None


def test_compiled_code_of_a_source_with_the_prefix_is_not_packed(tmp_path):
    source, data = compiled(tmp_path, f"place = '{tmp_path}/share'\n")
    assert compiled_content(data, source.read_bytes(), int(source.stat().st_mtime), Prefixes([str(tmp_path)])) is None


def test_lists_of_installed_files_do_not_depend_on_the_place():
    lines = (
        "demo/__init__.py,sha256=abc,12\n../../../bin/tool,sha256=def,200\ndemo/__pycache__/a.cpython-311.pyc,,\n"
        "demo-1.dist-info/direct_url.json,sha256=x,5\n"
    )
    content = packed(f"{PACKAGES}/demo-1.dist-info/RECORD", lines.encode())
    assert content.data.decode() == "../../../bin/tool,,\ndemo/__init__.py,sha256=abc,12\n"


def test_records_of_conda_do_not_name_folders_of_the_user():
    record = {"name": "demo", "link": {"source": "/home/me/pkgs"}, "extracted_package_dir": "/home/me/pkgs/demo"}
    assert json.loads(packed("conda-meta/demo-1.json", json.dumps(record).encode()).data) == {"name": "demo"}
    assert packed("conda-meta/history", b"# cmd: conda create -p /home/me/env").data == b""


def test_local_origins_of_packages_are_not_packed(tmp_path):
    made = small_prefix(tmp_path / "env")
    info = made.prefix / PACKAGES / "Demo_Package-1.5.dist-info/direct_url.json"
    for url, kept in (("file:///home/me/demo.whl", False), ("https://example.org/demo.git", True)):
        write(info, json.dumps({"url": url, "archive_info": {}}))
        pack_installation(made, tmp_path / f"{kept}.tar")
        node = unpack(tmp_path / f"{kept}.tar", tmp_path / f"node-{kept}")
        assert (node / info.relative_to(made.prefix)).exists() is kept


def test_relocation_keeps_modes(tmp_path):
    made = small_prefix(tmp_path / "env")
    pack_installation(made, tmp_path / "environment.tar")
    node = unpack(tmp_path / "environment.tar", tmp_path / "node")
    relocate(str(node), str(node))
    assert os.access(node / "bin/tool", os.X_OK)
