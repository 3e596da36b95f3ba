"""An environment with what a run needs and nothing else: hard links to the packages of the Python that runs the tests.

It is a virtual environment in the test cache, made once per set of versions. Our own package is a copy, not a link to the
checkout, as a user has it; other content of it makes another environment.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fasthep_parsl"
OURS = "fasthep-parsl"
DATA_FOLDERS = ("site_profiles", "configs")
"""Folders that the wheel of our package contains besides its code."""
KEPT = 4
"""Environments that stay in the cache: other checkouts use some."""


def cache():
    """Return the folder in which tests keep what takes long to make."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "fasthep-parsl-tests"


def needed(name=OURS, extras=()):
    """Return the distributions that an installation of `name` needs, by their normalised names."""
    found, todo = {}, [(name, tuple(extras))]
    while todo:
        wanted, chosen = todo.pop()
        known = wanted in found
        found[wanted] = one = found.get(wanted) or distribution(wanted)
        for text in one.requires or () if not known or chosen else ():
            requirement = Requirement(text)
            markers = [{"extra": extra} for extra in chosen or ("",)]
            if requirement.marker is None or any(requirement.marker.evaluate(marker) for marker in markers):
                other = re.sub(r"[-_.]+", "-", requirement.name).lower()
                if other not in found or requirement.extras:
                    todo.append((other, tuple(sorted(requirement.extras))))
    return found


def lean_environment(extras=()):
    """Return the prefix of the environment; it is made if it is not there."""
    distributions = needed(extras=extras)
    key = hashlib.sha256(f"{sys.version} {sys.base_prefix} {our_content()}".encode())
    for name, one in sorted(distributions.items()):
        key.update(f"{name} {one.version}\n".encode())
    prefix = cache() / f"lean-{key.hexdigest()[:16]}"
    if not prefix.is_dir():
        draft = prefix.with_name(f".{prefix.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        venv.create(draft, symlinks=True)
        for script in (draft / "bin").iterdir():  # they name the draft
            if not script.is_symlink():
                script.unlink()
        for name, one in distributions.items():
            (copy_ours if name == OURS else link)(one, site_packages(draft))
        try:
            draft.rename(prefix)
        except OSError:  # another test session was faster
            shutil.rmtree(draft)
    os.utime(prefix)
    for old in sorted(cache().glob("lean-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return prefix


def our_content():
    """Return a hash of our package."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, *(ROOT / name for name in DATA_FOLDERS)):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def site_packages(prefix):
    return prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def link(one, target):
    """Link the files of an installed distribution into a folder; its scripts stay where they are."""
    for file in one.files or ():
        source = Path(one.locate_file(file))
        if ".." in file.parts or not source.is_file():
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, place)
        except FileExistsError:  # packages share folders
            continue
        except OSError:  # another disk
            shutil.copy2(source, place)


def copy_ours(one: Distribution, target):
    """Copy our package as it is now, with its times, and with its folders of data."""
    place = target / PACKAGE.name
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, place, ignore=ignored)
    for folder in DATA_FOLDERS:
        if not (place / folder).exists():
            shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    info = target / f"fasthep_parsl-{one.version}.dist-info"
    info.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (info / name).write_text(one.read_text(name))
    files = [path.relative_to(target) for path in (*place.rglob("*"), *info.iterdir()) if path.is_file()]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in [*sorted(files), f"{info.name}/RECORD"]))
