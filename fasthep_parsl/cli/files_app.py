"""The commands that begin with an input file, ``inspect``, with their arguments, options and help texts."""

from __future__ import annotations

from typing import Annotated

import typer

files_app = typer.Typer()

TreeOption = Annotated[
    str | None,
    typer.Option("--tree", metavar="NAME", help="Tree; default: the only one, `Events`, or the largest."),
]


@files_app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="ROOT or Parquet file, path or URL.", show_default=False)],
    tree: TreeOption = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="List the branches with TEXT in name or title.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all branches as JSON.")] = False,
) -> None:
    """Show what an input file contains: trees, branches, types, sizes. Reads headers only.

    Exit codes: 0 the file was read, 1 no branch has the TEXT of --search, 2 the file or its tree cannot be read.
    """
    from fasthep_parsl.cli.inspect_file import show_file

    raise typer.Exit(show_file(file, tree, search, as_json=as_json))
