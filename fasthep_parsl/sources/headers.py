"""Headers of input files: number of entries, clusters, branches. Read in parallel and cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import Hint, summary_of
from fasthep_parsl.interfaces import Branch, Branches
from fasthep_parsl.plan import PlanSource

CACHE_VERSION = 5
THREADS = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an input file.

    Attributes
    ----------
    path : str
        The file.
    size, mtime_ns : int
        Identity of a local file: bytes and modification time in ns; -1 for URLs.
    uuid : str
        Identity of the content that the file states itself; empty if it states none.
    entries : int
        Number of events.
    clusters : tuple of int
        Event numbers at which a read can start efficiently, with 0 and the end.
    section : str
        Part of the file that is read, if a file has several; see `OpenInput`.
    branches : Branches
        Its branches; None if the header cannot be read.
    problem, hint, key : str
        Why it cannot be used, what to do, and the field of the source to blame; empty if it can. See `InputFileError`.
    """

    path: str
    size: int = -1
    mtime_ns: int = -1
    uuid: str = ""
    entries: int = 0
    clusters: tuple[int, ...] = ()
    section: str = ""
    branches: Branches | None = None
    problem: str = ""
    hint: Hint = ""
    key: str = ""


def read_headers(
    paths: Iterable[str],
    source: PlanSource,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Header]:
    """Return the headers of files in the same order. If a file cannot be used, its `problem` is set.

    Parameters
    ----------
    paths : iterable of str
        Files and URLs.
    source : PlanSource
        How they are read.
    cache : Path, optional
        Folder of the cache. Its keys are path, size, times and inode of local files.
    progress : callable, optional
        Called with the number of headers read so far, and of all.
    """
    wanted = list(paths)
    seen: dict[tuple[tuple[str, Branch], ...], Branches] = {}
    found: list[Header] = []
    pool = ThreadPoolExecutor(THREADS)
    try:
        for header in pool.map(lambda path: _header(path, source, cache), wanted):
            if header.branches is None:
                found.append(header)
            else:  # the files of a dataset have the same 1500 branches: keep one copy
                same = seen.setdefault(tuple(header.branches.found.items()), header.branches)
                found.append(header if header.branches.synonyms != same.synonyms else replace(header, branches=same))
            if progress is not None:
                progress(len(found), len(wanted))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for thousands of files
    return found


def _header(path: str, source: PlanSource, cache: Path | None) -> Header:
    size, mtime_ns, version = -1, -1, ""
    if "://" not in path:
        try:
            stat = Path(path).stat()
        except OSError as error:
            return Header(path, problem=error.strerror or "cannot be read")
        size, mtime_ns = stat.st_size, stat.st_mtime_ns
        version = f"{size}|{mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"  # the last two change if a file is replaced
    entry = None
    if cache is not None and size >= 0:
        key = f"{CACHE_VERSION}|{path}|{version}|{source.identity}"
        entry = cache / "headers" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        found = _cached(entry, path)
        if found is not None:
            return found
    header = _read(path, source, size, mtime_ns)
    if entry is not None and not header.problem:
        _remember(entry, header)
    return header


def _read(path: str, source: PlanSource, size: int, mtime_ns: int) -> Header:
    from fasthep_parsl.interfaces import InputFileError
    from fasthep_parsl.sources.files import open_file

    try:
        file = open_file(path, source)
    except InputFileError as error:
        return Header(path, size, mtime_ns, problem=error.message, hint=error.hint, key=error.key)
    except Exception as error:  # noqa: BLE001  (libraries raise any error on damaged files)
        return Header(path, size, mtime_ns, problem=f"the file cannot be read: {summary_of(error)}")
    try:
        return Header(
            path, size, mtime_ns, file.uuid, file.entries, tuple(file.clusters()), file.section, file.branches()
        )
    except Exception as error:  # noqa: BLE001  (libraries raise any error on damaged files)
        return Header(path, size, mtime_ns, problem=f"the header cannot be read: {summary_of(error)}")
    finally:
        file.close()


def _cached(entry: Path, path: str) -> Header | None:
    try:
        content = json.loads(entry.read_text())
        content["clusters"] = tuple(content["clusters"])
        kinds = [Branch(tuple(shape), *rest) for shape, *rest in content.pop("kinds")]
        found = {name: kinds[kind] for name, kind in content["branches"].items()}
        content["branches"] = Branches(found, content.pop("synonyms"))
        header = Header(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return header if header.path == path else None


def _content(header: Header) -> dict[str, Any]:
    branches = header.branches or Branches()
    kinds = {branch: number for number, branch in enumerate(dict.fromkeys(branches.found.values()))}
    every = {item.name: getattr(header, item.name) for item in fields(header)}
    found = {name: kinds[branch] for name, branch in branches.found.items()}
    return {**every, "branches": found, "kinds": list(kinds), "synonyms": branches.synonyms}


def _remember(entry: Path, header: Header) -> None:
    temporary = entry.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(_content(header)))
        temporary.replace(entry)
    except OSError:  # continue without a cache
        with contextlib.suppress(OSError):
            temporary.unlink()
