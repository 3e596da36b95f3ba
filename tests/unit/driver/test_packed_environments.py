"""Pack ahead of time, and find what was packed."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from fasthep_parsl import registry
from fasthep_parsl.driver import packed_environments
from fasthep_parsl.driver.packed_environments import (
    describe_archive,
    find_archive,
    pack_environment,
    packed_before,
    workflow_environment,
    write_pixi_layout,
)
from fasthep_parsl.environments.packed import PackedEnvironment
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.packing.archive import pack_installation, verify_archive
from fasthep_parsl.packing.inventory import kept_archives
from fasthep_parsl.packing.store import provide
from packing_parts import PACKAGES, installation, small_prefix, write


class SmallPack(PackedEnvironment):
    """A packed environment whose key is the text of a file."""

    place: Path

    def pack(self, target, report):
        found = installation(self.place)
        text = (self.place / PACKAGES / "demo/__init__.py").read_text()
        key = "".join(f"{ord(char):02x}" for char in text)[:32]
        return provide(key, target, lambda path: pack_installation(found, path, report=report), report)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHEP_PARSL_CACHE", str(tmp_path / "cache"))
    small_prefix(tmp_path / "env")
    return SmallPack(place=tmp_path / "env")


def test_it_is_packed_once_and_reused_until_it_changes(environment):
    assert packed_before(environment) is None
    assert kept_archives() == [], "looking does not pack"
    first = pack_environment(environment)
    again = pack_environment(environment)
    assert (first.reused, again.reused) == (False, True)
    assert first.path == again.path == packed_before(environment)
    assert verify_archive(first.path) == first.archive.manifest
    write(environment.place / PACKAGES / "demo/__init__.py", "changed = 1\n")
    assert packed_before(environment) is None
    changed = pack_environment(environment)
    assert not changed.reused
    assert changed.archive.manifest.hash != first.archive.manifest.hash
    assert len(kept_archives()) == 2
    assert not list((first.path.parents[2]).glob(".pack-*")), "the temporary folder is removed"


def test_force_packs_again(environment):
    first = pack_environment(environment)
    second = pack_environment(environment, force=True)
    assert not second.reused
    assert second.archive.mtime_ns > first.archive.mtime_ns
    assert len(kept_archives()) == 1


def test_output_is_a_copy_and_is_not_overwritten(environment, tmp_path):
    output = tmp_path / "my.tar.zst"
    packed = pack_environment(environment, output=output)
    assert packed.path == output
    assert verify_archive(output) == packed.archive.manifest
    with pytest.raises(ConfigError, match="exists"):
        pack_environment(environment, output=output)
    output.write_text("old")
    assert pack_environment(environment, output=output, force=True).path == output
    assert verify_archive(output) == packed.archive.manifest
    for bad in (tmp_path, tmp_path / "none" / "my.tar"):
        with pytest.raises(ConfigError, match="folder"):
            pack_environment(environment, output=bad)


def test_an_archive_is_found_by_path_and_by_the_beginning_of_its_hash(environment, tmp_path):
    packed = pack_environment(environment)
    key = packed.archive.manifest.hash
    assert find_archive(key[:6]) == find_archive(key) == find_archive(str(packed.path)) == packed.path
    other = "f" if key[0] != "f" else "e"
    for wrong, message in ((f"{other}000", "no environment with the hash"), ("abc", "neither a file nor")):
        with pytest.raises(ConfigError, match=message) as caught:
            find_archive(wrong)
        (problem,) = caught.value.problems
        assert key[:12] in str(problem.hint)
        assert problem.code == "E190"


def test_a_hash_of_two_environments_is_refused(environment, monkeypatch):
    packed = pack_environment(environment)
    (kept,) = kept_archives()
    key = kept.archive.manifest.hash
    twin = kept.archive.manifest.model_copy(update={"hash": key[:8] + key[8:][::-1]})
    place = packed.path.parent.with_name("twin")
    shutil.copytree(packed.path.parent, place)
    entry = kept.archive.model_copy(
        update={"manifest": twin, "mtime_ns": (place / packed.path.name).stat().st_mtime_ns}
    )
    (place / "manifest.json").write_text(entry.model_dump_json())
    with pytest.raises(ConfigError, match="not the beginning of one hash"):
        find_archive(key[:8])
    assert find_archive(key) == packed.path


@pytest.mark.parametrize(("content", "message"), [
    (b"", "no packed environment"), (b"PK\3\4 a zip", "no packed environment"), (b"\x1f\x8b\x08\0", "cannot be read"),
])  # fmt: skip
def test_what_is_no_archive_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        describe_archive(path)


def test_an_archive_of_a_later_version_is_refused(environment, monkeypatch):
    packed = pack_environment(environment)
    text = (packed.path.parent / "manifest.json").read_text()
    (packed.path.parent / "manifest.json").write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    assert kept_archives() == [], "it does not count"
    assert pack_environment(environment).reused is False


def write_workflow(folder, environment):
    content = {
        "version": "1.0",
        "data": {"datasets": [{"name": "dy", "files": ["no_such_file.root"]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [{"id": "Two", "op": "hep.select", "params": {"selection": ["x > 2"]}}]},
        "execution": {"environment": environment} if environment else {},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))
    return folder / "flow.yaml"


def test_the_environment_of_a_workflow_is_found_without_its_input_files(tmp_path):
    made = workflow_environment(write_workflow(tmp_path, {"kind": "packed-prefix", "prefix": "/opt/mine"}), "local")
    assert (type(made).__name__, made.prefix) == ("PackedPrefix", "/opt/mine")


def test_paths_of_an_environment_begin_in_the_folder_of_the_workflow(tmp_path, monkeypatch):
    class Located(SmallPack):
        @classmethod
        def located(cls, params, folder):
            return {**params, "place": str(folder / params["place"])}

    load = registry.load
    monkeypatch.setattr(registry, "load", lambda group, name: Located if group == "environments" else load(group, name))
    (tmp_path / "flow").mkdir()
    flow = write_workflow(tmp_path / "flow", {"kind": "packed-prefix", "place": "project"})
    assert workflow_environment(flow, "local").place == tmp_path / "flow" / "project"


@pytest.mark.parametrize(("environment", "message"), [
    (None, "has no environment"),
    ("shared-prefix", "`shared-prefix` has nothing to pack"),
    ({"kind": "packed-prefix", "prefix": "not/absolute"}, "expected an absolute path"),
    ({"kind": "packed-prefix", "prefixes": "/x"}, "prefixes"),
])  # fmt: skip
def test_what_cannot_be_packed_is_refused(tmp_path, environment, message):
    with pytest.raises(ConfigError, match=message):
        workflow_environment(write_workflow(tmp_path, environment), "local")


def test_the_layout_of_pixi_pack_needs_a_project(environment, tmp_path):
    with pytest.raises(ConfigError, match="needs a pixi project"):
        write_pixi_layout(environment, tmp_path / "environment.tar")


@pytest.mark.slow
def test_the_layout_of_pixi_pack_is_written(tmp_path):
    pytest.importorskip("rattler")
    from fasthep_parsl.environments.packed_pixi import PackedPixi
    from services.pixi_projects import small_project

    made = PackedPixi(manifest=str(small_project(tmp_path / "project")), tool="py-rattler")
    output = tmp_path / "environment.tar"
    assert write_pixi_layout(made, output) == output.stat().st_size
    with tarfile.open(output) as archive:
        assert {"pixi-pack.json", "environment.yml"} <= {name.removeprefix("./") for name in archive.getnames()}
    with pytest.raises(ConfigError, match="exists"):
        write_pixi_layout(made, output)


def test_the_store_that_another_process_has_emptied_is_no_bug(environment, monkeypatch):
    from fasthep_parsl.errors import SiteError

    monkeypatch.setattr(packed_environments, "kept_archives", list)
    with pytest.raises(SiteError, match="another process has removed it"):
        pack_environment(environment)
