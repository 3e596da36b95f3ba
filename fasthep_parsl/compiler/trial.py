"""The first event of branches that are no plain numbers, read before anything starts: only that shows whether it can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.errors import Problem
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import InputFile
from fasthep_parsl.workflow.yamldoc import Document, problem


def try_reading(inputs: Inputs, source: PlanSource, fields: Iterable[str], document: Document) -> list[Problem]:
    """Return a problem for each of `fields` whose values uproot or pyarrow cannot read after all.

    Structure and type of objects are known from what a file says of their class, which can be wrong. One file of each
    set of branches is looked at; plain numbers, and lists of them, are not read.
    """
    branches = dict.fromkeys(source.aliases.get(name, name) for name in sorted(fields))
    found: list[Problem] = []
    for file, header in _of_each_kind(inputs):
        names = [name for name in branches if _is_unsure(name, header)]
        for message, hint in _tried(file.path, source.with_tree(file.tree), names) if names else ():
            found.append(problem(document, file.key, "E135", f"{short(file.path)}: {message}", hint))
    return found


def _of_each_kind(inputs: Inputs) -> Iterator[tuple[InputFile, Header]]:
    seen: set[int] = set()
    for file, header in inputs.headers.items():
        if header.branches is not None and header.entries and id(header.branches) not in seen:
            seen.add(id(header.branches))
            yield file, header


def _is_unsure(name: str, header: Header) -> bool:
    if header.branches is None:
        return False
    branch = header.branches.found.get(header.branches.name_of(name))
    return branch is not None and not branch.sure and not branch.problem


def _tried(path: str, source: PlanSource, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what goes wrong when the first event of branches is read."""
    from fasthep_parsl.interfaces import InputFileError
    from fasthep_parsl.sources.files import open_file

    try:
        opened = open_file(path, source)
    except InputFileError as error:
        yield error.message, error.hint
        return
    try:
        for name in names:
            try:
                opened.read([name], 0, 1)
            except InputFileError as error:
                yield error.message, error.hint
    finally:
        opened.close()
