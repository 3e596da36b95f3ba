"""ELF files: what they need, and another search path without moving a byte."""

from __future__ import annotations

import ctypes
import importlib.machinery
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fasthep_parsl.packing.elf import read_elf, version_key, with_search
from fasthep_parsl.packing.libraries import link
from fasthep_parsl.packing.members import file_member
from packing_parts import write

PROGRAM = Path(os.path.realpath(sys._base_executable))


def modules():
    """The extension modules of the standard library of this Python."""
    folder = Path(sysconfig.get_config_var("DESTSHARED"))
    return sorted(folder.glob(f"*{importlib.machinery.EXTENSION_SUFFIXES[0]}"))


def test_what_a_file_needs_is_what_the_loader_says():
    found = read_elf(PROGRAM.read_bytes())
    assert found.program
    assert any(name.startswith("libc.") for name in found.needed)
    assert version_key(found.glibc) >= (2, 2, 5)


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(100), b"\x7fELF\x01\x01" + bytes(100)]
)
def test_other_files_are_none(content):
    assert read_elf(content) is None


def test_a_damaged_file_is_none():
    content = PROGRAM.read_bytes()[:3000]
    assert read_elf(content) is None


def test_versions_are_compared_as_numbers():
    assert max(["2.4", "2.36", "2.17", ""], key=version_key) == "2.36"


def test_a_program_with_another_search_path_runs_and_finds_its_libraries(tmp_path):
    """It loads a library of its own that stands where the path says, and not that of the system."""
    content = PROGRAM.read_bytes()
    elf = read_elf(content)
    changed = with_search(content, elf, "$ORIGIN/../lib")
    assert changed is not None
    again = read_elf(changed)
    assert again.search == ("$ORIGIN/../lib",)
    assert (again.needed, again.glibc) == (elf.needed, elf.glibc)
    assert len(changed) == len(content)
    program = write(tmp_path / "bin/python", changed, 0o755)
    member = file_member("bin/python", str(program))
    for library in link([file_member("bin/python", str(PROGRAM))], [sys.base_prefix]).added:
        write(tmp_path / library.name, Path(library.source).read_bytes())
    environment = {"PYTHONHOME": sys.base_prefix, "LD_TRACE_LOADED_OBJECTS": "1"}
    said = subprocess.run([member.source], capture_output=True, text=True, env=environment, check=True).stdout
    for library in (tmp_path / "lib").glob("*"):
        assert f"{library.name} => {tmp_path}/bin/../lib/{library.name}" in said
    environment.pop("LD_TRACE_LOADED_OBJECTS")
    said = subprocess.run(
        [program, "-c", "print(6 * 7)"], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert said == "42\n"


def test_a_library_without_search_path_loads(tmp_path):
    for module in modules()[:10]:
        content = module.read_bytes()
        changed = with_search(content, read_elf(content), "")
        assert read_elf(changed).search == ()
        ctypes.CDLL(str(write(tmp_path / module.name, changed, 0o755)))


def test_a_path_that_does_not_fit_is_not_written():
    content = PROGRAM.read_bytes()
    assert with_search(content, read_elf(content), "/long" * 4000) is None


def test_libraries_that_libraries_need_come_along(tmp_path):
    """`libneeded.so` is needed by `libadded.so`, which is needed by a program of the archive."""
    folder = tmp_path / "outside"
    folder.mkdir()
    source = write(tmp_path / "x.c", "int f(void) { return 1; }\n")
    compiler = ["cc", "-shared", "-fPIC", str(source), "-o"]
    try:
        subprocess.run([*compiler, folder / "libneeded.so", "-Wl,-soname,libneeded.so"], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    options = ["-Wl,--no-as-needed", f"-L{folder}", f"-Wl,-rpath,{folder}"]
    subprocess.run([*compiler, folder / "libadded.so", *options, "-lneeded"], check=True)
    subprocess.run([*compiler, tmp_path / "module.so", *options, "-ladded"], check=True)
    linking = link([file_member("lib/python3/module.so", str(tmp_path / "module.so"))], ["/somewhere"])
    assert [member.name for member in linking.added] == ["lib/libadded.so", "lib/libneeded.so"]
    # their path is outside: without one, the path of the program that loads them holds
    assert linking.search == {"lib/python3/module.so": "", "lib/libadded.so": ""}
