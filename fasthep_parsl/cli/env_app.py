"""The commands ``env`` with their arguments, options and help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_parsl.cli.help_examples import epilog
from fasthep_parsl.cli.shared_options import Settings, SiteOption, WorkflowFile

env_app = typer.Typer(help="Pack, show and verify the software of workers.", no_args_is_help=True, epilog=epilog("env"))


@env_app.command("pack", epilog=epilog("env pack"))
def env_pack(
    workflow: WorkflowFile,
    site: SiteOption = "local",
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write it to FILE.")
    ] = None,
    layout: Annotated[
        str,
        typer.Option(metavar="LAYOUT", help="prefix, for runs; or pixi-pack, a file for pixi-unpack (needs --output)."),
    ] = "prefix",
    force: Annotated[bool, typer.Option("--force", help="Pack it again, and replace --output.")] = False,
) -> None:
    """Pack the environment of a workflow ahead of time. Runs use the archive until the environment changes.

    Exit codes: 0 packed, 2 bad input or nothing to pack, 4 the environment cannot be packed.
    """
    from fasthep_parsl.cli.env import pack

    if layout not in {"prefix", "pixi-pack"}:
        raise typer.BadParameter("--layout is `prefix` or `pixi-pack`")
    pack(workflow, site, settings or [], output, layout=layout, force=force)


@env_app.command("show", epilog=epilog("env show"))
def env_show(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORKFLOW|ARCHIVE|HASH]",
            help="A workflow, an archive or an environment hash; default: all archives.",
        ),
    ] = None,
    site: SiteOption = "local",
    settings: Settings = None,
) -> None:
    """Show what is in a packed environment, or list all of them. Packs nothing."""
    from fasthep_parsl.cli.env import show

    show(target, site, settings or [])


@env_app.command("verify", epilog=epilog("env verify"))
def env_verify(
    target: Annotated[
        str, typer.Argument(metavar="ARCHIVE|HASH", help="An archive or an environment hash.", show_default=False)
    ],
) -> None:
    """Check that a packed environment is complete, works in another folder, and has the versions of this one.

    Exit codes: 0 it does, 1 it does not, 2 no such archive.
    """
    from fasthep_parsl.cli.env import verify

    raise typer.Exit(verify(target))
