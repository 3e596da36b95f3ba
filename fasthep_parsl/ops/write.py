"""``hep.write``: skims in Parquet or ROOT, one file per partition, and a manifest of all files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fasthep_parsl.errors import OpError, suggest
from fasthep_parsl.interfaces import Context, Effects, OpProblem, ParamPath, Schema
from fasthep_parsl.names import file_name
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.collections.collection import Params, flatten, matches, owner_of, structure_of
from fasthep_parsl.ops.columns.values import same_offsets
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.stream import Events

Compression = Literal["zstd", "lz4", "zlib", "lzma", "snappy", "gzip", "none"]
COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "parquet": ("zstd", "lz4", "snappy", "gzip", "none"),
    "root": ("zstd", "lz4", "zlib", "lzma", "none"),
}
LEVELS = {"ZSTD": 5, "LZ4": 4, "ZLIB": 1, "LZMA": 5}


@dataclass(frozen=True, slots=True, order=True)
class WrittenFile:
    """One file of a skim.

    Attributes
    ----------
    path : str
        Relative to ``results/<StageId>`` of the run directory, or absolute if the workflow says where.
    dataset : str
        Dataset of its events.
    events : int
        Number of events in it; can be 0.
    bytes : int
        Size of the file.
    sha256 : str
        Checksum of its content, hexadecimal.
    """

    path: str
    dataset: str
    events: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a skim, sorted by path."""

    format: str
    files: tuple[WrittenFile, ...] = ()


def merge_manifests(a: Manifest, b: Manifest) -> Manifest:
    """Return the files of both, sorted by path; a file that both have is listed once."""
    return Manifest(a.format, tuple(sorted({*a.files, *b.files})))


class Write(Params):
    """Parameters of ``hep.write``."""

    format: Literal["parquet", "root"]
    fields: list[str] | None = Field(default=None, description="fields, or patterns such as `Muon_*`; default: all")
    path: str | None = Field(default=None, description="directory; default: results/<StageId> of the run directory")
    name: str = Field(
        default="{partition}", description="file name without suffix; may use {partition}, {dataset} and {stage}"
    )
    tree: str = Field(default="Events", min_length=1, description="name of the tree (ROOT)")
    compression: Compression = "zstd"


def _matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names that fit a pattern, in the order of `names`."""
    wanted = list(patterns)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]


def _name_problems(name: str) -> list[OpProblem]:
    problems = []
    for key in re.findall(r"\{([^}]*)\}", name):
        if key not in ("partition", "dataset", "stage"):
            hint = suggest(key, ("partition", "dataset", "stage"))
            problems.append(OpProblem(("name",), f"`{{{key}}}` is not known here", hint))
    if "{partition}" not in name:
        problems.append(OpProblem(("name",), "files of different partitions would have one name", "use {partition}"))
    if "/" in name:
        problems.append(OpProblem(("name",), "a file name has no `/`", "give the directory as `path`"))
    return problems


def _analyse(params: Write, schema: Schema) -> Effects:
    problems: list[OpProblem] = []
    reads: dict[str, ParamPath] = {}
    for i, pattern in enumerate(params.fields or ()):
        found = _matching([pattern], schema)
        if not found and any(sign in pattern for sign in "*?["):
            problems.append(OpProblem(("fields", i), f"no field fits `{pattern}`"))
        for field in found or ([] if any(sign in pattern for sign in "*?[") else [pattern]):
            reads.setdefault(field, ("fields", i))
    chosen = schema if params.fields is None else reads
    if params.format == "root":
        for field, path in ((field, reads.get(field, ("format",))) for field in list(chosen)):
            shape, owner = structure_of(schema, field), owner_of(field, schema)
            if shape == () or owner is None:
                continue
            if not matches(shape, (f"n{owner}",)):
                hint = f"rename the field: `{owner}_…` are fields of the objects of `{owner}`"
                problems.append(OpProblem(path, f"`{field}` has other objects than the counter `n{owner}`", hint))
            reads.setdefault(f"n{owner}", path)
    problems += _name_problems(params.name)
    allowed = COMPRESSIONS[params.format]
    if params.compression not in allowed:
        hint = suggest(params.compression, allowed, what="known")
        problems.append(OpProblem(("compression",), f"{params.format} files know no `{params.compression}`", hint))
    return Effects(reads, {}, tuple(problems), keeps_all=params.fields is None)


@op(
    "hep.write",
    params=Write,
    analyse=_analyse,
    product="manifest",
    merge=merge_manifests,
    stream=False,
    per_partition=True,
)
def write(
    events: Events,
    *,
    format: str,  # noqa: A002
    context: Context,
    fields: list[str] | None = None,
    path: str | None = None,
    name: str = "{partition}",
    tree: str = "Events",
    compression: str = "zstd",
) -> Manifest:
    """Write the events of a partition to a file; it appears under its name only when it is complete.

    Returns
    -------
    Manifest
        With this one file.

    Raises
    ------
    OpError
        A column cannot be written in this format, or pyarrow is missing.
    """
    words = {"partition": context.partition, "dataset": file_name(context.dataset.name), "stage": context.stage}
    directory = Path(path) if path else context.outdir
    directory.mkdir(parents=True, exist_ok=True)
    suffix = {"parquet": ".parquet", "root": ".root"}[format]
    target = directory / (name.format(**words).replace("/", "_") + suffix)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp{suffix}")
    events = events.on_host()
    chosen = list(events) if fields is None else _matching(fields, events)
    columns = {field: events[field] for field in chosen}
    try:
        if format == "parquet":
            _write_parquet(temporary, columns, len(events), compression)
        else:
            _write_root(temporary, _branches(events, columns), tree, compression)
        with temporary.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        size = temporary.stat().st_size
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    shown = str(target) if path else target.name
    return Manifest(format, (WrittenFile(shown, context.dataset.name, len(events), size, checksum),))


def _write_parquet(path: Path, columns: Mapping[str, Any], length: int, compression: str) -> None:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise OpError("Parquet files need pyarrow: pip install fasthep-parsl[parquet]") from None
    array = Events(columns, length).to_awkward()
    ak.to_parquet(array, str(path), compression=None if compression == "none" else compression, extensionarray=False)


def _is_jagged(column: Any) -> bool:
    return isinstance(column, ak.Array) and column.ndim > 1


def _write_root(path: Path, branches: Mapping[str, Any], tree: str, compression: str) -> None:
    """Write a TTree: one branch per column; jagged branches of a collection share its counter."""
    import uproot

    level = LEVELS.get(compression.upper())
    codec = None if level is None else getattr(uproot, compression.upper())(level)
    with uproot.recreate(path, compression=codec) as file:
        types = {name: _type_of(name, column) for name, column in branches.items()}
        out = file.mktree(tree, types, counter_name=lambda counted: f"n{counted}")
        if any(len(column) for column in branches.values()):
            out.extend(branches)


def _branches(events: Events, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what uproot is given: columns, and one record array for the fields of each collection with a counter."""
    owners = {field: owner_of(field, events) for field, column in columns.items() if _is_jagged(column)}
    counters = {f"n{owner}" for owner in owners.values()}
    branches: dict[str, Any] = {}
    grouped: dict[str, dict[str, Any]] = {}
    for field, column in columns.items():
        owner = owners.get(field)
        if owner is not None:
            grouped.setdefault(owner, {})[field.removeprefix(f"{owner}_")] = column
        elif field not in counters:
            branches[field] = column
    for owner, fields in grouped.items():
        reference = None
        for name, column in fields.items():
            offsets, content = flatten(column, f"{owner}_{name}")
            reference = offsets if reference is None else reference
            if not (same_offsets(offsets, reference) and np.array_equal(np.diff(offsets), events[f"n{owner}"])):
                raise OpError(f"`{owner}_{name}` has other objects than the counter `n{owner}`: rename the field")
            fields[name] = content
        layouts = [c.layout if isinstance(c, ak.Array) else ak.contents.NumpyArray(c) for c in fields.values()]
        record = ak.contents.RecordArray(layouts, list(fields))
        branches[owner] = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(reference), record))
    return branches


def _type_of(name: str, column: Any) -> Any:
    """Return the type of a branch as uproot understands it."""
    if not isinstance(column, ak.Array):
        return column.dtype
    found = str(ak.type(column).content)
    if "?" in found or "option" in found:
        raise OpError(f"`{name}` has missing values, which ROOT files cannot hold: use fill_none(…) first")
    return found
