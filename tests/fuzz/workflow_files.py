"""Small files of random events, ROOT and Parquet, of which the types of integers may differ from file to file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import awkward as ak
import numpy as np

from fuzz.columns import DTYPES, Make, column
from fuzz.values import Field

ROOT_STRUCTURES = "EEEEJJJMRS"
PARQUET_STRUCTURES = "EEEOOJJKKLS"
SMALL = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def name_of(structure: str, dtype: str) -> str:
    return f"{structure}_{dtype}"


def layout(random: Random, kind: str) -> dict[str, tuple[str, str]]:
    """Return field → (structure, type) that all files of a workflow have."""
    found = {}
    for _ in range(random.randint(3, 8)):
        structure = random.choice(ROOT_STRUCTURES if kind == "root_tree" else PARQUET_STRUCTURES)
        dtype = "text" if structure == "S" else random.choice([d for d in DTYPES if d != "float16"])
        found[name_of(structure, dtype)] = (structure, dtype)
    return found


def events(random: Random, spec: dict[str, tuple[str, str]], number: int) -> dict[str, Field]:
    """Return the fields of one file."""
    make = Make(random, number)
    make.wild = random.choice([0.0, 0.0, 0.1])
    fields = {"id": Field("i", 0, tuple(range(number)), "int32", "E")}
    for name, (structure, dtype) in spec.items():
        fields[name] = make.field(structure, dtype)
    return fields


def other_widths(random: Random, fields: dict[str, Field]) -> dict[str, Field]:
    """Return the same values, some integers in other types that hold them: files of one dataset differ so."""
    found = {}
    for name, field in fields.items():
        dtype = field.dtype
        if dtype in SMALL and random.random() < 0.5:
            flat = [x for row in field.data for x in (row if isinstance(row, tuple) else (row,)) if x is not None]
            fitting = [d for d in SMALL if all(np.iinfo(d).min <= x <= np.iinfo(d).max for x in flat)]
            dtype = random.choice(fitting)
        found[name] = replace(field, dtype=dtype)
    return found


def write(path: Path, fields: dict[str, Field], clusters: list[int]) -> None:
    """Write a file; `clusters` are the numbers of events in its clusters or row groups."""
    (write_parquet if path.suffix == ".parquet" else write_root)(path, fields, clusters)


def write_root(path: Path, fields: dict[str, Field], clusters: list[int]) -> None:
    import uproot

    whole = {name: column(field) for name, field in fields.items()}
    lists = {s: [n for n, f in fields.items() if f.structure == s] for s in "JM"}
    flat = [name for name, field in fields.items() if field.structure not in "JM"]
    types: dict[str, Any] = {name: _type(fields[name]) for name in flat}
    for structure, names in lists.items():
        if names:
            members = [ak.types.NumpyType(fields[n].dtype) for n in names]
            types[structure] = ak.types.ListType(
                ak.types.RecordType(members, [n.removeprefix(f"{structure}_") for n in names])
            )
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events", types, counter_name=lambda name: f"n{name}", field_name=lambda outer, inner: f"{outer}_{inner}"
        )
        first = 0
        for size in clusters:
            rows = slice(first, first + size)
            content = {name: whole[name][rows] for name in flat}
            for structure, names in lists.items():
                if names:
                    content[structure] = ak.zip({n.removeprefix(f"{structure}_"): whole[n][rows] for n in names})
            if size:
                tree.extend(content)
            first += size


def _type(field: Field) -> Any:
    if field.structure == "S":
        return "string"
    return np.dtype((field.dtype, (3,))) if field.structure == "R" else np.dtype(field.dtype)


def write_parquet(path: Path, fields: dict[str, Field], clusters: list[int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, field in fields.items():
        plain = {"text": pa.string(), "bool": pa.bool_()}.get(field.dtype) or pa.from_numpy_dtype(field.dtype)
        kind = pa.list_(plain) if field.depth else plain
        arrays[name] = pa.array([list(x) if isinstance(x, tuple) else x for x in field.data], kind)
    table = pa.table(arrays)
    with pq.ParquetWriter(path, table.schema) as writer:
        first = 0
        for size in clusters:
            writer.write_table(table.slice(first, size), row_group_size=max(size, 1))
            first += size
