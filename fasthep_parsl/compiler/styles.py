"""Check ``styles`` and ``render``, and put them into the plan. Pure: no file is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.plan.styles import PlanPicture, PlotStyle
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.stage_model import Stage
from fasthep_parsl.workflow.styles import DEFAULT, SECTION, Render
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

PNG = ("png",)
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


def plan_pictures(loaded: LoadedWorkflow) -> Checked[tuple[PlanPicture, ...]]:
    """Return how the results of stages are drawn.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow. Only ``styles``, ``render`` and the names of datasets and groups are read.
    """
    workflow, document = loaded.workflow, loaded.document
    problems = [item for name, style in workflow.styles.items() for item in _mistakes(name, style, loaded)]
    pictures: list[PlanPicture] = []
    if DEFAULT in workflow.styles:
        style = workflow.styles[DEFAULT]
        pictures.append(PlanPicture(stage="", style=style, formats=style.formats or PNG))
    names: dict[str, str] = {}
    for number, stage in enumerate(workflow.analysis.stages):
        for position, render in enumerate(stage.render):
            path: KeyPath = ("analysis", "stages", number, "render", position)
            problems += _missing(render, workflow.styles, path, document)
            picture = _picture(stage.id, render, workflow.styles)
            problems += _no_axis(picture, stage, path, document)
            pictures.append(picture)
            name = render.out or stage.id
            others = {other.id for other in workflow.analysis.stages if other.id != stage.id} | names.keys()
            if name in others:
                message = f"the plot of stage `{stage.id}` has the name of that of `{names.get(name, name)}`"
                at = (*path, "out") if document.has((*path, "out")) else path
                hint = "choose another name with `out`"
                problems.append(problem(document, at, "E116", message, hint, on="key" if at != path else "value"))
            names[name] = stage.id
    return Checked(tuple(pictures), tuple(problems))


def _no_axis(picture: PlanPicture, stage: Stage, path: KeyPath, document: Document) -> Iterator[Problem]:
    """Yield a problem if a style projects on an axis that the histogram of the stage does not have."""
    project, axes = picture.style.project, stage.params.get("axes")
    if project is None or not isinstance(axes, list):
        return
    known = [axis["name"] for axis in axes if isinstance(axis, dict) and isinstance(axis.get("name"), str)]
    if project.axis not in known:
        message = f"stage `{stage.id}` has no axis `{project.axis}` to project on"
        hint = suggest(project.axis, known, what="axes")
        yield problem(document, path, "E116", message, hint, name=project.axis)


def _picture(stage: str, render: Render, styles: dict[str, PlotStyle]) -> PlanPicture:
    style = styles.get(render.style or DEFAULT, PlotStyle())
    formats = tuple(dict.fromkeys(render.formats or style.formats or PNG))
    return PlanPicture(stage=stage, name=render.out or "", style=style, formats=formats)


def _missing(render: Render, styles: dict[str, PlotStyle], path: KeyPath, document: Document) -> Iterator[Problem]:
    if render.style is not None and render.style not in styles:
        at: KeyPath = (*path, "style") if document.has((*path, "style")) else path
        if not styles:
            hint: object = "write `styles: {" + render.style + ": {…}}`"
        else:
            hint = suggest(render.style, styles, what="styles")
        yield problem(document, at, "E116", f"no style `{render.style}`", hint, name=render.style)  # type: ignore[arg-type]


def _mistakes(name: str, style: PlotStyle, loaded: LoadedWorkflow) -> Iterator[Problem]:
    """Yield names of datasets that do not exist, and colours that matplotlib does not know."""
    data, document = loaded.workflow.data, loaded.document
    groups = {item.group or data.defaults.group for item in data.datasets}
    known = {item.name for item in data.datasets} | {group for group in groups if group}
    base: KeyPath = (SECTION, name)
    if any("group" in transform for transform in style.transforms):  # it makes names that do not exist here
        known |= {*style.style.datasets, *style.data_mc.of_data, *style.data_mc.backgrounds, *style.data_mc.signals}
    for key, names in (("data", style.data_mc.of_data), ("backgrounds", style.data_mc.backgrounds),
                       ("signals", style.data_mc.signals)):  # fmt: skip
        for number, item in enumerate(names):
            if item not in known:
                at: KeyPath = (*base, "data_mc", key)
                at = at if isinstance(style.data_mc.data, str) and key == "data" else (*at, number)
                hint = suggest(item, known, what="datasets and groups")
                yield problem(document, at, "E116", f"no dataset or group `{item}`", hint, name=item)
    for item, one in style.style.datasets.items():
        at = (*base, "style", "datasets", item)
        hint = suggest(item, known, what="datasets and groups")
        if item not in known and hint.close:  # styles of several workflows may be in one file
            yield problem(document, at, "E116", f"no dataset or group `{item}`", hint, on="key", name=item)
        if one.color is not None:
            yield from _colour(one.color, (*at, "color"), document)
    for number, colour in enumerate(style.style.color_cycle):
        yield from _colour(colour, (*base, "style", "color_cycle", number), document)


def _colour(colour: str, at: KeyPath, document: Document) -> Iterator[Problem]:
    """Yield a problem if matplotlib does not know a colour."""
    if _HEX.fullmatch(colour):
        return
    from matplotlib.colors import get_named_colors_mapping, is_color_like

    if not is_color_like(colour):
        names = [name for name in get_named_colors_mapping() if ":" not in name and len(name) > 1]
        close = suggest(colour, names, what="colours")
        hint = close if close.close else "write `'#5790fc'`, or a name such as `tab:orange`"
        yield problem(document, at, "E116", f"no colour `{colour}`", hint, name=colour)


def left_out(loaded: LoadedWorkflow) -> list[str]:
    """Warn of datasets that a style does not draw, because it lists others."""
    data = loaded.workflow.data
    used = {one.style for stage in loaded.workflow.analysis.stages for one in stage.render} | {DEFAULT}
    found = []
    for name, style in loaded.workflow.styles.items():
        listed = {*style.data_mc.backgrounds, *style.data_mc.signals}
        if not listed or name not in used:
            continue
        kinds = {key for key, one in style.style.datasets.items() if one.kind or one.stack is not None}
        drawn = listed | kinds | {*style.data_mc.of_data}
        absent = [
            item.name
            for item in data.datasets
            if item.name not in drawn
            and (item.group or data.defaults.group) not in drawn
            and (item.eventtype or data.defaults.eventtype or "mc") != "data"
        ]
        if absent:
            found.append(
                f"style `{name}` does not draw {', '.join(f'`{item}`' for item in absent)}: `data_mc` lists others"
            )
    return found
