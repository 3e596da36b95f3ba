"""Verify an unpacked environment on a node, and write how to activate it. Its own Python runs this text.

::

    bin/python -I -c "<this text>" <folder>

It uses the standard library alone. The archive is as it was packed: its checksum says so. `relocate` has loaded the modules
and shared libraries that depend on the system of the node. What remains to verify: Python uses this folder and no other
one, and finds Parsl and the versions of the manifest there. The workers import Parsl a moment later, which takes longer
than everything else here.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ABOUT = ".fasthep-parsl"
"""Folder of the environment with the files about it."""
NEEDED = ("parsl", "fasthep_parsl")
"""Packages that all workers import."""
SHOWN = 3
"""Wrong distributions that a message names."""


class VerificationError(Exception):
    """The environment does not work on this node."""


def verify(root: Path) -> Mapping[str, Any]:
    """Check the running Python against the manifest of the environment in `root`; return the manifest.

    Raises
    ------
    VerificationError
        It is another Python, or it finds other packages.
    """
    manifest: dict[str, Any] = json.loads((root / ABOUT / "manifest.json").read_text(encoding="utf-8"))
    for prefix in (sys.prefix, sys.base_prefix):
        if not Path(prefix).samefile(root):
            raise VerificationError(f"its Python uses the installation in `{prefix}`")
    if platform.python_version() != manifest["python"]:
        raise VerificationError(f"its Python is {platform.python_version()}, {manifest['python']} was packed")
    folder = root.resolve()
    for path in sys.path:
        if not Path(path).resolve().is_relative_to(folder):
            raise VerificationError(f"its Python imports modules from `{path}`, which is not part of it")
    wrong = wrong_versions(manifest["packages"])
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise VerificationError("; ".join(wrong[:SHOWN]) + more)
    for name in NEEDED:
        if name.replace("_", "-") in manifest["packages"] and find_spec(name) is None:
            raise VerificationError(f"its Python finds no package `{name}`")
    return manifest


def wrong_versions(packed: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the distributions that the running Python finds."""
    found = {_normalised(one.metadata["Name"]): one.version for one in reversed(list(distributions()))}
    return [
        f"{name} is {found.get(name, 'missing')}, {version} was packed"
        for name, version in sorted(packed.items())
        if found.get(name) != version
    ]


def activation(root: Path, name: str) -> list[str]:
    """Return bash lines that activate the environment, beyond `PATH`: what conda does, if it is conda's."""
    if not (root / "conda-meta").is_dir():
        return []
    lines = [
        'export CONDA_PREFIX="$FASTHEP_PARSL_PREFIX" CONDA_SHLVL=1',
        f"export CONDA_DEFAULT_ENV={shlex.quote(name)}",
    ]
    for path in sorted((root / "etc" / "conda" / "env_vars.d").glob("*.json")):
        lines += _exports(_read(path))
    lines += _exports(_read(root / "conda-meta" / "state").get("env_vars", {}))
    for path in sorted((root / "etc" / "conda" / "activate.d").glob("*.sh")):
        lines.append(f'. "$FASTHEP_PARSL_PREFIX/etc/conda/activate.d/"{shlex.quote(path.name)}')
    return lines


def _normalised(name: str) -> str:
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _exports(variables: Mapping[str, object]) -> list[str]:
    return [f"export {name}={shlex.quote(str(value))}" for name, value in variables.items() if name.isidentifier()]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # conda ignores such files, too
        return {}
    return content if isinstance(content, dict) else {}


def main(arguments: Sequence[str]) -> int:
    """Verify the environment in a folder; write ``.fasthep-parsl/activate.sh``."""
    root = Path(arguments[0])
    try:
        lines = activation(root, verify(root)["name"])
        (root / ABOUT / "activate.sh").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except (VerificationError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
