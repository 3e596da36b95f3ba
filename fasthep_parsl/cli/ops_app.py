"""The commands ``ops`` with their arguments, options and help texts."""

from __future__ import annotations

from typing import Annotated

import typer

from fasthep_parsl.cli.completion import op_names
from fasthep_parsl.cli.help_examples import epilog

ops_app = typer.Typer(help="List and describe the operations of stages.", no_args_is_help=True, epilog=epilog("ops"))


@ops_app.command("list", epilog=epilog("ops list"))
def ops_list() -> None:
    """List the installed operations."""
    from fasthep_parsl.cli.ops import list_ops

    list_ops()


@ops_app.command("show", epilog=epilog("ops show"))
def ops_show(
    name: Annotated[
        str, typer.Argument(metavar="OP", help="Name of an operation, e.g. hep.hist.", autocompletion=op_names)
    ],
) -> None:
    """Describe an operation and its parameters."""
    from fasthep_parsl.cli.ops import show_op

    show_op(name)
