"""Workflows of fasthep-flow: convert its spellings, and refuse its sections that this package does not run."""

from __future__ import annotations

import difflib
from dataclasses import replace

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.names import file_name
from fasthep_parsl.workflow.input_model import Dataset
from fasthep_parsl.workflow.joins import check_joins
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, merge_nodes, problem

_NOT_RUN = "remove it"
FOREIGN_SECTIONS = {
    "outputs": "use a stage with `op: hep.write`",
    "observers": "remove the section; every run records events, times and memory",
    "reports": "remove the section; every run writes `report.html` (`fasthep-parsl report`)",
    "registry": "name your Python files in `use: {modules: […]}` and decorate functions with `@op`",
    "render": "write `styles: {NAME: …}` and `render: {style: NAME}` in stages",
    "hooks": _NOT_RUN,
    "execution_hooks": _NOT_RUN,
    "compile_hooks": _NOT_RUN,
    "products": _NOT_RUN,
    "profiles": "remove the section; site profiles describe machines (option `site`)",
    "progress": _NOT_RUN,
    "workflow_metadata": _NOT_RUN,
}
FOREIGN_STAGE = {
    "write": "use a stage with `op: hep.write`",
    "inspect": "remove it",
    "observers": "remove it; every run records events, times and memory",
    "role": "remove it; the op declares what it yields",
    "in": "write `from: [{node: …, port: …, as: …}]`",
    "variations": "write them in section `systematics`",
}
FOREIGN_EXECUTION = {
    "profiles": "remove it; site profiles describe machines (option `site`)",
    "config": "move the options to their kind: `strategy: {kind: name, …}`",
}
FOREIGN_VARIATION = {
    "anchor": "remove it; what a variation reaches is found by what stages read",
    "patch": "write `replace: {fields: {NAME: expression}}` for what the stage computes",
}

TREE_NAMES = {"treename", "ttree", "objectpath", "treepath"}
"""Names of `tree` in other programs. As metadata of a dataset they would be ignored, and another tree would be read."""


def refuse_foreign(document: Document) -> tuple[Document, list[Problem]]:
    """Return `document` without the sections that this package does not run, and a problem for each of them."""
    problems: list[Problem] = []
    root = _without(document, (), FOREIGN_SECTIONS, problems)
    document = replace(document, root=root)
    root = _replace(document.root, ("execution",), _without(document, ("execution",), FOREIGN_EXECUTION, problems))
    for items, foreign in ((("analysis", "stages"), FOREIGN_STAGE), (("systematics", "variations"), FOREIGN_VARIATION)):
        found = document.get(items)
        for number in range(len(found.value) if found and isinstance(found.value, list) else 0):
            path = (*items, number)
            root = _replace(root, path, _without(document, path, foreign, problems))
    return replace(document, root=root), problems


def _without(document: Document, path: KeyPath, foreign: dict[str, str], problems: list[Problem]) -> Node:
    node = document.get(path)
    if node is None or not isinstance(node.value, dict):
        return node or Node(None)
    for name in node.value:
        if name in foreign:
            message = f"`{name}` of fasthep-flow is not supported"
            problems.append(problem(document, (*path, name), "E107", message, foreign[name], on="key", name=name))
    return replace(node, value={name: child for name, child in node.value.items() if name not in foreign})


def _replace(root: Node, path: KeyPath, new: Node) -> Node:
    """Return `root` with `new` at `path`, if `path` exists."""
    if not path:
        return new
    child = root.child(path[0])
    if child is None:
        return root
    changed = _replace(child, path[1:], new)
    if isinstance(root.value, list):
        return replace(root, value=[changed if n == path[0] else item for n, item in enumerate(root.value)])
    return replace(root, value={k: changed if k == path[0] else item for k, item in root.value.items()})


def normalise(document: Document) -> tuple[Document, tuple[Problem, ...]]:
    """Return `document` with the spellings of fasthep-flow converted, and warnings.

    Datasets may be at the top level, and a mapping by name. Unknown keys of a dataset become its ``meta``. A stage
    without an id gets one.
    """
    root = document.root
    sections = dict(root.value)
    if "datasets" in sections:
        extra = sections.pop("datasets")
        data = sections.get("data") or Node({}, extra.where, extra.key, extra.layer)
        if isinstance(data.value, dict):
            lists = _as_list(extra)
            own = data.value.get("datasets")
            joined = merge_nodes(lists, _as_list(own), "join") if own and own.value is not None else lists
            sections["data"] = replace(data, value={**data.value, "datasets": joined})
    data = sections.get("data")
    if data and isinstance(data.value, dict) and "datasets" in data.value:
        datasets = _as_list(data.value["datasets"])
        if isinstance(datasets.value, list):
            datasets = replace(datasets, value=[_with_meta(item) for item in datasets.value])
        sections["data"] = replace(data, value={**data.value, "datasets": datasets})
    analysis = sections.get("analysis")
    if analysis and isinstance(analysis.value, dict) and isinstance(analysis.value.get("stages"), Node):
        stages = analysis.value["stages"]
        if isinstance(stages.value, list):
            named = replace(stages, value=[_with_id(item, number + 1) for number, item in enumerate(stages.value)])
            sections["analysis"] = replace(analysis, value={**analysis.value, "stages": named})
    document = replace(document, root=replace(root, value=sections))
    warnings = []
    if document.has(("use", "profiles")):
        message = "`use.profiles` is ignored: these are profiles of fasthep-flow"
        hint = "site profiles describe machines (option `site`)"
        warnings.append(problem(document, ("use", "profiles"), "W107", message, hint, on="key"))
    return document, tuple(warnings)


def _as_list(node: Node) -> Node:
    """Return a mapping of datasets (``{dy: {files: …}}``) as a list."""
    if not isinstance(node.value, dict):
        return node
    items = []
    for name, item in node.value.items():
        content = item.value if isinstance(item.value, dict) else {"files": item}
        named = {"name": Node(name, item.key, item.key, item.layer), **content}
        items.append(Node(named, item.key, None, item.layer))
    return replace(node, value=items)


def _with_meta(node: Node) -> Node:
    """Move unknown keys of a dataset to ``meta``, as fasthep-flow does, unless they look misspelt."""
    if not isinstance(node.value, dict):
        return node
    known = list(Dataset.model_fields)
    moved = {
        name: child
        for name, child in node.value.items()
        if name not in known
        and not difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        and str(name).lower().replace("_", "") not in TREE_NAMES
    }
    if not moved:
        return node
    meta = node.value.get("meta") or Node({}, node.where, None, node.layer)
    if not isinstance(meta.value, dict):
        return node
    rest = {name: child for name, child in node.value.items() if name not in moved}
    return replace(node, value={**rest, "meta": replace(meta, value={**moved, **meta.value})})


def _with_id(node: Node, number: int) -> Node:
    """Give a stage without an id the last word of its op and a number: ``hist3``."""
    if not isinstance(node.value, dict) or "id" in node.value:
        return node
    op = node.value.get("op")
    if op is None or not isinstance(op.value, str):
        return node
    name = f"{file_name(op.value.rsplit('.', 1)[-1])}{number}"
    return replace(node, value={"id": Node(name, op.where, op.key, op.layer), **node.value})


def check_model(workflow: Workflow, document: Document) -> list[Problem]:
    """Return mistakes that involve several sections of a valid workflow."""
    found: list[Problem] = []
    known = [*workflow.joins, *workflow.sources]
    found += check_joins(workflow, document)
    streams = [(("fields", name, "stream"), field.stream) for name, field in workflow.fields.items()]
    for path, stream in [(("primary_stream",), workflow.primary_stream), *streams]:
        if stream is not None and stream not in known:
            names = suggest(stream, known, what="sources")
            found.append(problem(document, path, "E106", f"no source `{stream}`", names, name=stream))
    if not workflow.analysis.stages:
        hint = "write `stages: [{id: Name, op: hep.define, params: {…}}]`"
        found.append(problem(document, ("analysis", "stages"), "E104", "the workflow has no stages", hint, on="key"))
    if not workflow.data.datasets:
        hint = "write `datasets: [{name: dy, files: [dy_*.root]}]`"
        found.append(problem(document, ("data", "datasets"), "E104", "the workflow has no datasets", hint, on="key"))
    for number, stage in enumerate(workflow.analysis.stages):
        if stage.execution.require and stage.execution.prefer:
            at: KeyPath = ("analysis", "stages", number, "execution", "prefer")
            hint = "remove one of them: with `require` the stage runs nowhere else, with `prefer` it may"
            found.append(problem(document, at, "E106", f"stage `{stage.id}` has both `require` and `prefer`", hint,
                                 on="key"))  # fmt: skip
    return found
