"""Section ``styles`` and ``render`` of stages: how results are drawn, in FAST-HEP's spelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.plan.styles import IGNORED, PictureFormat, PlotStyle
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, empty_mapping
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, merge_nodes, problem

SECTION = "styles"
DEFAULT = "default"
"""Name of the style of stages without `render`."""
SUFFIXES = (".png", ".pdf", ".svg", ".csv")


def _one_or_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value or ()


def _each_named(value: object) -> object:
    """Return a list of renders for one of them, its name, or a list of both."""
    if value is None:
        return ()
    return [
        {"style": item} if isinstance(item, str) else item for item in (value if isinstance(value, list) else [value])
    ]


def _without_suffix(value: object) -> object:
    """Accept ``Met.png``, and ``Cuts.csv`` of a cutflow, as fasthep-flow writes them."""
    if isinstance(value, str) and value.endswith(SUFFIXES):
        return value.rpartition(".")[0]
    return value


class Render(Model):
    """How the results of a stage are drawn."""

    style: Reference | None = Field(None, description=f"name of a style; default: `{DEFAULT}`, if there is one")
    when: Literal["final", "dataset"] = Field(
        "final", description="of fasthep-flow: plots are drawn when all events are processed, with all datasets"
    )
    out: Annotated[Name | None, BeforeValidator(_without_suffix)] = Field(
        None, description="name of the file in `plots/`; default: that of the stage"
    )
    op: Line | None = Field(None, description="renderer of fasthep-flow; the axes of the histogram decide")
    overlays: tuple[dict[str, Any], ...] = Field((), description="of fasthep-render; ignored with a warning")
    formats: Annotated[
        tuple[PictureFormat, ...],
        BeforeValidator(_one_or_list, json_schema_input_type=PictureFormat | tuple[PictureFormat, ...]),
    ] = Field((), description="files to write: `png`, `pdf`, `svg`; default: those of the style, else `png`")


Renders = Annotated[
    tuple[Render, ...],
    BeforeValidator(_each_named, json_schema_input_type=Render | str | list[Render | str] | None),
]
Styles = Annotated[dict[Name, PlotStyle], BeforeValidator(empty_mapping)]
"""Name → style."""


def respell_styles(document: Document) -> tuple[Document, list[Problem], list[Problem]]:
    """Return `document` with inheritance of styles (``{use: BASE, with: {…}}``) resolved, mistakes and warnings."""
    document = _with_lists(document)
    section = document.get((SECTION,))
    ignored = list(_ignored_in_renders(document))
    if section is None or not isinstance(section.value, dict):
        return document, [], ignored
    problems: list[Problem] = []
    made = {
        name: _projected(
            name, _resolved(name, section.value, document, (), problems), section.value, document, problems
        )
        for name in section.value
    }
    warnings = [
        problem(document, (SECTION, name, key), "W107", f"`{key}` of fasthep-render has no effect on plots",
                "remove it", on="key")
        for name, node in made.items()
        if isinstance(node.value, dict)
        for key in IGNORED
        if key in node.value
    ]  # fmt: skip
    root = replace(document.root, value={**document.root.value, SECTION: replace(section, value=made)})
    return replace(document, root=root), problems, [*warnings, *ignored]


def _with_lists(document: Document) -> Document:
    """Return `document` with a list for each `render`, also for one of them: places are those of the model."""
    stages = document.get(("analysis", "stages"))
    if stages is None or not isinstance(stages.value, list):
        return document
    made = []
    for stage in stages.value:
        render = stage.child("render") if isinstance(stage.value, dict) else None
        if render is not None and render.value is not None and not isinstance(render.value, list):
            listed = replace(render, value=[replace(render, key=None)])
            made.append(replace(stage, value={**stage.value, "render": listed}))
        else:
            made.append(stage)
    analysis = document.root.value["analysis"]
    stages = replace(stages, value=made)
    sections = {**document.root.value, "analysis": replace(analysis, value={**analysis.value, "stages": stages})}
    return replace(document, root=replace(document.root, value=sections))


def _ignored_in_renders(document: Document) -> Iterator[Problem]:
    """Yield a warning for what a `render` says without effect."""
    stages = document.get(("analysis", "stages"))
    for number, stage in enumerate(stages.value if stages is not None and isinstance(stages.value, list) else ()):
        render = stage.child("render") if isinstance(stage.value, dict) else None
        listed = render.value if render is not None and isinstance(render.value, list) else []
        for position, item in enumerate(listed):
            path: KeyPath = ("analysis", "stages", number, "render", position)
            when = item.child("when") if isinstance(item.value, dict) else None
            if when is not None and when.value == "dataset":
                message = "`when: dataset` is `final`: plots are drawn at the end, with all datasets"
                yield problem(document, (*path, "when"), "W107", message, "remove it")
            if isinstance(item.value, dict) and "overlays" in item.value:
                message = "`overlays` of fasthep-render has no effect on plots"
                yield problem(document, (*path, "overlays"), "W107", message, "remove it", on="key")


def _resolved(name: str, styles: dict[str, Node], document: Document, above: tuple[str, ...],
              problems: list[Problem]) -> Node:  # fmt: skip
    """Return a style with what it inherits below it. A style may also have its own keys beside `use`."""
    node = styles[name]
    if not isinstance(node.value, dict) or not {"use", "with"} & node.value.keys():
        return _as_styles(node)
    own: Any = replace(node, value={key: item for key, item in node.value.items() if key not in ("use", "with")})
    if "with" in node.value:
        own = merge_nodes(own, replace(node.value["with"], where=node.where, key=node.key), "replace")
    base = node.value["use"].value if "use" in node.value else ""
    where = (SECTION, name, "use")
    if "use" in node.value and base not in styles:
        known = suggest(str(base), styles, what="styles")
        problems.append(problem(document, where, "E116", f"no style `{base}`", known, name=str(base)))
    elif base in (*above, name):
        problems.append(problem(document, where, "E116", f"style `{name}` inherits from itself", "remove `use`"))
    elif base:
        own = merge_nodes(_resolved(base, styles, document, (*above, name), problems), own, "replace")
    return _as_styles(own)


def _projected(name: str, node: Node, styles: dict[str, Node], document: Document, problems: list[Problem]) -> Node:
    """Return a style with the content of ``project.then``, which is the style of what is projected."""
    project = node.child("project") if isinstance(node.value, dict) else None
    then = project.child("then") if project is not None and isinstance(project.value, dict) else None
    if project is None or then is None:
        return node
    drawn = _resolved(f"{name}.project.then", {**styles, f"{name}.project.then": then}, document, (), problems)
    own = {key: item for key, item in node.value.items() if key != "project"}
    rest = replace(project, value={key: item for key, item in project.value.items() if key != "then"})
    merged = merge_nodes(replace(node, value=own), replace(drawn, where=node.where, key=node.key), "replace")
    return replace(merged, value={**merged.value, "project": rest})


def _as_styles(node: Node) -> Node:
    """Return an empty mapping for a style without content, and text for `formats` as a list."""
    if node.value is None:
        return replace(node, value={})
    formats = node.value.get("formats") if isinstance(node.value, dict) else None
    if formats is not None and isinstance(formats.value, str):
        return replace(node, value={**node.value, "formats": replace(formats, value=[replace(formats, key=None)])})
    return node
