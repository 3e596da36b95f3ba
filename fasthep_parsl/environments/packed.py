"""Base class of packed environments: an archive that each node unpacks once."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from fasthep_parsl.atomic import write_text
from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.interfaces import FILES, PREFIX, WorkerSetup
from fasthep_parsl.packing.compression import Format
from fasthep_parsl.packing.start_script import ARCHIVE, START, StartOptions, start_script
from fasthep_parsl.packing.store import StoredArchive
from fasthep_parsl.packing.writer import Report
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import Duration, Memory, wrong_value
from fasthep_parsl.setup_folder import SetupFolder


def _folder(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not isinstance(value, str) or "\n" in text or (text and text[0] not in "/$~"):
        raise wrong_value(f"expected a folder on the nodes, got {describe(value)}", "`/scratch/$USER`, or `$TMPDIR`")
    return text


class PackedEnvironment(EnvironmentModel, abc.ABC):
    """Base class of packed environments."""

    cache: Annotated[str, BeforeValidator(_folder)] = Field(
        "",
        description="folder on the nodes in which environments are unpacked, `/scratch/$USER`; if empty, the first that is "
        "usable of `$_CONDOR_SCRATCH_DIR`, `$SLURM_TMPDIR`, `$TMPDIR`, `/local/scratch`, `/tmp`",
    )
    cache_limit: Memory = Field(
        20_000_000_000,
        description="size of all environments in that folder, `20GB`, above which unused ones are removed [bytes]",
    )
    format: Format = Field("zst", description="compression: `zst`, or `gz` for nodes without `zstd`")
    unpack_timeout: Duration = Field(
        1200.0, description="longest time until the environment is unpacked on a node, `20m` [s]"
    )
    library_path: bool = Field(
        False, description="whether `LD_LIBRARY_PATH` of workers begins with the environment's `lib`"
    )

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""
        lines = (*self.setup_lines, f'. "{FILES}/{START}"')
        return WorkerSetup(lines, f"{PREFIX}/bin/python", files=(ARCHIVE, START))

    def prepare(self, folder: SetupFolder) -> Mapping[str, str] | None:
        """Pack the environment, or take it from the store; write the start script. Return its versions.

        Raises
        ------
        SiteError
            It cannot be packed.
        """
        packed = self.pack(folder.file(ARCHIVE), folder.report)
        options = StartOptions(
            cache=self.cache,
            format=self.format,
            timeout=self.unpack_timeout,
            limit=self.cache_limit,
            library_path=self.library_path,
        )
        write_text(folder.file(START), start_script(packed.manifest, packed.sha256, options))
        folder.report("")
        return packed.manifest.versions

    @abc.abstractmethod
    def pack(self, target: Path, report: Report) -> StoredArchive:
        """Put the archive at `target`: from the store if nothing has changed, else it is packed.

        Parameters
        ----------
        target : Path
            Where the archive is needed.
        report : callable
            Called with what is done, and how much of it.

        Raises
        ------
        SiteError
            It cannot be packed.
        """
