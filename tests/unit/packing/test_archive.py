"""Archives: what is packed, its hash, and what happens to damaged ones."""

from __future__ import annotations

import shutil

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import pack_installation, read_manifest, verify_archive
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
