"""The commands ``sites`` with their arguments, options and help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_parsl.cli.help_examples import epilog
from fasthep_parsl.cli.shared_options import SiteName

sites_app = typer.Typer(
    help="List, show, check and create site profiles.", no_args_is_help=True, epilog=epilog("sites")
)


@sites_app.command("list", epilog=epilog("sites list"))
def sites_list() -> None:
    """List the site profiles."""
    from fasthep_parsl.cli.sites import show_list

    show_list()


@sites_app.command("show", epilog=epilog("sites show"))
def sites_show(
    name: SiteName,
    resolved: Annotated[bool, typer.Option("--resolved", help="Merge in the profiles that it extends.")] = False,
    origin: Annotated[
        bool, typer.Option("--origin", help="Print each value with the file and line that set it.")
    ] = False,
) -> None:
    """Print a site profile."""
    from fasthep_parsl.cli.sites import show_site

    if resolved and origin:
        raise typer.BadParameter("--resolved and --origin exclude each other: use one of them")
    show_site(name, resolved=resolved, origin=origin)


@sites_app.command("check", epilog=epilog("sites check"))
def sites_check(
    name: SiteName,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a value, e.g. strategy.account=m1.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also query the batch system and run one task on each queue.")
    ] = False,
    scripts: Annotated[bool, typer.Option("--scripts", help="Print the job script of each queue.")] = False,
    outdir: Annotated[
        Path, typer.Option("--outdir", "-o", help="Parent folder of run directories, for --live.")
    ] = Path(),
    wait: Annotated[str, typer.Option(metavar="TIME", help="Time limit for the tasks of --live.")] = "10m",
) -> None:
    """Check a site profile: its keys, limits and job scripts. Contacts the batch system only with --live.

    Exit codes: 0 no problem found, 2 the profile is wrong or incomplete, 4 the site refused.
    """
    from fasthep_parsl.cli.sites import check_site
    from fasthep_parsl.resources.units import UnitError, parse_duration

    try:
        seconds = parse_duration(wait)
    except UnitError as error:
        raise typer.BadParameter(f"--wait: {error}") from None
    code = check_site(name, settings or [], live=live, scripts=scripts, outdir=outdir, wait=seconds)
    raise typer.Exit(code)


@sites_app.command("schema", epilog=epilog("sites schema"))
def sites_schema() -> None:
    """Print the JSON Schema of site profiles."""
    from fasthep_parsl.cli.console import emit_schema
    from fasthep_parsl.sites import SiteFile

    emit_schema(SiteFile)


@sites_app.command("init", epilog=epilog("sites init"))
def sites_init(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the new site. Without a name, the profile is printed."),
    ] = None,
    outdir: Annotated[
        Path | None, typer.Option("--outdir", "-o", help="Output folder; default: the folder of your own sites.")
    ] = None,
) -> None:
    """Write a commented profile for this machine with the queues and limits that its batch system reports."""
    from fasthep_parsl.cli.sites import draft_site

    draft_site(name, outdir)
