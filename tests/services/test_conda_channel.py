"""The channel in a folder is one that py-rattler understands, and its Python works where it is installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

rattler = pytest.importorskip("rattler")

from services.conda_channel import PLATFORM, small_channel
from services.pixi_projects import closure, small_project, solved


@pytest.mark.parametrize("version", [6, 7])
def test_a_project_is_solved_locked_and_installed(version, tmp_path):
    manifest = small_project(tmp_path / "project", lock_version=version)
    lock = rattler.LockFile.from_path(manifest.with_name("pixi.lock"))
    environment = lock.default_environment()
    assert [platform.name for platform in environment.platforms()] == [PLATFORM]
    records = environment.conda_repodata_records_for_platform(environment.platforms()[0])
    prefix = tmp_path / "prefix"
    asyncio.run(rattler.install(records, prefix, cache_dir=tmp_path / "cache", show_progress=False))
    greeted = subprocess.run([prefix / "bin" / "greet"], capture_output=True, text=True, check=True)
    assert greeted.stdout == f"hello from {prefix}\n"
    code = "import sys, ssl, ctypes, sqlite3; print(sys.prefix, sys.version_info[:2])"
    shown = subprocess.run([prefix / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == f"{prefix} {sys.version_info[:2]}\n"
    (wheel,) = environment.pypi_packages_for_platform(environment.platforms()[0])
    assert (wheel.name, wheel.version, len(wheel.hashes.sha256)) == ("tiny-tool", "0.3", 32)


def test_the_newest_version_that_fits_is_chosen():
    records = solved(small_channel(), ["greeting <1.1"])
    assert min(f"{item.name.normalized} {item.version}" for item in records) == "greeting 1.0"


def test_the_closure_has_all_that_a_distribution_needs():
    names = {item.name.lower() for item in closure("fasthep-parsl")}
    assert {"fasthep-parsl", "parsl", "numpy", "awkward"} <= names
    assert "pytest" not in names
