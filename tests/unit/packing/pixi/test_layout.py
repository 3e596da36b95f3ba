"""The layout of pixi-pack: what is written is what its sources read, and packs as it writes them are read."""

from __future__ import annotations

import base64
import io
import json
import tarfile

import pytest
import yaml

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.downloads import fetch_conda, fetch_wheels
from fasthep_parsl.packing.pixi.layout import read_pack, write_pack
from fasthep_parsl.packing.pixi.lock_file import read_lock
from fasthep_parsl.packing.pixi.project import load_project


@pytest.fixture
def locked(newest):
    return read_lock(load_project(newest), "default", this_platform())


@pytest.fixture
def pack(locked, tmp_path):
    archives = fetch_conda(locked.conda, tmp_path / "downloads")
    wheels = fetch_wheels(locked, locked.pypi, tmp_path / "downloads")
    write_pack(locked, archives, wheels, tmp_path / "environment.tar")
    return tmp_path / "environment.tar"


def self_extracting(pack, target):
    """Write a self-extracting pack as `src/pack.rs` of pixi-pack does: header, archive, and a program, in base64."""
    header = "#!/usr/bin/env bash\n# looks for ^@@END_HEADER@@ in itself\nexit 0\n@@END_HEADER@@\n"
    archive = base64.b64encode(pack.read_bytes()).decode()
    program = base64.b64encode(b"\x7fELF").decode()
    target.write_text(f"{header}\n{archive}\n@@END_ARCHIVE@@\n{program}")
    return target


def test_a_pack_has_the_files_of_the_layout(pack, locked):
    with tarfile.open(pack) as tar:
        names = tar.getnames()
        metadata = json.load(tar.extractfile("pixi-pack.json"))
        environment = yaml.safe_load(tar.extractfile("environment.yml"))
        repodata = json.load(tar.extractfile(f"channel/{this_platform()}/repodata.json"))
        noarch = json.load(tar.extractfile("channel/noarch/repodata.json"))
    assert metadata == {"version": "1", "platform": this_platform()}
    assert {name.rpartition("/")[0] for name in names} == {"", "channel/noarch", f"channel/{this_platform()}", "pypi"}
    assert [name for name in names if name.startswith("pypi/")] == ["pypi/tiny_tool-0.3-py3-none-any.whl"]
    assert environment["channels"] == ["./channel", "nodefaults"]
    assert environment["dependencies"][-1] == {"pip": ["--no-index", "--find-links ./pypi", "tiny-tool==0.3"]}
    assert environment["dependencies"][:-1] == [f"{item.name}={item.version}={item.build}" for item in locked.conda]
    flavour = next(item for item in locked.conda if item.name == "flavour")
    assert repodata["packages.conda"][flavour.file_name]["sha256"] == flavour.sha256
    assert list(noarch["packages"]) == ["sample-data-1.0-0.tar.bz2"]


def test_the_same_packages_give_the_same_pack(pack, locked, tmp_path):
    archives = fetch_conda(locked.conda, tmp_path / "downloads")
    wheels = fetch_wheels(locked, locked.pypi, tmp_path / "downloads")
    write_pack(locked, archives, wheels, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == pack.read_bytes()


@pytest.mark.parametrize("form", ["tar", "script", "folder"])
def test_a_pack_is_read_in_every_form(form, pack, locked, tmp_path):
    if form == "script":
        pack = self_extracting(pack, tmp_path / "environment.sh")
    elif form == "folder":
        with tarfile.open(pack) as tar:
            tar.extractall(tmp_path / "environment", filter="data")
        pack = tmp_path / "environment"
    (tmp_path / "files").mkdir()
    found, wheels = read_pack(pack, tmp_path / "files")
    assert found.platform == this_platform()
    assert {(item.name, item.version, item.sha256) for item in found.conda} == {
        (item.name, item.version, item.sha256) for item in locked.conda
    }
    assert [(item.name, item.version, path.is_file()) for item, path in wheels.items()] == [("tiny-tool", "0.3", True)]
    fetch_conda(found.conda, tmp_path / "downloads")  # the archives are where the records say, with their checksums


def test_pieces_of_base64_may_end_anywhere(pack, tmp_path, monkeypatch):
    script = self_extracting(pack, tmp_path / "environment.sh")
    for size in (4, 7, 1 << 20):
        monkeypatch.setattr("fasthep_parsl.packing.pixi.layout._CHUNK", max(size * 9973, 64))
        folder = tmp_path / str(size)
        folder.mkdir()
        assert read_pack(script, folder)[0].python


def test_a_pack_of_another_version_is_refused(pack, tmp_path):
    folder = tmp_path / "pack"
    with tarfile.open(pack) as tar:
        tar.extractall(folder, filter="data")
    (folder / "pixi-pack.json").write_text('{"version": "2", "platform": "linux-64"}')
    with pytest.raises(SiteError, match="is a pack of version 2; version 1 can be read"):
        read_pack(folder, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"no tar", b"#!/bin/sh\necho no marks\n", b"#!/bin/sh\n@@END_HEADER@@\n\nAAAA\n", b"half"]
)
def test_what_is_no_pack_is_refused(content, pack, tmp_path):
    wrong = tmp_path / "wrong.tar"
    wrong.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2] if content == b"half" else content)
    (tmp_path / "files").mkdir()
    with pytest.raises(SiteError, match="cannot be read as a pack of pixi-pack"):
        read_pack(wrong, tmp_path / "files")


def test_a_pack_writes_nothing_outside_of_its_folder(tmp_path):
    with tarfile.open(tmp_path / "wrong.tar", "w") as tar:
        member = tarfile.TarInfo("../escaped")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "files").mkdir()
    with pytest.raises(SiteError, match="cannot be read as a pack"):
        read_pack(tmp_path / "wrong.tar", tmp_path / "files")
    assert not (tmp_path / "escaped").exists()
