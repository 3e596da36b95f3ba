"""``ops`` and ``schema``: what there is."""

from __future__ import annotations

import textwrap

from rich.table import Table
from rich.text import Text

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.cli.ending import emit_json
from fasthep_parsl.cli.screen import Screen
from fasthep_parsl.cli.words import about, parameters
from fasthep_parsl.interfaces import Op
from fasthep_parsl.workflow.model import Workflow

WIDTH = 100
"""Widest text; longer lines are hard to read."""


def list_ops() -> None:
    """Print all installed ops with one line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("op", "yields", "what it does"):
        table.add_column(column, no_wrap=column != "what it does")
    for name in registry.names("ops"):
        op = OpTable().get(name)
        table.add_row(name, _yields(op), Text(" ".join(about(op)[:1])))
    Screen().print(table)


def show_op(name: str) -> None:
    """Print what an op does and takes.

    Raises
    ------
    ConfigError
        There is no such op.
    """
    op = OpTable().get(name)
    screen = Screen()
    width = min(screen.width, WIDTH)
    lines = [Text.assemble((name, "bold"), f"  yields {_yields(op)}")]
    for paragraph in about(op):
        lines += [Text(line) for line in ("", *textwrap.wrap(paragraph, width))]
    lines.append(Text())
    for item in parameters(op):
        tail = "required" if item.required else f"default {item.default}" if item.default else ""
        head = textwrap.wrap(f"{item.kind}{', ' if tail else ''}{tail}", width - 4, break_on_hyphens=False)
        lines.append(Text(item.name, style="bold"))
        lines += [Text(f"    {line}", style="cyan") for line in head]
        lines += [Text(f"    {line}") for line in textwrap.wrap(item.meaning, width - 4, break_on_hyphens=False)]
    for line in lines:
        screen.print(line, soft_wrap=True, highlight=False)


def _yields(op: Op) -> str:
    return " + ".join(part for part in ("stream" if op.stream else "", op.product or "") if part)


def print_schema() -> None:
    """Print the JSON Schema of workflow files."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Workflow.model_json_schema(by_alias=True)}
    emit_json(schema)
