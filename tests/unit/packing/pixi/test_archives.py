"""Where the packages of `packed-pixi` come from, and what the kind accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fasthep_parsl.environments.packed_pixi import PackedPixi
from fasthep_parsl.errors import ConfigError, SiteError
from fasthep_parsl.packing.archive import verify_archive
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.archives import archive_pack, archive_project, pack_installed
from fasthep_parsl.packing.pixi.building import git_source
from fasthep_parsl.packing.pixi.provision import install_package, open_environment
from fasthep_parsl.setup_folder import SetupFolder
from services.conda_channel import PYTHON
from services.pixi_projects import foreign_project

pytestmark = pytest.mark.usefixtures("no_pixi_programs")


def test_a_pack_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SiteError, match=r"cannot read the pack `.*nothing\.tar`: No such file"):
        archive_pack(tmp_path / "nothing.tar", tmp_path / "environment.tar")


def test_a_program_that_is_required_must_be_there(newest):
    with pytest.raises(SiteError, match="`pixi-pack` is not in `PATH`"):
        open_environment(newest, "default", tool="pixi-pack")


def test_pixi_checks_the_lock_file_where_the_user_has_it(newest, programs):
    folder = programs("pixi", '#!/bin/sh\necho "$@" > "$(dirname "$0")/called"\n')
    open_environment(newest, "default")
    called = (folder / "called").read_text().split()
    assert called == [
        "list", "--locked", "--no-install", "--environment", "default", "--platform", this_platform(),
        "--manifest-path", str(newest),
    ]  # fmt: skip
    programs("pixi", "#!/bin/sh\necho 'Error:   × lock file not up-to-date with the workspace' >&2; exit 1\n")
    with pytest.raises(ConfigError, match=r"lock file not up-to-date with the workspace.*run `pixi lock`"):
        open_environment(newest, "default")


def test_a_conda_package_from_a_source_needs_pixi_pack(newest, monkeypatch):
    package = open_environment(newest, "default")
    locked = replace(package.locked, sources=("compiled-thing",))
    monkeypatch.setattr("fasthep_parsl.packing.pixi.provision.read_lock", lambda *_: locked)
    with pytest.raises(ConfigError, match="`compiled-thing` is a conda package that pixi builds"):
        open_environment(newest, "default")


def test_paths_begin_in_the_folder_of_the_workflow(newest, tmp_path):
    deep = newest.parent / "analysis"
    deep.mkdir()
    assert PackedPixi.located({}, deep) == {"manifest": str(newest)}
    assert PackedPixi.located({"manifest": "../pixi.toml"}, deep) == {"manifest": str(deep / "../pixi.toml")}
    assert PackedPixi.located({"pixi_pack": "env.tar"}, deep) == {"pixi_pack": str(deep / "env.tar")}
    assert PackedPixi.located({}, tmp_path / "elsewhere") == {}


def test_an_environment_for_another_platform_is_packed_here(tmp_path):
    manifest = foreign_project(tmp_path / "project")
    with pytest.raises(ConfigError, match=f"for the platform `{this_platform()}`; it has `linux-aarch64`"):
        archive_project(manifest, "default", tmp_path / "a.tar", cache=tmp_path / "cache")
    stored = archive_project(
        manifest, "default", tmp_path / "b.tar", platform="linux-aarch64", cache=tmp_path / "cache"
    )
    assert (stored.manifest.platform, stored.manifest.packages) == ("linux-aarch64", {"greeting": "1.1"})
    assert verify_archive(tmp_path / "b.tar").python == f"{PYTHON}.9"


def test_the_same_lock_file_gives_the_same_environment_hash(newest, tmp_path):
    package = open_environment(newest, "default")
    manifests = []
    for name in ("a", "a-longer-name"):
        (tmp_path / name).mkdir()
        installed = install_package(package, tmp_path / name)
        manifests.append(pack_installed(installed, tmp_path / f"{name}.tar", name="x"))
    assert manifests[0] == manifests[1]
    assert manifests[0].packages == {"greeting": "1.1", "tiny-tool": "0.3"}


def test_without_a_project_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no `pixi\.toml` beside the workflow file or above it"):
        PackedPixi().prepare(SetupFolder(tmp_path / "run"))


@pytest.mark.parametrize("platform", [["linux"], "linux 64", 3])
def test_what_is_no_platform_is_refused(platform):
    with pytest.raises(ValueError, match="expected a platform"):
        PackedPixi(platform=platform)


def test_a_project_and_a_pack_exclude_each_other():
    with pytest.raises(ValueError, match="`manifest` and `pixi_pack` are both set"):
        PackedPixi(manifest="pixi.toml", pixi_pack="environment.tar")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("git+https://host/a/b.git@0123", ("https://host/a/b.git", "0123", "")),
        ("git+ssh://git@host/a/b@0123", ("ssh://git@host/a/b", "0123", "")),
        ("git+ssh://git@host/a/b?rev=main#0123", ("ssh://git@host/a/b", "0123", "")),
        ("git+https://host/b?subdirectory=c/d&tag=v1#0123", ("https://host/b", "0123", "c/d")),
        ("git+file:///a/b?branch=next", ("file:///a/b", "next", "")),
    ],
)
def test_locked_commits_are_read(location, expected):
    assert git_source(location) == expected
