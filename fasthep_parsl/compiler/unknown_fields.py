"""Explain from the input files why a name in an expression is not a field."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Sequence

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.schema import named, short
from fasthep_parsl.errors import Hint
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import ResolvedDataset

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*[\w]")


Reason = tuple[str, str, Hint]
"""Code, message and hint of a problem."""


def why_no_field(name: str, inputs: Inputs) -> Reason | None:
    """Return why a name is not a field, None if no file has it."""
    known = inputs.common
    if name in known.absent:
        return "E136", *known.absent[name]
    if name in known.refused:
        return "E136", *known.refused[name]
    if name in known.partial:
        return _partial(name, inputs)
    alike = [branch for branch in _no_names(known.fields) if _begins(branch, name)]
    if alike:
        return "E150", f"unknown field `{name}`", _other_name(alike[0])
    return None


def _partial(name: str, inputs: Inputs) -> Reason:
    """Return why a branch that only some files have is not a field: it names the datasets without it."""
    have, lack = inputs.common.partial[name]
    message = f"branch `{name}` is missing in {short(lack)}; {short(have)} has it"
    branch = inputs.source.aliases.get(name, name)
    without = [dataset for dataset in inputs.datasets if not _in_all(branch, dataset, inputs)]
    if len(inputs.datasets) > 1:
        message += f". It is missing in {named(without)}"
    others = [dataset for dataset in inputs.datasets if dataset not in without]
    if not others or any(_in_some(branch, dataset, inputs) for dataset in without):
        return "E136", message, "give it a `default` in `fields`, or put these files into another workflow"
    hint = f"write `applies_to: {condition_for(others, inputs.datasets)}` at this stage, or give it a `default` in `fields`"
    return "E136", message, hint


def _in_all(branch: str, dataset: ResolvedDataset, inputs: Inputs) -> bool:
    return all(_has(inputs.headers[file], branch) for file in dataset.files)


def _in_some(branch: str, dataset: ResolvedDataset, inputs: Inputs) -> bool:
    return any(_has(inputs.headers[file], branch) for file in dataset.files)


def _has(header: Header, branch: str) -> bool:
    return header.branches is not None and header.branches.name_of(branch) in header.branches.found


def condition_for(wanted: Sequence[ResolvedDataset], every: Sequence[ResolvedDataset]) -> str:
    """Return the shortest condition that is true for the datasets `wanted`, as text for `applies_to`."""
    for key, attribute in (("eventtype", "eventtype"), ("eras", "era")):
        values = dict.fromkeys(getattr(dataset, attribute) for dataset in wanted)
        rest = {getattr(dataset, attribute) for dataset in every if dataset not in wanted}
        if all(values) and not rest & set(values) and (key != "eventtype" or len(values) == 1):
            return f"{{{key}: {', '.join(values) if len(values) == 1 else _listed(values)}}}"
    return f"{{datasets: {_listed(dataset.name for dataset in wanted)}}}"


def _listed(names: Iterable[str]) -> str:
    return f"[{', '.join(names)}]"


def why_no_expression(text: str, inputs: Inputs) -> Reason | None:
    """Return why `text` is not an expression, None if it is not the name of a branch."""
    if text not in inputs.common.fields or _is_name(text):
        return None
    return "E151", f"branch `{text}` has a name that expressions cannot use", _other_name(text)


def _other_name(branch: str) -> str:
    """Return the hint to give a branch a name for expressions."""
    name = re.sub(r"\W+", "_", branch).strip("_") or "my_name"
    name = f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
    text = branch if _PLAIN.fullmatch(branch) else json.dumps(branch, ensure_ascii=False)
    return f"give branch `{branch}` a name for expressions: `fields: {{{name}: {{branch: {text}}}}}`"


def _no_names(fields: Iterable[str]) -> list[str]:
    return [field for field in fields if not _is_name(field)]


def _is_name(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def _begins(branch: str, name: str) -> bool:
    """Return whether `name` is what an expression reads if it contains `branch`: ``jet`` of ``jet-pt``."""
    words = [word.strip(".") for word in re.split(r"[^\w.]+", branch)]
    return name in words or name == re.sub(r"\W+", "_", branch).strip("_")
