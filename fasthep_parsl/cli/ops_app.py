"""The commands ``ops`` with their arguments, options and help texts."""

from __future__ import annotations

from typing import Annotated

import typer

ops_app = typer.Typer(help="List and describe the operations of stages.", no_args_is_help=True)


@ops_app.command("list")
def ops_list() -> None:
    """List the installed operations."""
    from fasthep_parsl.cli.ops import list_ops

    list_ops()


@ops_app.command("show")
def ops_show(name: Annotated[str, typer.Argument(metavar="OP", help="Name of an operation, e.g. hep.hist.")]) -> None:
    """Describe an operation and its parameters."""
    from fasthep_parsl.cli.ops import show_op

    show_op(name)
