"""Read the first event of branches with objects. Only reading shows whether their values can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import DatasetFile
from fasthep_parsl.workflow.yamldoc import Document, problem


def try_reading(inputs: Inputs, fields: Iterable[str], document: Document) -> list[Problem]:
    """Return a problem for each field with values that cannot be read.

    Structure and type of objects come from the description of their class in the file, which can be wrong. One file of
    each set of branches is tried. Plain numbers, and lists of them, are not read.
    """
    source = inputs.source
    branches = dict.fromkeys(source.aliases.get(name, name) for name in sorted(fields))
    found: list[Problem] = []
    for file, header in _one_of_each_set(inputs):
        names = [name for name in branches if _is_unsure(name, header)]
        errors = _errors(header.place or file.path, source.with_tree(file.tree, file.dataset), names) if names else ()
        found += [problem(document, file.key, "E135", f"{short(file.path)}: {e.message}", e.hint) for e in errors]
    return found


def _one_of_each_set(inputs: Inputs) -> Iterator[tuple[DatasetFile, Header]]:
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


def _errors(path: str, source: PlanSource, names: list[str]) -> Iterator[InputFileError]:
    """Yield the errors of reading the first event of branches."""
    from fasthep_parsl.sources.files import open_file

    try:
        opened = open_file(path, source)
    except InputFileError as error:
        yield error
        return
    try:
        for name in names:
            try:
                opened.read([name], 0, 1)
            except InputFileError as error:
                yield error
    finally:
        opened.close()
