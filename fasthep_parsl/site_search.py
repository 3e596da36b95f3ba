"""The search path of site profiles. Light: completion in a shell imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PATH_VARIABLE = "FASTHEP_PARSL_SITE_PATH"
BASE = "_"
"""Prefix of bases: profiles that others extend."""


def search_path() -> list[tuple[Path, str]]:
    """Return (folder, kind of layer) in search order.

    ``./site_profiles``, the folders in ``FASTHEP_PARSL_SITE_PATH``, the user's ``fasthep-parsl/sites`` below
    ``~/.config``, then the package's own.
    """
    profile, user = "site profile", "user site file"
    folders = [(Path("site_profiles"), profile)]
    folders += [(Path(item).expanduser(), profile) for item in os.environ.get(PATH_VARIABLE, "").split(os.pathsep)
                if item]  # fmt: skip
    folders.append((user_folder(), user))
    package = Path(__file__).parent
    # a wheel contains the profiles, an editable install has them next to the package
    folders += [(package / "site_profiles", profile), (package.parent / "site_profiles", profile)]
    return folders


def user_folder() -> Path:
    """Return the folder of the user's own site files. It may not exist."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "fasthep-parsl" / "sites"


def find_files(name: str) -> Iterator[tuple[Path, str]]:
    """Yield (file, kind of layer) for every profile with this name, in search order."""
    for folder, kind in search_path():
        for suffix in (".yaml", ".yml"):
            path = folder / f"{name}{suffix}"
            if path.is_file():
                yield path, kind


def list_sites(*, bases: bool = False) -> dict[str, Path]:
    """Return name → file of all sites, sorted by name. Reads no file.

    Parameters
    ----------
    bases : bool
        Whether to return the bases (``_slurm``) instead. Runs cannot use them.
    """
    found: dict[str, Path] = {}
    for folder, _ in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in {".yaml", ".yml"} and not path.name.startswith("."):
                    found.setdefault(path.stem, path)
    return {name: path for name, path in sorted(found.items()) if name.startswith(BASE) == bases}
