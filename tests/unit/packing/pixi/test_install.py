"""Installed prefixes: what they contain, that they have every locked package, and what is refused."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import subprocess
import threading
from dataclasses import replace
from functools import partial

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.downloads import fetch_conda, fetch_wheels
from fasthep_parsl.packing.pixi.install import check_installed, install_conda, install_python_packages
from fasthep_parsl.packing.pixi.lock_file import read_lock
from fasthep_parsl.packing.pixi.project import load_project
from fasthep_parsl.packing.pixi.wheel_install import wrong_tags
from services.conda_channel import PYTHON
from services.pixi_projects import quick_channel, write_wheel


def locked_of(manifest):
    return read_lock(load_project(manifest), "default", this_platform())


def installed(manifest, work):
    locked = locked_of(manifest)
    install_conda(locked, work / "prefix")
    install_python_packages(locked, fetch_wheels(locked, locked.pypi, work / "downloads"), work / "prefix")
    return locked


@pytest.fixture
def channel(tmp_path):
    """A copy of the channel, which may be changed."""
    shutil.copytree(quick_channel(), tmp_path / "channel")
    return tmp_path / "channel"


@contextlib.contextmanager
def served(folder):
    """Serve a folder on this machine and yield its URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def moved(manifest, channel, url=""):
    """Let a project use another copy of its channel: in a folder, or at a URL."""
    for name in ("pixi.toml", "pixi.lock"):
        path = manifest.with_name(name)
        text = path.read_text().replace(quick_channel().as_uri(), url or channel.as_uri())
        path.write_text(text.replace(f"conda: {quick_channel()}", f"conda: {url or channel}"))
    return manifest


def run(prefix, program, *arguments):
    done = subprocess.run([prefix / "bin" / program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow
def test_a_prefix_has_what_the_lock_file_says(manifest, tmp_path):
    reports = []
    locked = locked_of(manifest)
    prefix = tmp_path / "prefix"
    install_conda(locked, prefix, report=lambda *report: reports.append(report))
    install_python_packages(locked, fetch_wheels(locked, locked.pypi, tmp_path / "downloads"), prefix)
    assert reports[-1] == ("installing packages", 4, 4)
    assert run(prefix, "greet") == f"hello from {prefix}\n"  # an entry point of a noarch package
    assert run(prefix, "flavour") == f"{prefix}\n"  # a script with the prefix
    assert run(prefix, "tiny") == "tiny\n"  # an entry point of a wheel
    assert (prefix / "etc/conda/activate.d/flavour.sh").read_text() == f'export FLAVOUR="{prefix}/share/flavour"\n'
    assert f"{prefix}/share/flavour/taste.txt\0".encode() in (prefix / "share/flavour/flavour.bin").read_bytes()
    packages = prefix / f"lib/python{PYTHON}/site-packages"
    tag = f"cpython-{PYTHON.replace('.', '')}"
    assert (packages / f"greeting/__pycache__/__init__.{tag}.pyc").is_file()  # compiled: nodes need not do it
    assert (packages / f"__pycache__/tiny_tool.{tag}.pyc").is_file()
    assert (packages / "tiny_tool-0.3.dist-info/INSTALLER").read_text() == "fasthep-parsl"


def test_a_missing_or_other_package_is_noticed(newest, tmp_path):
    locked = installed(newest, tmp_path)
    prefix = tmp_path / "prefix"
    check_installed(locked, prefix)
    with pytest.raises(SiteError, match=r"locked is 0\.4, installed is 0\.3"):
        check_installed(replace(locked, pypi=(replace(locked.pypi[0], version="0.4"),)), prefix)
    record = next((prefix / "conda-meta").glob("flavour-*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": "0" * 64}))
    with pytest.raises(SiteError, match=r"differs from the lock file in `flavour 2\.0 h0_0`"):
        check_installed(locked, prefix)


@pytest.mark.slow
def test_installing_never_changes_the_cache(working, tmp_path):
    locked = locked_of(working)
    cache = tmp_path / "cache"
    install_conda(locked, tmp_path / "first", cache=cache)
    modules = {"greeting/__init__.py": "def main():\n    print('other')\n"}
    wheel = write_wheel(tmp_path, "other", "9.0", modules, "greet")
    entry = replace(locked.pypi[0], name="other", version="9.0", location=str(wheel), sha256="")
    install_python_packages(replace(locked, pypi=(entry,)), {entry: wheel}, tmp_path / "first")
    assert run(tmp_path / "first", "greet") == "other\n"  # in place of the conda package's, as pip does it
    install_conda(locked, tmp_path / "second", cache=cache)
    assert run(tmp_path / "second", "greet") == f"hello from {tmp_path}/second\n"


def test_a_package_that_is_there_twice_is_refused(newest, tmp_path):
    locked = locked_of(newest)
    install_conda(locked, tmp_path / "prefix")
    wheel = write_wheel(tmp_path, "Greeting", "9.0", {"greeting.py": ""})
    entry = replace(locked.pypi[0], name="greeting", version="9.0", location=str(wheel), sha256="")
    with pytest.raises(SiteError, match=r"`greeting` is locked twice, as 1\.1 and 9\.0|as 9\.0 and 1\.1"):
        install_python_packages(replace(locked, pypi=(entry,)), {entry: wheel}, tmp_path / "prefix")


def test_a_changed_file_in_the_cache_is_not_used(newest, tmp_path):
    locked = locked_of(newest)
    cache = tmp_path / "cache"
    install_conda(locked, tmp_path / "first", cache=cache)
    cached = next(path for path in cache.glob("flavour-*") if path.is_dir()) / "share/flavour/taste.txt"
    cached.unlink()
    cached.write_text("sour\n")
    install_conda(locked, tmp_path / "second", cache=cache)
    assert (tmp_path / "second/share/flavour/taste.txt").read_text() == "sweet\n"


def test_another_package_in_a_folder_is_refused_with_both_checksums(newest, channel, tmp_path):
    locked = locked_of(moved(newest, channel))
    archive = next(channel.glob("*/flavour-*.conda"))
    shutil.copyfile(next(channel.glob("noarch/greeting-1.0*.conda")), archive)
    wanted = next(item.sha256 for item in locked.conda if item.name == "flavour")
    for attempt in (
        lambda: install_conda(locked, tmp_path / "prefix"),
        lambda: fetch_conda(locked.conda, tmp_path / "downloads"),
    ):
        with pytest.raises(
            SiteError, match=rf"package `flavour 2\.0` from .*sha256 is [0-9a-f]{{64}}, locked is {wanted}"
        ):
            attempt()
    assert not (tmp_path / "prefix").exists()


def test_another_package_at_a_url_is_refused_with_both_checksums(newest, channel, tmp_path):
    shutil.copyfile(next(channel.glob("noarch/greeting-1.0*.conda")), next(channel.glob("*/flavour-*.conda")))
    with served(channel) as url:
        locked = locked_of(moved(newest, channel, url))
        wanted = next(item.sha256 for item in locked.conda if item.name == "flavour")
        with pytest.raises(SiteError, match=rf"flavour-2\.0.*expected {wanted}, got [0-9a-f]{{64}}"):
            install_conda(locked, tmp_path / "prefix", cache=tmp_path / "cache")
        with pytest.raises(SiteError, match=rf"`flavour 2\.0` .*sha256 is [0-9a-f]{{64}}, locked is {wanted}"):
            fetch_conda(locked.conda, tmp_path / "downloads")


def test_packages_are_downloaded_once(newest, channel, tmp_path):
    with served(channel) as url:
        locked = locked_of(moved(newest, channel, url))
        first = fetch_conda(locked.conda, tmp_path / "downloads")
        install_conda(locked, tmp_path / "prefix", cache=tmp_path / "cache")
    assert fetch_conda(locked.conda, tmp_path / "downloads") == first  # nobody serves them any more
    install_conda(locked, tmp_path / "again", cache=tmp_path / "cache")


def test_a_damaged_download_is_fetched_again(newest, channel, tmp_path):
    with served(channel) as url:
        locked = locked_of(moved(newest, channel, url))
        paths = fetch_conda(locked.conda, tmp_path / "downloads")
        path = next(path for item, path in paths.items() if item.name == "flavour")
        good = path.read_bytes()
        path.write_bytes(b"cut")
        fetch_conda(locked.conda, tmp_path / "downloads")
    assert path.read_bytes() == good


@pytest.mark.slow
def test_a_channel_that_does_not_answer_is_named(newest, channel, tmp_path):
    with served(channel) as url:
        locked = locked_of(moved(newest, channel, url))
    port = url.rpartition(":")[2]
    with pytest.raises(SiteError, match=rf"cannot install the locked packages: .*127\.0\.0\.1:{port}.*[Cc]onnect"):
        install_conda(locked, tmp_path / "prefix", cache=tmp_path / "cache")
    with pytest.raises(SiteError, match=rf"cannot fetch package `.*` from `http://127\.0\.0\.1:{port}"):
        fetch_conda(locked.conda, tmp_path / "downloads")


def test_a_package_that_the_channel_has_no_more_is_named(newest, channel, tmp_path):
    next(channel.glob("*/flavour-*.conda")).unlink()
    with served(channel) as url:
        locked = locked_of(moved(newest, channel, url))
        with pytest.raises(SiteError, match=r"404 .*package `flavour 2\.0`"):
            install_conda(locked, tmp_path / "prefix", cache=tmp_path / "cache")


def test_a_package_that_a_folder_has_no_more_is_named(newest, channel, tmp_path):
    locked = locked_of(moved(newest, channel))
    next(channel.glob("*/flavour-*.conda")).unlink()
    with pytest.raises(SiteError, match=r"package `flavour 2\.0` from .*: No such file"):
        install_conda(locked, tmp_path / "prefix")


def test_a_wheel_with_another_checksum_is_refused(newest, tmp_path):
    locked = locked_of(newest)
    wheel = next(newest.parent.glob("wheels/*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\n")
    with pytest.raises(SiteError, match=rf"package `tiny-tool 0\.3` .* locked is {locked.pypi[0].sha256}"):
        fetch_wheels(locked, locked.pypi, tmp_path)


def test_an_environment_without_python_is_refused(newest, tmp_path):
    locked = locked_of(newest)
    locked = replace(locked, conda=tuple(item for item in locked.conda if item.name != "python"))
    with pytest.raises(SiteError, match="has no Python; add it with `pixi add python`"):
        install_conda(locked, tmp_path / "prefix")


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-py311-none-any.whl", True),
        ("a-1-py312-none-any.whl", False),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp311-cp311-linux_x86_64.whl", True),
        ("a-1-cp39-abi3-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp312-abi3-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp310-cp310-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_1_x86_64.whl", False),
        ("a.whl", False),
    ],
)
def test_wheels_for_other_machines_are_noticed(wheel, fits):
    assert (wrong_tags(wheel, "linux-64", "3.11.7") == "") is fits
