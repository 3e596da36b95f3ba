"""Packed environments outside of a run: pack one ahead of time, describe it, verify that it works."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.atomic import atomic
from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.compiler.worker_setups import combined_setup
from fasthep_parsl.driver.api import load
from fasthep_parsl.environments.packed import PackedEnvironment
from fasthep_parsl.errors import ConfigError, Problem, SiteError, suggest
from fasthep_parsl.packing.archive import read_manifest
from fasthep_parsl.packing.inventory import SHORT, KeptArchive, archives_of_hash, is_hash, kept_archives
from fasthep_parsl.packing.manifest import Manifest
from fasthep_parsl.packing.package_sizes import PackageSize, archive_sizes
from fasthep_parsl.packing.store import ARCHIVE_NAME, ENTRY_NAME, PACKING, StoredArchive
from fasthep_parsl.setup_folder import SetupProgress


@dataclass(frozen=True, slots=True)
class PackedArchive:
    """An archive that was packed, or taken from the store.

    Attributes
    ----------
    archive : StoredArchive
        What it contains.
    path : Path
        The file.
    reused : bool
        Whether it was packed before.
    seconds : float
        How long it took.
    sizes : tuple of PackageSize
        Its packages, the largest first.
    """

    archive: StoredArchive
    path: Path
    reused: bool
    seconds: float
    sizes: tuple[PackageSize, ...]


@dataclass(frozen=True, slots=True)
class DescribedArchive:
    """An archive that exists.

    Attributes
    ----------
    manifest : Manifest
        What it contains.
    path : Path
        The file.
    size : int
        Its size [bytes].
    sizes : tuple of PackageSize
        Its packages, the largest first.
    """

    manifest: Manifest
    path: Path
    size: int
    sizes: tuple[PackageSize, ...]


def no_progress(text: str, done: int, total: int) -> None:
    """Show nothing."""


def workflow_environment(workflow: Path, site: str, overrides: Sequence[str] = ()) -> PackedEnvironment:
    """Return the environment of a workflow at a site. Input files are not read.

    Raises
    ------
    ConfigError
        There are mistakes in the files, or the environment is not packed.
    """
    loaded = load(workflow, site, overrides)
    _, problems = combined_setup(loaded)
    if problems:
        raise ConfigError(*problems)
    chosen = loaded.workflow.execution.environment
    hint = "set `environment: packed-prefix` in `execution` of the workflow, or with `--set execution.environment=…`"
    if chosen is None:
        raise ConfigError(
            Problem("E190", f"{workflow} has no environment at site `{site}`: nothing is packed", hint=hint)
        )
    if chosen.kind not in registry.names("environments"):
        names = registry.names("environments")
        raise ConfigError(Problem("E110", f"unknown environment `{chosen.kind}`", hint=suggest(chosen.kind, names)))
    model = registry.load("environments", chosen.kind)
    located = getattr(model, "located", None)  # paths begin in the folder of the workflow
    made = model(**(located(chosen.params, loaded.path.absolute().parent) if located else chosen.params))
    if not isinstance(made, PackedEnvironment):
        message = f"environment `{chosen.kind}` has nothing to pack: its software is already on the nodes"
        raise ConfigError(Problem("E190", message, hint=hint))
    return made


def pack_environment(
    environment: PackedEnvironment,
    *,
    output: Path | None = None,
    force: bool = False,
    progress: SetupProgress = no_progress,
) -> PackedArchive:
    """Pack an environment into the store, where runs find it, unless it is there.

    Parameters
    ----------
    environment : PackedEnvironment
        The environment.
    output : Path, optional
        Another file for the archive.
    force : bool
        Whether to pack it again, and to replace `output`.
    progress : callable
        See `SetupFolder.report`.

    Raises
    ------
    ConfigError
        `output` exists, or cannot be written.
    SiteError
        The environment cannot be packed.
    """
    if output is not None:
        _check_output(output, force=force)
    before = {(kept.path, kept.archive.mtime_ns) for kept in kept_archives()}
    began = time.monotonic()
    kept = _into_store(environment, progress)
    reused = (kept.path, kept.archive.mtime_ns) in before
    if reused and force:
        kept.path.with_name(ENTRY_NAME).unlink()  # without it, the archive does not count
        kept, reused = _into_store(environment, progress), False
    seconds = time.monotonic() - began
    if output is not None:
        with atomic(output) as draft:
            shutil.copyfile(kept.path, draft)
    sizes = tuple(archive_sizes(kept.path, progress))
    progress("", 0, 0)
    return PackedArchive(kept.archive, output or kept.path, reused, seconds, sizes)


def write_pixi_layout(
    environment: PackedEnvironment, output: Path, *, force: bool = False, progress: SetupProgress = no_progress
) -> int:
    """Write an environment of a pixi project in the layout of pixi-pack; return the size of the file [bytes].

    Raises
    ------
    ConfigError
        It is no environment of a project, or `output` exists or cannot be written.
    SiteError
        A package cannot be fetched or built.
    """
    from fasthep_parsl.environments.packed_pixi import PackedPixi
    from fasthep_parsl.packing.pixi.provision import write_pixi_pack

    if not isinstance(environment, PackedPixi) or not environment.manifest:
        message = "layout `pixi-pack` needs a pixi project"
        raise ConfigError(Problem("E190", message, hint="set `environment: {kind: packed-pixi, manifest: pixi.toml}`"))
    _check_output(output, force=force)
    with atomic(output) as draft:
        write_pixi_pack(
            Path(environment.manifest),
            environment.environment,
            draft,
            platform=environment.platform,
            tool=environment.tool,
            report=progress,
        )
    progress("", 0, 0)
    return output.stat().st_size


def _check_output(output: Path, *, force: bool) -> None:
    if output.is_dir():
        raise ConfigError(Problem("E190", f"`{output}` is a folder", hint="name a file, such as `environment.tar.zst`"))
    if output.exists() and not force:
        raise ConfigError(Problem("E190", f"`{output}` exists", hint="name another file, or replace it with --force"))
    if not output.absolute().parent.is_dir():
        raise ConfigError(
            Problem("E190", f"there is no folder `{output.parent}`", hint="make it, or name another file")
        )


def _into_store(environment: PackedEnvironment, progress: SetupProgress) -> KeptArchive:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=cache) as folder:  # same disk: a hard link
        stored = environment.pack(Path(folder, ARCHIVE_NAME), progress)
    for kept in kept_archives():
        if kept.archive.sha256 == stored.sha256:
            return kept
    raise SiteError(f"packing: the archive has disappeared from `{cache}`; another process has removed it")


class _NotPackedError(Exception):
    """An environment would be packed now."""


def packed_before(environment: PackedEnvironment, progress: SetupProgress = no_progress) -> Path | None:
    """Return the archive of an environment in the store; None if it is not there. Nothing is packed.

    Raises
    ------
    SiteError
        The environment does not exist.
    """

    def watch(text: str, done: int, total: int) -> None:
        if text == PACKING:
            raise _NotPackedError
        progress(text, done, total)

    try:
        return _into_store(environment, watch).path
    except _NotPackedError:
        return None
    finally:
        progress("", 0, 0)


def find_archive(target: str) -> Path:
    """Return the archive that a user names: a file, or the beginning of an environment hash.

    Raises
    ------
    ConfigError
        There is none, or several environments have hashes that begin like this.
    """
    path = Path(target)
    if path.is_file():
        return path
    known = [kept.archive.manifest.hash[:SHORT] for kept in kept_archives()]
    if not is_hash(target):
        message = f"`{target}` is neither a file nor an environment hash"
        raise ConfigError(
            Problem("E190", message, hint=suggest(target, known, what="hashes in the store"), name=target)
        )
    found = {kept.archive.manifest.hash: kept.path for kept in archives_of_hash(target)}
    if not found:
        message = f"the store has no environment with the hash `{target}`"
        raise ConfigError(
            Problem("E190", message, hint=suggest(target, known, what="hashes in the store"), name=target)
        )
    if len(found) > 1:
        hint = suggest(target, [key[:SHORT] for key in found], what="they begin with it")
        raise ConfigError(Problem("E190", f"`{target}` is not the beginning of one hash", hint=hint, name=target))
    return next(iter(found.values()))


def describe_archive(path: Path, progress: SetupProgress = no_progress) -> DescribedArchive:
    """Return what an archive contains. All of it is read.

    Raises
    ------
    ConfigError
        It is no archive, or is damaged.
    """
    try:
        manifest = read_manifest(path)
        sizes = tuple(archive_sizes(path, progress))
    except SiteError as error:
        raise ConfigError(Problem("E190", str(error), hint="pack it with `fasthep-parsl env pack`")) from None
    progress("", 0, 0)
    return DescribedArchive(manifest, path, path.stat().st_size, sizes)
