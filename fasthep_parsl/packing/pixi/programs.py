"""The programs ``pixi`` and ``pixi-pack``, where the user has them.

Their options are those of ``docs/reference/cli/pixi/list.md`` in github.com/prefix-dev/pixi and of ``src/bin/pixi-pack.rs``
in github.com/Quantco/pixi-pack.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.pixi.mistakes import project_error
from fasthep_parsl.packing.pixi.project import PixiProject

_TIMEOUT = 3600


def find_program(name: str) -> str:
    """Return the path of ``pixi`` or ``pixi-pack``; empty if it is not in `PATH`."""
    return shutil.which(name) or ""


def program_version(program: str) -> str:
    """Return what a program says of itself, such as ``pixi-pack 0.7.2``."""
    done = _run([program, "--version"])
    return (done.stdout.strip().splitlines() or [Path(program).name])[0]


def check_with_pixi(program: str, project: PixiProject, environment: str, platform: str) -> None:
    """Let pixi check that the lock file fits the manifest. Nothing is installed or written.

    Raises
    ------
    ConfigError
        It does not.
    """
    options = ["--locked", "--no-install", "--environment", environment, "--platform", platform]
    done = _run([program, "list", *options, "--manifest-path", str(project.manifest)])
    if done.returncode != 0:
        message = f"pixi refuses `{project.lock}` for `{project.manifest.name}`: {_last_words(done)}"
        raise project_error(message, f"run `pixi lock` in `{project.folder}`")


def pack_with_pixi_pack(program: str, project: PixiProject, environment: str, platform: str, target: Path) -> None:
    """Let pixi-pack fetch the packages of an environment, but for those that are no wheels.

    Parameters
    ----------
    program : str
        The program.
    project : PixiProject
        The project.
    environment, platform : str
        What to pack.
    target : Path
        The pack that it writes.

    Raises
    ------
    SiteError
        It fails.
    """
    options = ["--environment", environment, "--platform", platform, "--output-file", str(target)]
    done = _run([program, *options, "--ignore-pypi-non-wheel", str(project.manifest)])
    if done.returncode != 0 or not target.is_file():
        raise SiteError(
            f"environment `packed-pixi`: pixi-pack cannot pack `{environment}` of `{project.manifest}`: {_last_words(done)}; "
            "with `tool: py-rattler`, this package fetches the packages itself"
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - the user's programs
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SiteError(f"environment `packed-pixi`: `{command[0]}` does not run: {error}") from None


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a program says, in one line."""
    lines = [line.strip(" ×│╰─▶→\t") for line in (done.stderr or done.stdout).splitlines()]
    return ": ".join([line for line in lines if line][-3:]) or f"exit code {done.returncode}"
