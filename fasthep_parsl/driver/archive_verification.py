"""Verify an archive as a node would use it: its content, its start, its Python, and its versions against the driver's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fasthep_parsl.analysis_code.handshake import PARQUET, ExpectedSoftware, known_differences
from fasthep_parsl.analysis_code.software import software
from fasthep_parsl.driver.packed_environments import no_progress
from fasthep_parsl.errors import ConfigError, Problem, SiteError
from fasthep_parsl.packing.archive import read_manifest, verify_archive
from fasthep_parsl.packing.compression import Format
from fasthep_parsl.packing.manifest import Manifest
from fasthep_parsl.packing.start_script import ARCHIVE, START, StartOptions, start_script
from fasthep_parsl.setup_folder import FILES_VARIABLE, SetupProgress

UNPACK_LIMIT = 1200.0
"""Seconds until an archive must be unpacked."""
GZIP_START = b"\x1f\x8b"
PREFIX_VARIABLE = "FASTHEP_PARSL_PREFIX"


@dataclass(frozen=True, slots=True)
class ArchiveCheck:
    """A check of an archive.

    Attributes
    ----------
    what : str
        What was checked.
    ok : bool
        Whether it succeeded.
    found : str
        What was found.
    """

    what: str
    ok: bool
    found: str


def verify_environment(
    path: Path, report: Callable[[ArchiveCheck], object], progress: SetupProgress = no_progress
) -> bool:
    """Verify an archive: unpack it into a temporary folder, start its Python, compare its versions with the driver's.

    Parameters
    ----------
    path : Path
        The archive.
    report : callable
        Called with each check. The first that fails is the last.
    progress : callable
        See `SetupFolder.report`.

    Returns
    -------
    bool
        Whether all checks succeeded.

    Raises
    ------
    ConfigError
        It is no archive.
    """
    try:
        manifest = read_manifest(path)
    except SiteError as error:
        raise ConfigError(Problem("E190", str(error), hint="pack it with `fasthep-parsl env pack`")) from None
    try:
        for check in _checks(path, manifest, progress):
            progress("", 0, 0)
            report(check)
            if not check.ok:
                return False
        return True
    finally:
        progress("", 0, 0)


def _checks(path: Path, manifest: Manifest, progress: SetupProgress) -> Iterator[ArchiveCheck]:
    progress("checking the content", 0, 0)
    yield _content(path, manifest)
    with tempfile.TemporaryDirectory(prefix="fasthep-parsl-verify-") as folder:
        progress("unpacking the environment", 0, 0)
        yield _start(path, manifest, Path(folder))
    yield _same_software(manifest)


def _content(path: Path, manifest: Manifest) -> ArchiveCheck:
    try:
        verify_archive(path)
    except SiteError as error:
        return ArchiveCheck("content", ok=False, found=str(error))
    return ArchiveCheck("content", ok=True, found=f"{manifest.files:,} files have the environment hash")


def _start(path: Path, manifest: Manifest, folder: Path) -> ArchiveCheck:
    """Run the start script of nodes. It unpacks, checks Python and its packages, and imports Parsl."""
    with path.open("rb") as file:
        form: Format = "gz" if file.read(2) == GZIP_START else "zst"
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    options = StartOptions(cache=str(folder / "node"), format=form, timeout=UNPACK_LIMIT)
    (folder / START).write_text(start_script(manifest, sha256, options))
    (folder / ARCHIVE).symlink_to(path.resolve())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", f'. "${FILES_VARIABLE}/{START}" || exit 1; "${PREFIX_VARIABLE}/bin/python" -V'],
        env={**environment, FILES_VARIABLE: str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line.removeprefix("fasthep-parsl: ") for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        return ArchiveCheck("start", ok=False, found="\n".join(said) or f"ended with code {done.returncode}")
    seconds = time.monotonic() - began
    return ArchiveCheck("start", ok=True, found=f"{done.stdout.strip()} starts in another folder ({seconds:.1f} s)")


def _same_software(manifest: Manifest) -> ArchiveCheck:
    """Compare with this process. A run would compare with the plan, which has the packages of the analysis code too."""
    wanted = software((), ())
    with suppress(PackageNotFoundError):
        wanted["parsl"] = version("parsl")
    expected = ExpectedSoftware(wanted, optional=(PARQUET,))
    found = known_differences(expected, manifest.versions)
    if found:
        return ArchiveCheck("software", ok=False, found="other versions than here: " + ", ".join(map(str, found)))
    names = sorted(name for name in wanted if name in manifest.packages)
    return ArchiveCheck("software", ok=True, found=f"as here: {', '.join(('Python', *names))}")
