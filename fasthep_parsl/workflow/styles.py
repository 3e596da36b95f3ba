"""Section ``styles`` and ``render`` of stages: how results are drawn, in FAST-HEP's spelling."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.plan.styles import IGNORED, PictureFormat, PlotStyle
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, empty_mapping
from fasthep_parsl.workflow.yamldoc import Document, Node, merge_nodes, problem

SECTION = "styles"
DEFAULT = "default"
"""Name of the style of stages without `render`."""
SUFFIXES = (".png", ".pdf", ".svg")


def _one_or_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value or ()


def _named(value: object) -> object:
    return {"style": value} if isinstance(value, str) else value


def _without_suffix(value: object) -> object:
    """Accept ``Met.png``, as fasthep-flow writes it."""
    if isinstance(value, str) and value.endswith(SUFFIXES):
        return value.rpartition(".")[0]
    return value


class Render(Model):
    """How the results of a stage are drawn."""

    style: Reference | None = Field(None, description=f"name of a style; default: `{DEFAULT}`, if there is one")
    when: Literal["final"] = Field(
        "final", description="of fasthep-flow: plots are drawn when all events are processed"
    )
    out: Annotated[Name | None, BeforeValidator(_without_suffix)] = Field(
        None, description="name of the file in `plots/`; default: that of the stage"
    )
    op: Line | None = Field(None, description="renderer of fasthep-flow; the axes of the histogram decide")
    formats: Annotated[
        tuple[PictureFormat, ...],
        BeforeValidator(_one_or_list, json_schema_input_type=PictureFormat | tuple[PictureFormat, ...]),
    ] = Field((), description="files to write: `png`, `pdf`, `svg`; default: those of the style, else `png`")


RenderOf = Annotated[Render | None, BeforeValidator(_named, json_schema_input_type=Render | str | None)]
Styles = Annotated[dict[Name, PlotStyle], BeforeValidator(empty_mapping)]
"""Name → style."""


def respell_styles(document: Document) -> tuple[Document, list[Problem], list[Problem]]:
    """Return `document` with inheritance of styles (``{use: BASE, with: {…}}``) resolved, mistakes and warnings."""
    section = document.get((SECTION,))
    if section is None or not isinstance(section.value, dict):
        return document, [], []
    problems: list[Problem] = []
    made = {name: _resolved(name, section.value, document, (), problems) for name in section.value}
    warnings = [
        problem(document, (SECTION, name, key), "W107", f"`{key}` of fasthep-render has no effect on plots",
                "remove it", on="key")
        for name, node in made.items()
        if isinstance(node.value, dict)
        for key in IGNORED
        if key in node.value
    ]  # fmt: skip
    root = replace(document.root, value={**document.root.value, SECTION: replace(section, value=made)})
    return replace(document, root=root), problems, warnings


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


def _as_styles(node: Node) -> Node:
    """Return an empty mapping for a style without content, and text for `formats` as a list."""
    if node.value is None:
        return replace(node, value={})
    formats = node.value.get("formats") if isinstance(node.value, dict) else None
    if formats is not None and isinstance(formats.value, str):
        return replace(node, value={**node.value, "formats": replace(formats, value=[replace(formats, key=None)])})
    return node
