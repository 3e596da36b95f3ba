"""Headers of input files: number of entries, clusters, branches. Read in parallel and cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import Hint, summary_of
from fasthep_parsl.interfaces import Branch, Branches, InputFault
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.server_health import DEAD, Servers, all_failed
from fasthep_parsl.sources.summaries import NO_SUMMARIES, NOTHING, Summaries, Wanted, read_summaries
from fasthep_parsl.storage.parallel import in_parallel

CACHE_VERSION = 6
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
    problem, hint, key, cause : str
        Why it cannot be used, what to do, and the field of the source to blame; empty if it can. See `InputFileError`.
    place : str
        Where it was read, if the file has several places and this is not the first; else empty.
    summaries : Summaries
        What other trees of the file say about its events, if that was wanted.
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
    cause: InputFault = ""
    place: str = ""
    summaries: Summaries = NO_SUMMARIES


def read_headers(
    paths: Iterable[str | Sequence[str]],
    source: PlanSource,
    *,
    cache: Path | None = None,
    servers: Servers | None = None,
    progress: Callable[[int, int], None] | None = None,
    wanted: Wanted = NOTHING,
) -> list[Header]:
    """Return the headers of files in the same order. If a file cannot be used, its `problem` is set.

    Parameters
    ----------
    paths : iterable of str, or of sequences of str
        Files and URLs. Of several places of a file, the first one that can be read is used.
    source : PlanSource
        How they are read.
    cache : Path, optional
        Folder of the cache. Its keys are path, size, times and inode of local files.
    servers : Servers, optional
        What is known about servers, added to.
    progress : callable, optional
        Called with the number of headers read so far, and of all.
    wanted : Wanted
        What to read from other trees of the files.
    """
    files = [(path,) if isinstance(path, str) else tuple(path) for path in paths]
    servers = servers or Servers()
    seen: dict[tuple[tuple[str, Branch], ...], Branches] = {}
    found: list[Header] = []
    read = _How(source, cache, wanted)
    # Ctrl-C waits neither for thousands of files nor for a server that has stopped answering
    for header in in_parallel(lambda places: _first_header(places, read, servers), files, THREADS):
        if header.branches is None:
            found.append(header)
        else:  # the files of a dataset have the same 1500 branches: keep one copy
            same = seen.setdefault(tuple(header.branches.found.items()), header.branches)
            found.append(header if header.branches.synonyms != same.synonyms else replace(header, branches=same))
        if progress is not None:
            progress(len(found), len(files))
    return found


@dataclass(frozen=True, slots=True)
class _How:
    """How headers are read."""

    source: PlanSource
    cache: Path | None
    wanted: Wanted

    def impatient(self) -> _How:
        """Return the same without waiting for passing faults."""
        storage = self.source.storage.model_copy(update={"retries": 0})
        return replace(self, source=self.source.model_copy(update={"storage": storage}))


def _first_header(places: Sequence[str], how: _How, servers: Servers) -> Header:
    """Return the header of a file from the first of its places that can be read. Passing faults are waited for last."""
    if len(places) == 1:
        return _header(places[0], how)
    impatient = how.impatient()
    failed: dict[str, Header] = {}
    for place in servers.order(places):
        header = _header(place, impatient)
        if not header.problem:
            servers.answered(place)
            return _named(header, places[0], place)
        failed[place] = header
        servers.failed(place, header.cause, header.problem)
    for place in [place for place in places if failed[place].cause in DEAD] if how.source.storage.retries else ():
        header = _header(place, how)
        if not header.problem:
            servers.answered(place)
            return _named(header, places[0], place)
        failed[place] = header
    first = failed[places[0]]
    message = all_failed(places, [failed[place].problem for place in places])
    same = len({failed[place].key for place in places}) == 1
    return replace(first, problem=message, key=first.key if same else "")


def _named(header: Header, path: str, place: str) -> Header:
    """Return a header under the name of its file. Size and time are only known for the place that was read."""
    return header if place == path else replace(header, path=path, place=place, size=-1, mtime_ns=-1)


def _header(path: str, how: _How) -> Header:
    source, cache, wanted = how.source, how.cache, how.wanted
    size, mtime_ns, version = -1, -1, ""
    if "://" not in path:
        try:
            stat = Path(path).stat()
        except OSError as error:
            return Header(path, problem=error.strerror or "cannot be read")
        size, mtime_ns, version = stat.st_size, stat.st_mtime_ns, _version(path, *source.friends(path))
    entry = None
    if cache is not None and version:
        key = f"{CACHE_VERSION}|{path}|{version}|{source.identity}" + (f"|{wanted}" if wanted else "")
        entry = cache / "headers" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        found = _cached(entry, path)
        if found is not None:
            return found
    header = _read(path, how, size, mtime_ns)
    if entry is not None and not header.problem:
        _remember(entry, header)
    return header


def _version(*paths: str) -> str:
    """Return what changes if one of the files is written or replaced; empty if that of one is not known."""
    found = []
    for path in paths:
        try:
            stat = Path(path).stat()
        except OSError:  # also of URLs
            return ""
        found.append(f"{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}")  # the last two: replaced
    return "|".join(found)


def _read(path: str, how: _How, size: int, mtime_ns: int) -> Header:
    from fasthep_parsl.interfaces import InputFileError
    from fasthep_parsl.sources.files import open_file

    try:
        file = open_file(path, how.source)
    except InputFileError as error:
        return Header(path, size, mtime_ns, problem=error.message, hint=error.hint, key=error.key, cause=error.cause)
    except Exception as error:  # noqa: BLE001  (libraries raise any error on damaged files)
        return Header(path, size, mtime_ns, problem=f"the file cannot be read: {summary_of(error)}")
    try:
        clusters, summaries = tuple(file.clusters()), read_summaries(file, how.wanted)
        facts = (file.uuid, file.entries, clusters, file.section, file.branches())
        return Header(path, size, mtime_ns, *facts, summaries=summaries)
    except InputFileError as error:
        return Header(path, size, mtime_ns, problem=error.message, hint=error.hint, key=error.key, cause=error.cause)
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
        content["summaries"] = Summaries(**content["summaries"])
        header = Header(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return header if header.path == path else None


def _content(header: Header) -> dict[str, Any]:
    branches = header.branches or Branches()
    kinds = {branch: number for number, branch in enumerate(dict.fromkeys(branches.found.values()))}
    every = {item.name: getattr(header, item.name) for item in fields(header)}
    found = {name: kinds[branch] for name, branch in branches.found.items()}
    every["summaries"] = asdict(header.summaries)
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
