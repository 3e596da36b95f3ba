"""A conda channel in a folder, made of what is installed here: Python, and small packages of all sorts.

The channel is written once per Python and kept in `~/.cache/fasthep-parsl-tests`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from services.conda_packages import PLACEHOLDER, CondaPackage, PackageFile, write_package, write_repodata

PLATFORM = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[platform.machine()]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "site-packages",
    "__pycache__",
}


def channels_folder() -> Path:
    """Return the folder that keeps channels and repackaged software."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "fasthep-parsl-tests" / "conda"


def small_channel() -> Path:
    """Return the channel with Python and the packages of `SMALL_PACKAGES`."""
    return kept_channel("small", [python_package, *SMALL_PACKAGES])


def kept_channel(name: str, packages: Iterable[Callable[[], CondaPackage]], key: str = "") -> Path:
    """Return a channel from the cache, or write it. `packages` are functions that return a package.

    Another `key` is another channel. A channel that two processes write at once is written twice; one of them is kept.
    """
    sources = b"".join(
        (Path(__file__).parent / file).read_bytes() for file in ("conda_channel.py", "conda_packages.py")
    )
    texts = (sys.version, sys.base_prefix, name, key)
    digest = hashlib.sha256(sources + "\0".join(texts).encode()).hexdigest()
    folder = channels_folder() / f"{name}-{digest[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            for package in packages:
                made = package()
                write_package(made, draft, ".tar.bz2" if made.name in BZ2 else ".conda")
            write_repodata(draft, ("noarch", PLATFORM))
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def python_package() -> CondaPackage:
    """Return this Python, without its tests and without installed packages."""
    base, stdlib = Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))
    files = {f"bin/python{PYTHON}": _moved(Path(os.path.realpath(sys._base_executable)), base)}
    files |= {f"bin/{name}": PackageFile(link=f"python{PYTHON}") for name in ("python", "python3")}
    library = Path(sysconfig.get_config_var("LIBDIR")) / (sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        files[f"lib/{library.name}"] = _moved(library, base)
    for path in sorted(stdlib.rglob("*")):
        parts = path.relative_to(stdlib).parts
        unused = parts[0].startswith("config-") or path.name.endswith((".opt-1.pyc", ".opt-2.pyc"))
        if path.is_file() and not unused and not _LEFT_OUT & set(parts):
            files[f"lib/python{PYTHON}/{path.relative_to(stdlib)}"] = _moved(path, base)
    return CondaPackage("python", platform.python_version(), "0_cpython", PLATFORM, files=files)


def _moved(path: Path, base: Path) -> PackageFile:
    """Return a file of the installation in `base` as it is in a package: with a placeholder, or libraries by `$ORIGIN`."""
    file = PackageFile.of(path.resolve())
    if str(base) in ("/", "/usr"):  # these stand in files for other reasons too
        return file
    if b"\0" not in file.content:
        return replace(file, content=file.content.replace(str(base).encode(), PLACEHOLDER.encode()))
    old = f"{base}/lib".encode() + b"\0"
    return replace(file, content=file.content.replace(old, b"$ORIGIN/../lib".ljust(len(old), b"\0")))


def greeting(version: str = "1.1") -> CondaPackage:
    """Return a noarch Python package with an entry point."""
    code = 'import sys\n\n\ndef main():\n    print("hello from", sys.prefix)\n'
    metadata = f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n"
    return CondaPackage(
        "greeting",
        version,
        "pyh0_0",
        noarch="python",
        depends=("python >=3.9",),
        entry_points=("greet = greeting:main",),
        purls=("pkg:pypi/greeting",),
        files={
            "site-packages/greeting/__init__.py": PackageFile(code.encode()),
            f"site-packages/greeting-{version}.dist-info/METADATA": PackageFile(metadata.encode()),
            f"site-packages/greeting-{version}.dist-info/INSTALLER": PackageFile(b"conda"),
            "Menu/greeting.json": PackageFile(b"{}"),
        },
    )


def sample_data() -> CondaPackage:
    """Return a package with a data file that does not mention the prefix."""
    return CondaPackage(
        "sample-data", noarch="generic", files={"share/sample-data/values.txt": PackageFile(b"1 2 3\n")}
    )


def flavour() -> CondaPackage:
    """Return a package with an activation script, and with the prefix in scripts, texts and a binary file."""
    script = f"#!{PLACEHOLDER}/bin/python{PYTHON}\nimport sys\nprint(sys.prefix)\n"
    shell = f"#!{PLACEHOLDER}/bin/sh-of-nobody -x\n"
    code = f'HOME = "{PLACEHOLDER}/share/flavour"\n'
    binary = b"\x7fBIN\0" + f"{PLACEHOLDER}/share/flavour/taste.txt".encode() + b"\0end\0"
    files = {
        "bin/flavour": PackageFile(script.encode(), 0o755),
        "bin/flavour-shell": PackageFile(shell.encode(), 0o755),
        "etc/conda/activate.d/flavour.sh": PackageFile(f'export FLAVOUR="{PLACEHOLDER}/share/flavour"\n'.encode()),
        "etc/conda/deactivate.d/flavour.sh": PackageFile(b"unset FLAVOUR\n"),
        "share/flavour/taste.txt": PackageFile(b"sweet\n"),
        "share/flavour/flavour.bin": PackageFile(binary, 0o755),
        f"lib/python{PYTHON}/site-packages/flavour.py": PackageFile(code.encode()),
    }
    return CondaPackage("flavour", "2.0", "h0_0", PLATFORM, depends=("sample-data >=1", "python"), files=files)


SMALL_PACKAGES = (lambda: greeting("1.0"), greeting, sample_data, flavour)
BZ2 = {"sample-data"}
"""Packages that are written in the older format."""
