"""Archives: what is packed, its hash, and what happens to damaged ones."""

from __future__ import annotations

import py_compile
import shutil
import tarfile
from collections import Counter

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing import packed_files
from fasthep_parsl.packing.archive import pack_installation, read_manifest, verify_archive
from fasthep_parsl.packing.compression import open_stream, stored
from fasthep_parsl.packing.manifest import MANIFEST, RELOCATIONS
from fasthep_parsl.packing.relocate import relocate
from packing_parts import PACKAGES, SHORT, small_prefix, unpack, write


@pytest.mark.parametrize("form", ["zst", "gz"])
def test_an_archive_says_what_it_contains(tmp_path, form):
    target = tmp_path / "environment.tar"
    manifest = pack_installation(small_prefix(tmp_path / "env"), target, form=form, name="demo")
    assert read_manifest(target) == manifest == verify_archive(target)
    assert (manifest.name, manifest.packages) == ("demo", {"demo-package": "1.5"})
    unpacked = unpack(target, tmp_path / "node")
    assert (unpacked / PACKAGES / "demo/__init__.py").read_text() == "number = 42\n"
    assert (unpacked / "bin/python").readlink().name == f"python{SHORT}"


def test_a_relocated_script_uses_the_new_prefix(tmp_path):
    target = tmp_path / "environment.tar"
    pack_installation(small_prefix(tmp_path / "env"), target)
    unpacked = unpack(target, tmp_path / "node")
    relocate(str(unpacked), "/scratch/final")
    assert (unpacked / "bin/tool").read_text() == "#!/scratch/final/bin/python\nprint('tool')\n"
    assert str(tmp_path / "env").encode() not in b"".join(p.read_bytes() for p in unpacked.rglob("*") if p.is_file())


def test_the_hash_does_not_depend_on_the_folder(tmp_path):
    one = pack_installation(small_prefix(tmp_path / "one"), tmp_path / "1.tar")
    other = pack_installation(small_prefix(tmp_path / "a-longer-name" / "other"), tmp_path / "2.tar", form="gz")
    assert one.hash == other.hash


def test_the_hash_depends_on_content_names_and_modes(tmp_path):
    hashes = set()
    for change in ("nothing", "content", "name", "mode"):
        made = small_prefix(tmp_path / change)
        module = made.prefix / PACKAGES / "demo/__init__.py"
        if change == "content":
            write(module, "number = 43\n")
        elif change == "name":
            module.rename(module.with_name("other.py"))
        elif change == "mode":
            module.chmod(0o755)
        hashes.add(pack_installation(made, tmp_path / f"{change}.tar").hash)
    assert len(hashes) == 4


@pytest.mark.parametrize("form", ["zst", "gz"])
def test_a_damaged_archive_is_refused(tmp_path, form):
    target = tmp_path / "environment.tar"
    made = small_prefix(tmp_path / "env")
    write(made.prefix / "data.bin", bytes(range(256)) * 1000)
    pack_installation(made, target, form=form)
    content = bytearray(target.read_bytes())
    content[-200] ^= 0x10
    target.write_bytes(content)
    with pytest.raises(SiteError, match=r"environment\.tar"):
        verify_archive(target)


@pytest.mark.parametrize("form", ["zst", "gz"])
def test_a_truncated_archive_is_refused(tmp_path, form):
    target = tmp_path / "environment.tar"
    pack_installation(small_prefix(tmp_path / "env"), target, form=form)
    target.write_bytes(target.read_bytes()[:-100])
    with pytest.raises(SiteError, match=r"environment\.tar"):
        verify_archive(target)


def test_another_file_is_refused(tmp_path):
    with pytest.raises(SiteError, match="neither zstd nor gzip"):
        read_manifest(write(tmp_path / "text", "some text"))
    shutil.make_archive(str(tmp_path / "other"), "gztar", tmp_path, "text")
    with pytest.raises(SiteError, match="its first file is not"):
        read_manifest(tmp_path / "other.tar.gz")


@pytest.mark.parametrize("form", ["zst", "gz"])
def test_the_same_files_give_the_same_bytes(tmp_path, form):
    made = small_prefix(tmp_path / "env")
    write(made.prefix / "large.bin", bytes(range(256)) * 100_000)
    for name in ("1.tar", "2.tar"):
        pack_installation(made, tmp_path / name, form=form)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert verify_archive(tmp_path / "1.tar").unpacked > 25_600_000


def test_a_source_is_read_once_and_its_compiled_code_comes_after_it(tmp_path, monkeypatch):
    made = small_prefix(tmp_path / "env")
    for name in ("Upper.py", "demo.py", "other.py"):  # compiled code would come before, or between
        source = write(made.prefix / PACKAGES / name, f"name = '{name}'\n")
        for level in (0, 1):
            py_compile.compile(str(source), optimize=level, doraise=True)
    found = Counter()
    read = packed_files.read
    monkeypatch.setattr(packed_files, "read", lambda member: (found.update([member.name]), read(member))[1])
    pack_installation(made, tmp_path / "environment.tar")
    assert {name: count for name, count in found.items() if count > 1} == {
        f"{PACKAGES}/Demo_Package-1.5.dist-info/METADATA": 2  # the manifest has the first place
    }
    with tarfile.open(fileobj=open_stream(tmp_path / "environment.tar"), mode="r|") as archive:
        names = archive.getnames()
    assert len([name for name in names if name.endswith(".pyc")]) == 6
    for position, name in enumerate(names):
        if name.endswith(".pyc"):
            source = name.replace("__pycache__/", "").split(".cpython")[0] + ".py"
            assert names.index(source) in {position - 1, position - 2}


def test_an_archive_with_its_relocations_before_its_files_is_read_too(tmp_path):
    target = tmp_path / "environment.tar"
    manifest = pack_installation(small_prefix(tmp_path / "env"), target)
    unpacked = unpack(target, tmp_path / "node")
    with tarfile.open(tmp_path / "plain.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(unpacked / MANIFEST, MANIFEST)
        archive.add(unpacked / RELOCATIONS, RELOCATIONS)
        for path in sorted(unpacked.rglob("*")):
            name = str(path.relative_to(unpacked))
            if name not in {MANIFEST, RELOCATIONS} and (path.is_symlink() or not path.is_dir()):
                archive.add(path, name)
    target.write_bytes(stored((tmp_path / "plain.tar").read_bytes(), "zst"))
    assert verify_archive(target) == manifest


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zst", "gz"])
def test_a_manifest_with_very_many_packages_is_written_and_read(tmp_path, form):
    made = small_prefix(tmp_path / "env")
    for number in range(3000):
        info = made.prefix / PACKAGES / f"package_with_a_rather_long_name_indeed_{number:05}-1.0.dist-info"
        write(info / "METADATA", f"Name: {info.name.split('-')[0]}\nVersion: 1.0\n")
    target = tmp_path / "environment.tar"
    manifest = pack_installation(made, target, form=form)
    assert len(manifest.packages) == 3001
    assert read_manifest(target) == manifest == verify_archive(target)
    assert (unpack(target, tmp_path / "node") / MANIFEST).stat().st_size > 131_072
