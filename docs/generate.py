"""Generate reference pages from the code: schema, ops, sites, command line, functions, error codes, layers."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from notebook_page import notebook_page
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from fasthep_parsl.interfaces.file_parameters import file_type, full_annotation

EMPTY = "*No plug-in of this kind is built in.*\n"


def write_all(folder: Path) -> None:
    """Write every generated page to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Callable[[], str]] = {
        "workflow.md": workflow,
        "ops.md": ops,
        "cli.md": command_line,
        "inspected.md": inspected,
        "functions.md": functions,
        "errors.md": errors,
        "kinds.md": kinds,
        "sites.md": sites,
        "strategies.md": partial(plug_ins, "strategies"),
        "sources.md": partial(plug_ins, "sources"),
        "environments.md": partial(plug_ins, "environments"),
        "credentials.md": partial(plug_ins, "credentials"),
        "modifiers.md": modifiers,
        "python.md": python,
        "notebook.md": notebook,
        "layers.md": layers,
        "events.md": events,
    }
    for name, make in pages.items():
        text = make()
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


# --- pydantic models --------------------------------------------------------------------------------------


def models_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return `model` and all models in its fields, in the order in which they appear."""
    found: list[type[BaseModel]] = []

    def walk(annotation: Any) -> None:
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel) and annotation not in found:
            found.append(annotation)
            for field in annotation.model_fields.values():
                walk(field.annotation)
        for inner in typing.get_args(annotation):
            walk(inner)

    walk(model)
    return found


def type_text(annotation: Any) -> str:  # noqa: PLR0911 - one line per kind of type
    """Return a readable name of a type."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    mark = file_type(annotation)
    if mark is not None:
        return f"path of a {mark.noun}"
    if origin is typing.Annotated:
        return type_text(args[0])
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in args)
    if annotation is type(None):
        return "null"
    if annotation is Any:
        return "anything"
    if origin in (list, tuple):
        items = [arg for arg in args if arg is not Ellipsis]
        return f"list of {type_text(items[0])}" if items else "list"
    if origin is dict:
        return f"mapping of {type_text(args[0])} to {type_text(args[1])}"
    if args:
        return " or ".join(dict.fromkeys(type_text(arg) for arg in args))
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "dict": "mapping"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def field_rows(model: type[BaseModel], described: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Yield one table row per field; `described` contains type and meaning for fields without a description."""
    for name, field in model.model_fields.items():
        kind, meaning = described.get(name, ("", ""))
        default = "required" if field.is_required() else default_text(field.get_default(call_default_factory=True))
        kind = kind.removesuffix(", optional") or type_text(full_annotation(field))
        cells = (f"`{field.alias or name}`", kind, default, field.description or meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def default_text(value: Any) -> str:
    """Return a default in YAML syntax, or an empty text if there is none to show."""
    if value is None or value is PydanticUndefined or value in ((), [], {}):
        return ""
    if isinstance(value, BaseModel):
        shown = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(shown)}`" if shown else ""
    try:
        return f"`{json.dumps(value)}`"
    except TypeError:
        return f"`{value}`"


def table(model: type[BaseModel], described: dict[str, tuple[str, str]] | None = None) -> str:
    """Return the fields of `model` as a Markdown table."""
    if not model.model_fields:
        return "No parameters.\n"
    return "\n".join(
        ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *field_rows(model, described or {}), ""]
    )


def workflow() -> str:
    """Return all sections of a workflow file."""
    from fasthep_parsl.workflow.model import Workflow

    parts = []
    for model in models_of(Workflow):
        parts += [f"## {model.__name__}", "", markdown(inspect.getdoc(model) or ""), "", table(model)]
    return "\n".join(parts)


# --- kinds ------------------------------------------------------------------------------------------------


def inspected() -> str:
    """Return the keys of ``inspect --json``."""
    from fasthep_parsl.sources.inspected import InspectedFile

    parts = []
    for model in models_of(InspectedFile):
        parts += [f"### {model.__name__}", "", markdown(inspect.getdoc(model) or ""), "", table(model)]
    return "\n".join(parts)


def ops() -> str:
    """Return every registered op with its documentation and parameters."""
    from fasthep_parsl import registry

    parts = []
    for name in registry.names("ops"):
        loaded = registry.load("ops", name)
        op = getattr(loaded, "op", loaded)
        gives = ["a stream"] * op.stream + ([f"product `{op.product}`"] if op.product else [])
        facts = f"Runs once per {op.scope}. Yields {' and '.join(gives)}."
        parts += [f"## {name}", "", first_part(op.call), "", facts, "", table(op.params, parameters_of(op.call))]
        for model in models_of(op.params)[1:]:
            parts += [f"**{model.__name__}**: {markdown(inspect.getdoc(model) or '')}", "", table(model)]
    return "\n".join(parts) or EMPTY


def first_part(call: Callable[..., Any]) -> str:
    """Return the docstring up to its first section, as Markdown."""
    text = inspect.getdoc(call) or ""
    return markdown(re.split(r"\n\n?[A-Z][a-z]+\n-{3,}", text)[0])


def markdown(text: str) -> str:
    """Return text with the double backticks of reST replaced by those of Markdown."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def parameters_of(call: Callable[..., Any]) -> dict[str, tuple[str, str]]:
    """Return name → (type, meaning) from the section ``Parameters`` of a numpydoc docstring."""
    found = re.search(r"Parameters\n-+\n(.*?)(?=\n\n?[A-Z][a-z]+\n-{3,}|\Z)", inspect.getdoc(call) or "", re.DOTALL)
    entries = re.findall(r"^(\w[\w, ]*) : (.+)\n((?:    .*\n?|\n)*)", found.group(1) if found else "", re.MULTILINE)
    return {
        name: (markdown(kind), markdown(" ".join(meaning.split())))
        for names, kind, meaning in entries
        for name in re.split(r",\s*", names)
    }


def kinds() -> str:
    """Return the names of all plug-ins except ops, by kind."""
    from fasthep_parsl import registry

    parts = []
    for group in registry.GROUPS:
        if group != "ops":
            names = ", ".join(f"`{name}`" for name in registry.names(group)) or "none built in"
            parts.append(f"- {group}: {names}")
    return "\n".join(parts) + "\n"


def sites() -> str:
    """Return the site profiles that come with the package, with links to their pages."""
    from fasthep_parsl.sites import load_site

    rows = []
    for path in sorted((Path(__file__).parents[1] / "site_profiles").glob("[!_]*.yaml")):
        meta = load_site(path).meta
        status = f"{meta.status} on {meta.verified_on}" if meta.verified_on else meta.status
        rows.append(f"| [{path.stem}]({path.stem}.md) | {meta.description} | {status} | <{meta.docs_url}> |")
    head = ["| name | description | status | the site's documents |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def plug_ins(group: str) -> str:
    """Return every plug-in of a kind with its fields."""
    from fasthep_parsl import registry

    parts = []
    for name in registry.names(group):
        model = registry.load(group, name)
        parts += [f"## {name}", "", markdown(inspect.getdoc(model) or ""), "", table(model)]
    return "\n".join(parts) or EMPTY


def modifiers() -> str:
    """Return every modifier with its fields."""
    from fasthep_parsl import registry

    parts = []
    for name in registry.names("modifiers"):
        model = registry.load("modifiers", name)
        needs = "Needs a GPU." if model.needs_gpu else ""
        parts += [f"## {name}", "", markdown(inspect.getdoc(model) or ""), "", needs, "", table(model)]
    return "\n".join(parts)


def functions() -> str:
    """Return the functions of expressions, grouped by their effect on the structure of a field."""
    from fasthep_parsl.ops.expressions.functions import FUNCTIONS

    titles = {
        "elementwise": "Value by value (structure of the arguments)",
        "random": "Random numbers (one value per event, or for each entry of `objects`)",
        "reduce": "Reduction of the innermost lists (one value for each list)",
        "number": "Length of the outer list (one value per event)",
        "object": "One entry of the outer list (missing if it does not exist)",
        "index": "Positions in the outer list",
        "positions": "Positions in the innermost lists",
        "shorter": "Outer lists with another length",
        "sorted": "Innermost lists in another order",
    }
    parts = []
    for rule, title in titles.items():
        usages = [f"`{item.usage}`" for item in FUNCTIONS.values() if item.rule == rule]
        parts += [f"**{title}**", "", ", ".join(usages), ""]
    return "\n".join(parts)


def errors() -> str:
    """Return the table of codes, and a section with cause and examples of each code."""
    from fasthep_parsl.error_codes import CODES

    rows = [f"| [{code}](#{code.lower()}) | {entry.meaning} |" for code, entry in CODES.items()]
    parts = ["| code | meaning |", "| --- | --- |", *rows, ""]
    for code, entry in CODES.items():
        parts += [
            f"({code.lower()})=",
            f"## {code}",
            "",
            f"{entry.meaning[0].upper()}{entry.meaning[1:]}.",
            "",
            entry.cause,
        ]
        parts += [f"See [](/{entry.page}.md).", ""]
        for title, text in (("Wrong", entry.wrong), ("Right", entry.right)):
            language = "shell" if entry.form == "command" else "yaml"
            parts += [f"{title}:", "", f"```{language}", text.rstrip("\n"), "```", ""] if text else []
    return "\n".join(parts)


def events() -> str:
    """Return the kinds, fields and states of the event log."""
    import event_page

    return event_page.events()


def python() -> str:
    """Return autodoc directives for the Python interface, or a note if the driver is missing."""
    try:
        importlib.import_module("fasthep_parsl.driver")
    except ImportError as error:
        return f"The driver is not part of this build ({type(error).__name__}).\n"
    names = (
        "autofunction:: run",
        "autofunction:: open_run",
        "autofunction:: compile_plan",
        "autoclass:: RunOutcome",
        "autoclass:: Run\n   :members:\n   :inherited-members:",
    )
    directives = "\n\n".join(f".. {name.replace(':: ', ':: fasthep_parsl.driver.')}" for name in names)
    return f"```{{eval-rst}}\n{directives}\n```\n"


def notebook() -> str:
    """Return the cells of the notebook of the tutorials with what they show."""
    return notebook_page(Path(__file__).parent / "_build" / "notebook")


def layers() -> str:
    """Return the layers of the package, the highest first, as import-linter checks them."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [[f"`{name}`" for name in re.split(r"\s*[|:]\s*", row)] for row in rows]
    return "\n".join(["```{list-table}", *(f"* - {', '.join(row)}" for row in names), "```", ""])


# --- command line -----------------------------------------------------------------------------------------


def command_line() -> str:
    """Return the help of every command, or a note if the command line is missing."""
    try:
        module = importlib.import_module("fasthep_parsl.cli.app")
        import typer

        command = typer.main.get_command(module.app)
    except (ImportError, AttributeError) as error:
        return f"The command line is not part of this build ({type(error).__name__}).\n"
    return "\n".join(_command("fasthep-parsl", command))


def _command(path: str, command: Any) -> Iterator[str]:
    import click

    context = click.Context(command, info_name=path, **command.context_settings)
    yield f"## {path}\n"
    yield f"```text\n{_help(command, context)}\n```\n"
    for name, sub in sorted(getattr(command, "commands", {}).items()):
        if not sub.hidden:
            yield from _command(f"{path} {name}", sub)


def _help(command: Any, context: Any) -> str:
    """Return plain help text, without the boxes of rich."""
    import click

    formatter = click.HelpFormatter(width=100)
    click.Command.format_usage(command, context, formatter)
    formatter.write_paragraph()
    formatter.write_text(re.sub(r"\[/?[a-z ]+\]", "", inspect.cleandoc(command.help or "")))
    parameters = command.get_params(context)
    arguments = [(f"{{{p.name}}}", p.help or "") for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name != "argument"]
    records = [record for parameter in options if (record := parameter.get_help_record(context))]
    for title, rows in (("Arguments", arguments), ("Options", records)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
    command.format_epilog(context, formatter)
    return formatter.getvalue().rstrip()
