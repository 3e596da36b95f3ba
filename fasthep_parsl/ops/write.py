"""``hep.write``: write events to Parquet or ROOT files, one per partition, and a manifest of all files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Context, Effects, OpProblem, ParamPath, Schema
from fasthep_parsl.ops.collections.collection import Params, matches, owner_of, structure_of
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.file_formats import prepare_column, write_parquet, write_root
from fasthep_parsl.ops.skims import SkimmedDataset
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.targets import SUFFIXES, OutputTarget, template_problems
from fasthep_parsl.room import writing_to

Compression = Literal["zstd", "lz4", "zlib", "lzma", "snappy", "gzip", "none"]
COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "parquet": ("zstd", "lz4", "snappy", "gzip", "none"),
    "root": ("zstd", "lz4", "zlib", "lzma", "none"),
}


@dataclass(frozen=True, slots=True, order=True)
class WrittenFile:
    """An output file.

    Attributes
    ----------
    path : str
        Relative to ``results/<StageId>`` of the run directory, or absolute if the workflow gives a `path`.
    dataset : str
        Dataset of the events.
    events : int
        Number of events; can be 0.
    bytes : int
        Size of the file.
    sha256 : str
        SHA-256 checksum of the content, hexadecimal.
    """

    path: str
    dataset: str
    events: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """All output files of a stage, sorted by path.

    Attributes
    ----------
    format : str
        ``parquet`` or ``root``.
    files : tuple of WrittenFile
        The files.
    skims : tuple of SkimmedDataset
        Events and sums of weights that were read to write them, added at the end of a run.
    limit : int or None
        Events of each dataset that were skimmed, the first ones; None: all. Added at the end of a run.
    """

    format: str
    files: tuple[WrittenFile, ...] = ()
    skims: tuple[SkimmedDataset, ...] = ()
    limit: int | None = None


def merge_written_files(a: WrittenFiles, b: WrittenFiles) -> WrittenFiles:
    """Return the files of both, sorted by path, without duplicates."""
    return WrittenFiles(a.format, tuple(sorted({*a.files, *b.files})))


class Write(Params):
    """Parameters of ``hep.write``."""

    format: Literal["parquet", "root"]
    fields: list[str] | None = Field(default=None, description="fields, or patterns such as `Muon_*`; default: all")
    path: str | None = Field(
        default=None,
        min_length=1,
        description="folder, relative to the workflow file; may contain {dataset} and {stage}; "
        "default: results/<StageId> in the run directory",
    )
    name: str = Field(
        default="{partition}", description="file name without suffix; may contain {partition}, {dataset} and {stage}"
    )
    tree: str = Field(default="Events", min_length=1, description="name of the tree in ROOT files")
    compression: Compression = "zstd"


def _matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names that match a pattern, in the order of `names`, without columns of variations (``x@jes_up``)."""
    wanted = list(patterns)
    return [name for name in names if "@" not in name and any(fnmatchcase(name, pattern) for pattern in wanted)]


def _analyse(params: Write, schema: Schema) -> Effects:
    problems: list[OpProblem] = []
    reads: dict[str, ParamPath] = {}
    for i, pattern in enumerate(params.fields or ()):
        found = _matching([pattern], schema)
        if not found and any(sign in pattern for sign in "*?["):
            problems.append(OpProblem(("fields", i), f"no field matches `{pattern}`"))
        for field in found or ([] if any(sign in pattern for sign in "*?[") else [pattern]):
            reads.setdefault(field, ("fields", i))
    chosen = _matching("*", schema) if params.fields is None else list(reads)
    if params.format == "root":
        for field, path in ((field, reads.get(field, ("format",))) for field in chosen):
            shape, owner = structure_of(schema, field), owner_of(field, schema)
            if shape == () or owner is None:
                continue
            if not matches(shape, (f"n{owner}",)):
                hint = f"rename the field: fields `{owner}_…` must belong to the objects of `{owner}`"
                problems.append(OpProblem(path, f"`{field}` does not have the objects that `n{owner}` counts", hint))
            reads.setdefault(f"n{owner}", path)
    problems += template_problems(params.name, params.path)
    if params.format == "parquet" and find_spec("pyarrow") is None:
        problems.append(OpProblem(("format",), "Parquet files need pyarrow", "pip install 'fasthep-parsl[parquet]'"))
    allowed = COMPRESSIONS[params.format]
    if params.compression not in allowed:
        message = f"{params.format} files do not support the compression `{params.compression}`"
        problems.append(OpProblem(("compression",), message, suggest(params.compression, allowed, what="known")))
    return Effects(reads, {}, tuple(problems), keeps_all=params.fields is None)


@op(
    "hep.write",
    params=Write,
    analyse=_analyse,
    product="manifest",
    merge=merge_written_files,
    stream=False,
    per_partition=True,
)
def write(events: Events, *, params: Write, context: Context) -> WrittenFiles:
    """Write the events of a partition to a file. The file appears under its name when it is complete.

    A relative `path` starts at the folder of the workflow file, on every backend and batch system. A run does not start
    if the folder has files of another run with names of this stage; ``--force`` removes them. After the run, the folder
    has the files of the manifest: files of partitions that failed in another stage are removed. The same events give
    the same bytes.

    ROOT trees support numbers, bools, lists of them, arrays of fixed size, and text. They do not support missing values,
    lists of lists, lists of text and float16. Parquet supports all of these.

    Returns
    -------
    WrittenFiles
        This file alone.

    Raises
    ------
    OpError
        The format does not support a column, or pyarrow is not installed.
    DiskFullError
        There is no space left for the file.
    """
    names = OutputTarget(context.stage, params.path or "", params.name, SUFFIXES[params.format])
    target = names.folder(context.dataset.name, context.outdir) / names.file(context.dataset.name, context.partition)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp{names.suffix}")
    events = events.on_host()
    chosen = _matching("*" if params.fields is None else params.fields, events)
    columns = {field: prepare_column(field, events[field], params.format) for field in chosen}
    with writing_to(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if params.format == "parquet":
                write_parquet(temporary, columns, len(events), params.compression)
            else:
                write_root(temporary, events, columns, params.tree, params.compression)
            with temporary.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            size = temporary.stat().st_size
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    shown = str(target) if params.path else target.name
    return WrittenFiles(params.format, (WrittenFile(shown, context.dataset.name, len(events), size, checksum),))
