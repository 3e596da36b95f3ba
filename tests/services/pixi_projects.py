"""Pixi projects on a channel in a folder: their manifests and lock files, written with py-rattler."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import Distribution, distribution
from pathlib import Path

import rattler
import yaml
from packaging.requirements import Requirement

from packing_parts import answering_prefix
from services.conda_channel import (
    PLATFORM,
    PYTHON,
    SMALL_PACKAGES,
    greeting,
    kept_channel,
    python_package,
    small_channel,
)
from services.conda_packages import PLACEHOLDER, CondaPackage, PackageFile, write_package, write_repodata

CHECKOUT = Path(__file__).parents[2]
AS_WHEELS = {"hist", "uhi", "rich", "typer"}
"""Distributions of `complete_project` that are wheels of its lock file; the others are conda packages."""
_TIME = (2020, 1, 1, 0, 0, 0)


def write_project(
    folder: Path,
    channel: Path,
    dependencies: Mapping[str, str],
    pypi: Sequence[Mapping[str, object]] = (),
    *,
    lock_version: int = 7,
    platform: str = PLATFORM,
) -> Path:
    """Write `pixi.toml` and `pixi.lock` into a folder and return the path of the manifest.

    Parameters
    ----------
    folder : Path
        The folder of the project.
    channel : Path
        The channel.
    dependencies : mapping
        Conda packages: name → version.
    pypi : sequence of mapping
        Packages from wheels or folders: the entries of the lock file (`pypi` is the location), and `spec`, what the manifest
        says.
    lock_version : int
        Version of the lock file, 6 or 7.
    platform : str
        Platform of the project; this machine's by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "pixi.toml"
    lines = ["[workspace]", f'channels = ["{channel.as_uri()}"]', f"platforms = {json.dumps([platform])}"]
    lines += ["", "[dependencies]", *(f'{name} = "{version}"' for name, version in dependencies.items())]
    if pypi:
        lines += [
            "",
            "[pypi-dependencies]",
            *(f"{entry['name']} = {entry['spec']}" for entry in pypi if "spec" in entry),
        ]
    manifest.write_text("\n".join(lines) + "\n")
    records = solved(channel, [f"{name} {version}" for name, version in dependencies.items()], platform)
    _write_lock(folder / "pixi.lock", channel, records, pypi, lock_version, platform)
    return manifest


def solved(channel: Path, specs: Iterable[str], platform: str = PLATFORM) -> list[rattler.RepoDataRecord]:
    """Return the packages that meet `specs`."""
    channels, platforms = [rattler.Channel(channel.as_uri())], [platform, "noarch"]
    return asyncio.run(rattler.solve(channels, list(specs), platforms=platforms))


def _write_lock(
    path: Path, channel: Path, records: list, pypi: Sequence[Mapping[str, object]], version: int, subdir: str
) -> None:
    platform = rattler.LockPlatform(subdir)
    lock = rattler.LockFile([platform])
    lock.set_channels("default", [rattler.LockChannel(channel.as_uri())])
    for record in records:
        lock.add_conda_package("default", platform, record)
    lock.to_path(path)
    content = yaml.safe_load(path.read_text())
    entries = [{key: value for key, value in entry.items() if key != "spec"} for entry in pypi]
    content["environments"]["default"]["packages"][subdir] += [{"pypi": entry["pypi"]} for entry in entries]
    content["packages"] += entries
    if version == 6:
        content["version"] = 6
        del content["platforms"]
        for item in content["packages"]:  # version 6 names the version of folders, too
            item.setdefault("version", "0.1.0") if "pypi" in item else None
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def small_project(folder: Path, *, channel: Path | None = None, **options: object) -> Path:
    """Write a project with Python, a noarch package, one with an activation script, and a wheel; return its manifest."""
    wheel = write_wheel(
        folder / "wheels", "tiny-tool", "0.3", {"tiny_tool.py": "def main():\n    print('tiny')\n"}, "tiny"
    )
    entry = {**wheel_entry(wheel, f"./wheels/{wheel.name}"), "spec": '{ path = "./wheels/' + wheel.name + '" }'}
    dependencies = {"python": f"{PYTHON}.*", "greeting": ">=1.1", "flavour": "*"}
    return write_project(folder, channel or small_channel(), dependencies, [entry], **options)


def quick_project(folder: Path) -> Path:
    """Write the project of `small_project` with a program that stands in for Python: it is packed in no time."""
    return small_project(folder, channel=quick_channel())


def foreign_project(folder: Path) -> Path:
    """Write a project for `linux-aarch64`, in a channel of its own; return its manifest."""
    channel, platform = folder / "channel", "linux-aarch64"
    for package in (replace(_stand_in(), subdir=platform), greeting()):
        write_package(package, channel)
    write_repodata(channel, ("noarch", platform))
    return write_project(folder, channel, {"python": f"{PYTHON}.*", "greeting": "*"}, platform=platform)


def quick_channel() -> Path:
    """Return the channel of `quick_project`."""
    return kept_channel("stand-in", [_stand_in, *SMALL_PACKAGES])


def _stand_in() -> CondaPackage:
    """Return a package `python` whose program says what a Python says of itself, and does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = answering_prefix(Path(folder).resolve() / "prefix")
        files = {}
        for path in sorted(prefix.rglob("*")):
            if path.is_file() and "site-packages" not in path.parts:
                file = PackageFile.of(path)
                content = file.content.replace(str(prefix).encode(), PLACEHOLDER.encode())
                files[str(path.relative_to(prefix))] = replace(file, content=content)
    return CondaPackage("python", f"{PYTHON}.9", "0_stand_in", PLATFORM, files=files)


def complete_project(folder: Path) -> Path:
    """Write a project from which fasthep-parsl runs, made of the installed packages; return its manifest.

    fasthep-parsl itself is this checkout, editable. Its dependencies are conda packages, and some are wheels. All were
    repackaged from the environment of the tests: there is nothing to download.
    """
    found = [item for item in closure("fasthep-parsl") if item.name.lower() != "fasthep-parsl"]
    conda = [item for item in found if _name(item) not in AS_WHEELS]
    key = " ".join(sorted(f"{_name(item)}={item.version}" for item in conda))
    channel = kept_channel("complete", [python_package, *((lambda item=item: repackaged(item)) for item in conda)], key)
    entries = []
    for item in found:
        if _name(item) in AS_WHEELS:
            wheel = rewheeled(item, folder / "wheels")
            entries.append(wheel_entry(wheel, f"./wheels/{wheel.name}", item.requires or []))
    entries.append(
        {
            "pypi": str(CHECKOUT),
            "name": "fasthep-parsl",
            "version": distribution("fasthep-parsl").version,
            "requires_dist": [text for text in distribution("fasthep-parsl").requires or [] if "extra" not in text],
            "spec": f'{{ path = "{CHECKOUT}", editable = true }}',
        }
    )
    dependencies = {"python": f"{PYTHON}.*", **{_name(item): f"=={item.version}" for item in conda}}
    return write_project(folder, channel, dependencies, entries)


def closure(name: str) -> list[Distribution]:
    """Return an installed distribution and all that it needs, without extras."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        item = distribution(waiting.pop())
        if _name(item) in found:
            continue
        found[_name(item)] = item
        for text in item.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return [found[key] for key in sorted(found)]


def repackaged(item: Distribution) -> CondaPackage:
    """Return an installed distribution as a conda package; pure Python is noarch."""
    pure = "py3-none-any" in (item.read_text("WHEEL") or "")
    below = "site-packages" if pure else f"lib/python{PYTHON}/site-packages"
    files = {f"{below}/{name}": PackageFile.of(path) for name, path in _files(item, compiled=not pure)}
    points = tuple(f"{point.name} = {point.value}" for point in item.entry_points if point.group == "console_scripts")
    noarch, subdir = ("python", "noarch") if pure else ("", PLATFORM)
    depends = (f"python {PYTHON}.*",)
    purls = (f"pkg:pypi/{_name(item)}",)
    return CondaPackage(
        _name(item),
        item.version,
        "pyh_0" if pure else "py_0",
        subdir,
        noarch,
        depends,
        points if pure else (),
        files,
        purls,
    )


def rewheeled(item: Distribution, folder: Path) -> Path:
    """Return a wheel of an installed distribution of pure Python."""
    content = {name: path.read_bytes() for name, path in _files(item) if not name.endswith(("/RECORD", "/INSTALLER"))}
    return _zip_wheel(folder / f"{_name(item).replace('-', '_')}-{item.version}-py3-none-any.whl", content)


def write_wheel(folder: Path, name: str, version: str, modules: Mapping[str, str], script: str = "") -> Path:
    """Write a small wheel with modules, and a console script that calls `main` of the first."""
    stem = f"{name.replace('-', '_')}-{version}"
    content = {path: text.encode() for path, text in modules.items()}
    content[f"{stem}.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    content[f"{stem}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if script:
        module = next(iter(modules)).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        content[f"{stem}.dist-info/entry_points.txt"] = f"[console_scripts]\n{script} = {module}:main\n".encode()
    return _zip_wheel(folder / f"{stem}-py3-none-any.whl", content)


def wheel_entry(wheel: Path, location: str, requires: Iterable[str] = ()) -> dict[str, object]:
    """Return the entry of a lock file for a wheel."""
    name, version, *_ = wheel.name.split("-")
    entry = {
        "pypi": location,
        "name": name.replace("_", "-"),
        "version": version,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    plain = [text for text in requires if "extra" not in text]
    return {**entry, "requires_dist": plain} if plain else entry


def _zip_wheel(wheel: Path, content: Mapping[str, bytes]) -> Path:
    wheel.parent.mkdir(parents=True, exist_ok=True)
    record = next(name for name in content if name.endswith(".dist-info/METADATA")).replace("METADATA", "RECORD")
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in {**content, record: "\n".join([*lines, f"{record},,"]).encode()}.items():
            file.writestr(zipfile.ZipInfo(name, _TIME), data)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _files(item: Distribution, compiled: bool = False) -> list[tuple[str, Path]]:
    found = [(str(path), Path(path.locate())) for path in item.files or []]
    found = [(name, path) for name, path in found if not name.startswith("..") and path.is_file()]
    return [(name, path) for name, path in found if compiled or not name.endswith(".pyc")]


def _name(item: Distribution) -> str:
    return item.name.lower().replace("_", "-").replace(".", "-")
