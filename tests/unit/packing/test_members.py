"""What of a folder is packed: links, names, and what cannot be packed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import pack_installation
from fasthep_parsl.packing.members import walk
from fasthep_parsl.packing.prefix import collect
from packing_parts import PACKAGES, small_prefix, unpack, write


def links(folder):
    return {member.name: (member.kind, member.target) for member in walk(folder) if member.kind == "link"}


def test_links_within_the_folder_become_relative(tmp_path):
    write(tmp_path / "lib/real.so", "x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/absolute").symlink_to(tmp_path / "lib/real.so")
    (tmp_path / "lib/name.so").symlink_to("real.so")
    (tmp_path / "lib/missing.so").symlink_to("nowhere.so")
    assert links(tmp_path) == {
        "bin/absolute": ("link", "../lib/real.so"),
        "lib/name.so": ("link", "real.so"),
        "lib/missing.so": ("link", "nowhere.so"),
    }


def test_a_file_outside_is_copied(tmp_path):
    outside = write(tmp_path / "outside.txt", "content", 0o755)
    (tmp_path / "env").mkdir()
    (tmp_path / "env/link").symlink_to(outside)
    (member,) = walk(tmp_path / "env")
    assert (member.kind, member.source, member.executable) == ("file", str(outside), True)


@pytest.mark.parametrize("target", ["/nowhere/at/all", "../../../nowhere", "/usr"])
def test_links_to_nothing_and_to_folders_outside_are_refused(tmp_path, target):
    (tmp_path / "env").mkdir()
    (tmp_path / "env/link").symlink_to(target)
    with pytest.raises(SiteError, match=r"env/link` is a link to"):
        list(walk(tmp_path / "env"))


def test_sockets_and_pipes_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SiteError, match=r"pipe` is a socket, a pipe or a device"):
        list(walk(tmp_path))
    (tmp_path / "pipe").unlink()
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("door")
        with pytest.raises(SiteError, match=r"door` is a socket"):
            list(walk(tmp_path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    made = small_prefix(tmp_path / "env")
    secret = write(made.prefix / "secret", "x")
    members = collect(made)
    secret.unlink()
    monkeypatch.setattr("fasthep_parsl.packing.archive.collect", lambda _: members)
    with pytest.raises(SiteError, match=r"env/secret` cannot be read: No such file"):
        pack_installation(made, tmp_path / "environment.tar")
    assert not list(tmp_path.glob("*environment*"))


@pytest.mark.parametrize("change", ["longer", "same size"])
def test_a_file_that_changes_is_refused(tmp_path, monkeypatch, change):
    made = small_prefix(tmp_path / "env")
    members = collect(made)
    module = made.prefix / PACKAGES / "demo/__init__.py"
    before = module.stat()
    write(module, "number = 12345\n" if change == "longer" else "number = 43\n")
    if change == "same size":
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    monkeypatch.setattr("fasthep_parsl.packing.archive.collect", lambda _: members)
    with pytest.raises(SiteError, match=r"demo/__init__\.py` changes while it is packed"):
        pack_installation(made, tmp_path / "environment.tar")


def test_names_that_are_no_text_and_hard_links_are_packed(tmp_path):
    made = small_prefix(tmp_path / "env")
    odd = os.fsencode(made.prefix) + b"/data-\xff.txt"
    write(Path(os.fsdecode(odd)), f"in {made.prefix}/bin")
    os.link(odd, made.prefix / "same.txt")
    pack_installation(made, tmp_path / "environment.tar")
    node = unpack(tmp_path / "environment.tar", tmp_path / "node")
    content = b"in /opt/fasthep-parsl/environment/bin"
    assert Path(os.fsdecode(os.fsencode(node) + b"/data-\xff.txt")).read_bytes() == content
    assert (node / "same.txt").read_bytes() == content


@pytest.mark.parametrize("length", [99, 100, 101, 250])
def test_long_names_and_targets_are_packed(tmp_path, length):
    made = small_prefix(tmp_path / "env")
    name = "d/" + "x" * (length - 2)
    write(made.prefix / name, "content", 0o755)
    os.utime(made.prefix / name, (1_600_000_000, 1_600_000_000))
    (made.prefix / "link").symlink_to(name)
    pack_installation(made, tmp_path / "environment.tar")
    node = unpack(tmp_path / "environment.tar", tmp_path / "node")
    assert (node / "link").read_text() == "content"
    assert os.access(node / name, os.X_OK)
    assert (node / name).stat().st_mtime == 1_600_000_000


def test_empty_folders_are_kept_and_caches_are_not(tmp_path):
    made = small_prefix(tmp_path / "env")
    (made.prefix / "var/empty").mkdir(parents=True)
    write(made.prefix / PACKAGES / "demo/__pycache__/kernel.nbi", "numba")
    write(made.prefix / "pkgs/cache.txt", "of conda")
    names = [member.name for member in collect(made)]
    assert "var/empty" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("pkgs")]
