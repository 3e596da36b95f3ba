"""``examples``: list the example workflows, or copy them to where they can be run and edited."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from rich.text import Text

import fasthep_parsl
from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.errors import ConfigError, Problem

FOLDER = "configs"
"""Folder of the examples. Their paths of data begin with ``../demo``."""


def list_examples() -> None:
    """Print the examples with what each shows."""
    screen = Screen()
    found = _examples()
    width = max(map(len, found))
    for name, path in found.items():
        about = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        screen.print(Text.assemble((f"{name:{width}}", "bold"), f"  {about}"), soft_wrap=True, highlight=False)
    print_line(screen, "\nto copy them: fasthep-parsl examples FOLDER", "cyan")


def copy_examples(folder: Path) -> None:
    """Copy all examples to ``configs`` in a folder, and print how to run the first one.

    Raises
    ------
    ConfigError
        The folder belongs to the installation, has such files, or cannot be written.
    """
    target = folder.expanduser() / FOLDER
    _check(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(_source().iterdir()):
            if path.suffix in (".yaml", ".py"):
                shutil.copyfile(path, target / path.name)
    except OSError as error:
        raise _refused(f"{target} cannot be written: {error.strerror}") from None
    screen = Screen()
    print_line(screen, f"{len(_examples())} examples in {target}. Next, for example:")
    place = "" if folder == Path() else f"cd {folder}"
    steps = ("fasthep-parsl demo-data demo/data", "fasthep-parsl run configs/dimuon.yaml")
    for line in (place, *steps):
        if line:
            print_line(screen, f"  {line}", "cyan")


def _check(target: Path) -> None:
    real = target.resolve()
    owned = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    if any(real.is_relative_to(path) for path in owned):
        raise _refused(f"{target} is part of the Python installation")
    taken = [path for path in (target.parent, target) if path.exists() and not path.is_dir()]
    if taken:
        raise _refused(f"{taken[0]} is a file, not a folder")
    if target.is_dir() and any(target.iterdir()):
        raise _refused(f"{target} has files already: nothing was copied")


def _refused(message: str) -> ConfigError:
    return ConfigError(Problem("E168", message, hint="name a new folder"))


def _source() -> Path:
    # a wheel contains the examples, an editable install has them next to the package
    package = Path(fasthep_parsl.__file__).parent
    return next(path for path in (package / FOLDER, package.parent / FOLDER) if path.is_dir())


def _examples() -> dict[str, Path]:
    return {path.stem: path for path in sorted(_source().glob("*.yaml"))}
