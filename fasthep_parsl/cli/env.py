"""``env``: pack the environment of a workflow ahead of time, show what is in an archive, verify that it works."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.cli.setup_steps import SetupSteps
from fasthep_parsl.driver.archive_verification import ArchiveCheck, verify_environment
from fasthep_parsl.driver.packed_environments import (
    describe_archive,
    find_archive,
    pack_environment,
    packed_before,
    workflow_environment,
    write_pixi_layout,
)
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.packing.inventory import SHORT, kept_archives
from fasthep_parsl.packing.manifest import Manifest
from fasthep_parsl.packing.package_sizes import PackageSize
from fasthep_parsl.resources.units import format_memory

LARGEST = 12
"""Packages that are listed."""
WORKFLOW_SUFFIXES = {".yaml", ".yml"}


def pack(workflow: Path, site: str, overrides: Sequence[str], output: Path | None, *, layout: str, force: bool) -> None:
    """Pack the environment of a workflow, and print what is in it; or write it in the layout of pixi-pack.

    Raises
    ------
    ConfigError
        The workflow has mistakes or no environment to pack, or `output` cannot be written.
    SiteError
        It cannot be packed.
    """
    environment = workflow_environment(workflow, site, overrides)
    if layout == "pixi-pack":
        if output is None:
            raise ConfigError(
                Problem("E190", "`--layout pixi-pack` needs `--output`", hint="add `--output environment.tar`")
            )
        with SetupSteps(Screen(stderr=True)) as steps:
            size = write_pixi_layout(environment, output, force=force, progress=steps)
        print_line(Screen(), f"{output}: {format_memory(size)}, for `pixi-unpack`", "bold green")
        return
    with SetupSteps(Screen(stderr=True)) as steps:
        packed = pack_environment(environment, output=output, force=force, progress=steps)
    screen = Screen()
    manifest = packed.archive.manifest
    how = "packed before" if packed.reused else f"packed in {packed.seconds:.1f} s"
    print_line(screen, f"environment {manifest.hash[:SHORT]}: {how}", "bold green")
    _facts(screen, manifest, packed.path, packed.archive.size)
    _largest(screen, packed.sizes)


def show(target: str | None, site: str, overrides: Sequence[str]) -> None:
    """Print an archive, the environment of a workflow, or all archives of the store.

    Raises
    ------
    ConfigError
        There is no such archive, or the workflow has mistakes or no environment to pack.
    """
    screen = Screen()
    if target is None:
        _store(screen)
        return
    with SetupSteps(Screen(stderr=True)) as steps:
        if Path(target).suffix in WORKFLOW_SUFFIXES:
            path = packed_before(workflow_environment(Path(target), site, overrides), steps)
            if path is None:
                print_line(screen, "not packed yet, or changed since", "yellow")
                print_line(screen, f"To pack it, run:\n  fasthep-parsl env pack {target}{_site(site)}")
                return
        else:
            path = find_archive(target)
        found = describe_archive(path, steps)
    print_line(screen, f"environment {found.manifest.hash}", "bold")
    _facts(screen, found.manifest, found.path, found.size)
    _largest(screen, found.sizes)


def verify(target: str) -> int:
    """Verify an archive, print a line per check, return the exit code.

    Raises
    ------
    ConfigError
        There is no such archive.
    """
    path = find_archive(target)
    screen = Screen()
    print_line(screen, f"environment {path}", "bold")
    with SetupSteps(Screen(stderr=True)) as steps:
        fine = verify_environment(path, lambda check: _check(screen, check), steps)
    return 0 if fine else 1


def _facts(screen: Console, manifest: Manifest, path: Path, size: int) -> None:
    ratio = f" ({size / manifest.unpacked:.0%})" if manifest.unpacked else ""
    system = f"{manifest.platform}{f', glibc {manifest.glibc} or newer' if manifest.glibc else ''}"
    rows = {
        "archive": str(path),
        "kind": f"{manifest.kind} of {manifest.name}" if manifest.name else manifest.kind,
        "software": f"Python {manifest.python}, {len(manifest.packages)} packages",
        "nodes": system,
        "size": f"{format_memory(size)}{ratio}; unpacked {format_memory(manifest.unpacked)} in {manifest.files:,} files",
    }
    if manifest.built:
        rows["built"] = f"{', '.join(manifest.built)} (not installed from a wheel)"
    for name, value in rows.items():
        lines = textwrap.wrap(value, max(screen.width - 12, 30), break_on_hyphens=False, break_long_words=False)
        for head, line in zip([name, *[""] * len(lines)], lines, strict=False):
            print_line(screen, f"  {head:<10}{line}")


def _largest(screen: Console, sizes: Sequence[PackageSize]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("package", no_wrap=True)
    for column in ("version", "size", "files"):
        table.add_column(column, no_wrap=True, justify="left" if column == "version" else "right")
    for row in sizes[:LARGEST]:
        table.add_row(row.name, row.version, format_size(row.size), f"{row.files:,}")
    rest = sizes[LARGEST:]
    if rest:
        size, files = sum(row.size for row in rest), sum(row.files for row in rest)
        table.add_row(f"{len(rest)} more", "", format_size(size), f"{files:,}")
    screen.print()
    screen.print(table)


def format_size(size: int) -> str:
    """Return bytes for a column: with one digit after the point, always in MB."""
    return f"{size / 1e6:,.1f} MB"


def _store(screen: Console) -> None:
    kept = kept_archives()
    if not kept:
        print_line(screen, "no environment is packed")
        print_line(screen, "To pack that of a workflow, run:\n  fasthep-parsl env pack WORKFLOW --site SITE")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("hash", "python", "packed", "unpacked", "last used", "name"):
        right = column in {"packed", "unpacked"}
        table.add_column(column, no_wrap=column != "name", justify="right" if right else "left", overflow="fold")
    for item in kept:
        manifest = item.archive.manifest
        table.add_row(
            manifest.hash[:SHORT], manifest.python, format_size(item.archive.size), format_size(manifest.unpacked),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(item.used)), Text(f"{manifest.name} ({manifest.kind})"),
        )  # fmt: skip
    screen.print(table)
    total = sum(item.archive.size for item in kept)
    print_line(screen, f"\n{len(kept)} in {kept[0].path.parents[1]}: {format_memory(total)}")


def _check(screen: Console, check: ArchiveCheck) -> None:
    mark, colour = ("✓", "green") if check.ok else ("✗", "red")
    room = max(screen.width - 14, 30) if screen.is_terminal else 10_000
    lines = _wrapped(check.found, room)
    screen.print(Text.assemble((mark, colour), f" {check.what:<10}  {next(lines, '')}"), soft_wrap=True)
    for line in lines:
        print_line(screen, " " * 14 + line)


def _wrapped(text: str, room: int) -> Iterator[str]:
    return iter([part for line in text.splitlines() for part in textwrap.wrap(line, room, break_on_hyphens=False)])


def _site(site: str) -> str:
    return "" if site == "local" else f" --site {site}"
