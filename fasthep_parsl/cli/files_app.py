"""The commands that begin with an input file, ``inspect`` and ``init``, with their arguments, options and help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_parsl.cli.help_examples import epilog

files_app = typer.Typer()

TreeOption = Annotated[
    str | None,
    typer.Option("--tree", metavar="NAME", help="Tree; default: the only one, `Events`, or the largest."),
]


@files_app.command(epilog=epilog("inspect"))
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


@files_app.command("init", epilog=epilog("init"))
def init(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...", help="Files, folders, patterns, URLs; none: demo data.", show_default=False
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The workflow file.")] = Path("analysis.yaml"),
    tree: TreeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the workflow file.")] = False,
) -> None:
    """Write a workflow for input files, with one cut and one histogram, that runs as it is.

    Files with equal names but for a number at the end are one dataset. Without files, demo data are written to the
    folder data.

    Exit codes: 0 written, 2 a file cannot be read, or the workflow file exists.
    """
    from fasthep_parsl.cli.init_workflow import init_workflow

    init_workflow(files or [], output, tree, force=force)
