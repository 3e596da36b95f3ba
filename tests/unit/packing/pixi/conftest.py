"""Pixi projects of the tests: a small one, locked, and the cache of unpacked packages that they share."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("rattler")

from services.pixi_projects import quick_project, small_project


@pytest.fixture(scope="session", autouse=True)
def _unpacked(tmp_path_factory):
    """Unpacked packages are kept for the session, and not where the user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATTLER_CACHE_DIR", str(tmp_path_factory.mktemp("rattler")))
        patch.delenv("PIXI_CACHE_DIR", raising=False)
        yield


@pytest.fixture(scope="session")
def _small(tmp_path_factory):
    return {version: small_project(tmp_path_factory.mktemp(f"v{version}"), lock_version=version) for version in (6, 7)}


@pytest.fixture(params=[6, 7], ids=["lock-v6", "lock-v7"])
def manifest(request, _small, tmp_path):
    """The manifest of a project with Python, conda packages of all sorts and a wheel; it may be changed."""
    folder = tmp_path / "project"
    shutil.copytree(_small[request.param].parent, folder)
    return folder / "pixi.toml"


@pytest.fixture
def working(_small, tmp_path):
    """The same, with a lock file of the newest version."""
    folder = tmp_path / "project"
    shutil.copytree(_small[7].parent, folder)
    return folder / "pixi.toml"


@pytest.fixture(scope="session")
def _quick(tmp_path_factory):
    return quick_project(tmp_path_factory.mktemp("quick"))


@pytest.fixture
def newest(_quick, tmp_path):
    """The same, with a program that stands in for Python."""
    folder = tmp_path / "project"
    shutil.copytree(_quick.parent, folder)
    return folder / "pixi.toml"
