"""The commands below ``sites``; heavy modules are imported inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Where workflows can run.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SITE", help="Name of a site, or its file.", show_default=False)]


@app.command("list")
def sites_list() -> None:
    """List the site profiles that can be found."""
    from fasthep_parsl.cli.sites import show_list

    show_list()


@app.command("show")
def sites_show(
    name: Name,
    resolved: Annotated[bool, typer.Option("--resolved", help="Merged with the profiles that it extends.")] = False,
    origin: Annotated[
        bool, typer.Option("--origin", help="Each value with the file and the line that set it.")
    ] = False,
) -> None:
    """Print a site profile."""
    from fasthep_parsl.cli.sites import show_site

    if resolved and origin:
        raise typer.BadParameter("--resolved and --origin: give one of them")
    show_site(name, resolved=resolved, origin=origin)


@app.command("check")
def sites_check(
    name: Name,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fill in a value, e.g. strategy.account=m1.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also ask the batch system, and run one task on each queue.")
    ] = False,
    scripts: Annotated[bool, typer.Option("--scripts", help="Print what would be submitted on each queue.")] = False,
    outdir: Annotated[
        Path, typer.Option("--outdir", "-o", help="Folder in which runs will have their directories, for --live.")
    ] = Path(),
    wait: Annotated[str, typer.Option(metavar="TIME", help="How long --live waits for its tasks.")] = "10m",
) -> None:
    """Check a site profile: keys, limits, what would be submitted. Asks no scheduler without --live.

    Exit codes: 0 all is well, 2 the profile is wrong or something must be filled in, 4 the site refused.
    """
    from fasthep_parsl.cli.sites import check_site
    from fasthep_parsl.resources.units import UnitError, parse_duration

    try:
        seconds = parse_duration(wait)
    except UnitError as error:
        raise typer.BadParameter(f"--wait: {error}") from None
    code = check_site(name, settings or [], live=live, scripts=scripts, outdir=outdir, wait=seconds)
    raise typer.Exit(code)


@app.command("schema")
def sites_schema() -> None:
    """Print the JSON Schema of site profiles, for editors."""
    from fasthep_parsl.cli.sites import print_schema

    print_schema()


@app.command("init")
def sites_init(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the new site; without one it is only printed.")
    ] = None,
    outdir: Annotated[
        Path | None, typer.Option("--outdir", "-o", help="Folder for the file; default: that of your own sites.")
    ] = None,
) -> None:
    """Write a commented profile for this machine, filled in with what its batch system says."""
    from fasthep_parsl.cli.drafting import draft_site

    draft_site(name, outdir)
