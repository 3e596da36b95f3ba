"""A real venv is packed, unpacked with tar somewhere else, relocated, and works without the place where it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import pack_prefix, pack_stored, verify_archive
from tiny_project import write_project

pytestmark = pytest.mark.integration
NOTHING = {"PATH": "/usr/bin:/bin"}


def run(*command, cwd=None, env=NOTHING):
    """Run a command and return what it says."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(venv, *options):
    return run(venv / "bin/python", "-m", "pip", *options, "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with a venv that has an editable package, a wheel, and a package installed from a folder."""
    folder = tmp_path_factory.mktemp("packing")
    run(sys.executable, "-m", "venv", folder / "env")
    projects = [write_project(folder / f"{name}-project", name, says=name) for name in ("linked", "wheeled", "copied")]
    pip(folder / "env", "wheel", "--no-build-isolation", "--no-deps", "-w", folder, projects[1])
    pip(folder / "env", "install", "--no-build-isolation", "-e", projects[0])
    pip(folder / "env", "install", "--no-index", next(folder.glob("wheeled-*.whl")))
    pip(folder / "env", "install", "--no-build-isolation", projects[2])
    return folder


@pytest.fixture(scope="module")
def packed(place):
    """The manifest, and the unpacked folder. The venv and the projects are hidden."""
    manifest = pack_prefix(place / "env", place / "environment.tar")
    hidden = [path for path in place.iterdir() if path.name != "environment.tar"]
    node = place / "node" / ("with-a-long-name-" * 8)
    node.mkdir(parents=True)
    run("tar", "-xf", place / "environment.tar", "-C", node)
    (place / "hidden").mkdir(mode=0o700)
    for path in hidden:
        path.rename(place / "hidden" / path.name)
    run("bin/python", "-I", "-S", ".fasthep-parsl/relocate.py", cwd=node)
    yield manifest, node
    for path in hidden:
        (place / "hidden" / path.name).rename(path)


def test_python_and_all_that_it_loads_are_of_the_archive(packed):
    _, node = packed
    code = (
        "import sys, ssl, ctypes, sqlite3, lzma, bz2, zlib, hashlib, uuid, linked, wheeled, copied\n"
        "print(sys.prefix)\nprint(*sys.path[1:], sep='\\n')\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}, sep='\\n')"
    )
    paths = run(node / "bin/python", "-c", code).split("\n")
    outside = {path for path in paths if path and not path.startswith(str(node))}
    of_glibc = re.compile(r".*/(ld-linux|ld-musl|lib(c|m|dl|pthread|rt|util|resolv)[.-]).*")
    assert not [path for path in outside if not of_glibc.fullmatch(path)]


def test_console_scripts_use_the_new_prefix_also_if_it_is_too_long_for_a_kernel(packed):
    _, node = packed
    assert len(str(node)) > 127
    assert [run(node / "bin" / f"{name}-say") for name in ("linked", "wheeled", "copied")] == [
        "linked\n",
        "wheeled\n",
        "copied\n",
    ]
    assert str(node) in run(node / "bin/pip", "--version")


def test_it_needs_no_library_path_and_the_environment_does_not_leak(packed, place):
    _, node = packed
    code = "import os, linked; print('LD_LIBRARY_PATH' in os.environ, linked.__file__)"
    assert (
        run(node / "bin/python", "-c", code)
        == f"False {node / 'lib'}/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/linked/__init__.py\n"
    )
    names = [path.name for path in node.rglob("*")]
    assert "secret-of-the-user.txt" not in names
    assert "pyvenv.cfg" not in names
    for path in node.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert f"{place}/env".encode() not in content, path
            assert f"{place}/linked-project".encode() not in content, path


def test_the_compiled_code_is_used(packed):
    _, node = packed
    said = subprocess.run(
        [node / "bin/python", "-v", "-c", "import json.decoder"],
        capture_output=True,
        text=True,
        check=True,
        env=NOTHING,
    ).stderr
    assert "json/__pycache__/decoder" in said
    assert "wrote" not in said


def test_the_manifest_names_what_was_built(packed):
    manifest, _ = packed
    assert manifest.built == ("copied", "linked")
    assert {name: manifest.packages[name] for name in ("linked", "wheeled", "copied")} == dict.fromkeys(
        ("linked", "wheeled", "copied"), "1.0"
    )
    assert manifest.python == ".".join(map(str, sys.version_info[:3]))


def test_a_changed_source_of_an_editable_package_makes_another_archive(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env")
    project = write_project(tmp_path / "project", "linked", says="before")
    pip(tmp_path / "env", "install", "--no-build-isolation", "-e", project)
    texts = []

    def pack(name):
        texts.clear()
        return pack_stored(
            tmp_path / "env", tmp_path / name, cache=tmp_path / "cache", report=lambda text, *_: texts.append(text)
        )

    first = pack("1.tar")
    run(tmp_path / "env/bin/python", "-c", "import xml.dom.minidom, linked")  # may write compiled code
    assert pack("2.tar") == first
    assert "packing the environment" not in texts
    (project / "linked/words.txt").write_text("after\n")
    changed = pack("3.tar")
    assert "packing the environment" in texts
    assert changed.manifest.hash != first.manifest.hash
    assert verify_archive(tmp_path / "3.tar") == changed.manifest
    for number, says in ((1, "before\n"), (3, "after\n")):
        assert run("tar", "-xOf", tmp_path / f"{number}.tar", "--wildcards", "*/linked/words.txt") == says


def test_an_editable_package_that_cannot_be_built_is_refused(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env")
    project = write_project(tmp_path / "project", "broken")
    pip(tmp_path / "env", "install", "--no-build-isolation", "-e", project)
    backend = project / "backend.py"
    backend.write_text(backend.read_text().replace("def build_wheel(", "def build_no_wheel("))
    with pytest.raises(SiteError, match=r"`broken` is an editable installation .* install it without `-e`"):
        pack_prefix(tmp_path / "env", tmp_path / "environment.tar")
    assert not (tmp_path / "environment.tar").exists()


def test_an_editable_package_with_another_version_than_installed_is_refused(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env")
    project = write_project(tmp_path / "project", "moved")
    pip(tmp_path / "env", "install", "--no-build-isolation", "-e", project)
    backend = project / "backend.py"
    backend.write_text(backend.read_text().replace('"1.0"', '"1.1"', 1))
    with pytest.raises(SiteError, match=r"installed with version 1\.0, and its source .* has version 1\.1"):
        pack_prefix(tmp_path / "env", tmp_path / "environment.tar")


def test_a_folder_outside_that_python_searches_is_refused(tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    (tmp_path / "mine").mkdir()
    packages = next((tmp_path / "env/lib").glob("python*/site-packages"))
    (packages / "mine.pth").write_text(f"{tmp_path / 'mine'}\n")
    with pytest.raises(SiteError, match=r"mine\.pth.*which is not part of the environment"):
        pack_prefix(tmp_path / "env", tmp_path / "environment.tar")


@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="no Python of the system")
def test_a_venv_of_the_systems_python_is_packed_too(tmp_path):
    short = run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    if tuple(map(int, short.split("."))) < (3, 11):
        pytest.skip(f"the system has Python {short}")
    run("/usr/bin/python3", "-m", "venv", "--without-pip", tmp_path / "env")
    packages = next((tmp_path / "env/lib").glob("python*/site-packages"))
    (packages / "mine.py").write_text("number = 42\n")
    manifest = pack_prefix(tmp_path / "env", tmp_path / "environment.tar")
    assert manifest.python.startswith(short)
    (tmp_path / "node").mkdir()
    run("tar", "-xf", tmp_path / "environment.tar", "-C", tmp_path / "node")
    (tmp_path / "env").rename(tmp_path / "hidden")
    run("bin/python", "-I", "-S", ".fasthep-parsl/relocate.py", cwd=tmp_path / "node")
    code = (
        "import sys, ssl, ctypes, sqlite3, mine\nprint(sys.prefix, mine.number)\n"
        "assert not [path for path in sys.path[1:] if not path.startswith(sys.prefix)], sys.path\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if 'libssl' in line})"
    )
    said = run(tmp_path / "node/bin/python", "-c", code).split()
    assert said == [str(tmp_path / "node"), "42", str(tmp_path / "node/lib/libssl.so.3")] or said[2].startswith(
        str(tmp_path)
    )
