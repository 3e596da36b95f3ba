"""``ops``, ``sites`` and ``schema``: what there is."""

from __future__ import annotations

import inspect
import json

from rich.table import Table

from fasthep_parsl import registry
from fasthep_parsl.cli.ending import emit
from fasthep_parsl.cli.screen import Screen
from fasthep_parsl.sites import list_sites as found_sites
from fasthep_parsl.sites import load_site
from fasthep_parsl.worker.code import OpTable
from fasthep_parsl.workflow.model import Workflow


def list_ops() -> None:
    """Print all installed ops with one line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("op", "yields", "what it does"):
        table.add_column(column)
    for name in registry.names("ops"):
        op = OpTable().get(name)
        yields = " + ".join(part for part in ("stream" if op.stream else "", op.product or "") if part)
        table.add_row(name, yields, (inspect.getdoc(op.call) or "").split("\n")[0])
    Screen().print(table)


def show_op(name: str) -> None:
    """Print an op's documentation and parameters.

    Raises
    ------
    ConfigError
        There is no such op.
    """
    op = OpTable().get(name)
    console = Screen()
    console.print(name, style="bold", highlight=False)
    console.print(inspect.getdoc(op.call) or "", markup=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("parameter", "type", "default"):
        table.add_column(column)
    for key, field in op.params.model_fields.items():
        kind = getattr(field.annotation, "__name__", str(field.annotation)).replace("fasthep_parsl.ops.", "")
        table.add_row(key, kind, "required" if field.is_required() else repr(field.default))
    console.print(table)


def list_sites() -> None:
    """Print all sites that can be found."""
    table = Table(box=None, pad_edge=False)
    for column in ("site", "strategy", "status", "description"):
        table.add_column(column)
    for name in found_sites():
        site = load_site(name)
        table.add_row(name, site.strategy.kind, site.meta.status, site.meta.description)
    Screen().print(table)


def print_schema() -> None:
    """Print the JSON Schema of workflow files."""
    emit(json.dumps(Workflow.model_json_schema(by_alias=True), indent=1))
