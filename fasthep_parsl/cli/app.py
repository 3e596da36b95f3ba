"""The commands with their arguments, options and help texts. A command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

from fasthep_parsl.cli.completion import code_names, run_directories, stages_of_run
from fasthep_parsl.cli.env_app import env_app
from fasthep_parsl.cli.files_app import files_app
from fasthep_parsl.cli.help_examples import epilog
from fasthep_parsl.cli.ops_app import ops_app
from fasthep_parsl.cli.shared_options import ChunkSize, Limit, RunDirectoryArgument, Settings, SiteOption, WorkflowFile
from fasthep_parsl.cli.sites_app import sites_app
from fasthep_parsl.version import __version__

if TYPE_CHECKING:
    from fasthep_parsl.driver.run_directory import Mode

COMMANDS = (
    "init", "inspect", "plan", "run", "plot", "report", "explain", "ops", "examples", "demo-data",
    "sites", "credentials", "env", "cleanup", "schema",
)  # fmt: skip
"""In the order in which a new user needs them."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names of the commands as the help shows them."""
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


app = typer.Typer(
    name="fasthep-parsl",
    cls=_InOrder,
    help="Run FAST-HEP workflows on Parsl: the same analysis on a laptop, a batch system or a remote facility.",
    no_args_is_help=True,
    epilog=epilog(""),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help pages take 0.15 s
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(ops_app, name="ops")
app.add_typer(sites_app, name="sites")
app.add_typer(env_app, name="env")
app.add_typer(files_app)  # without a name: its commands are those of the program


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fasthep-parsl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


@app.command(epilog=epilog("run"))
def run(
    workflow: WorkflowFile,
    site: SiteOption = "local",
    outdir: Annotated[
        Path, typer.Option("--outdir", "-o", help="Run directory.", autocompletion=run_directories)
    ] = Path("run"),
    settings: Settings = None,
    chunk_size: ChunkSize = None,
    limit: Limit = None,
    backend: Annotated[
        str | None, typer.Option(help="Where tasks run: parsl (on workers) or local (in this process).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --outdir.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Complete the run in --outdir.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw the histograms.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, as `plan` does. Starts nothing.")] = False,
) -> None:
    """Run a workflow and write histograms, cutflows and plots.

    Exit codes: 0 complete, 1 failed, 2 bad input (nothing was started), 3 partial (some events are missing; see
    missing.json), 4 the site refused, or jobs were left in its queue, 130 interrupted.
    """
    if force and resume:
        raise typer.BadParameter("--force and --resume exclude each other: use one of them")
    overrides = [*(settings or []), *([f"execution.backend={backend}"] if backend else [])]
    if dry_run:
        given = [name for name, value in (("--force", force), ("--resume", resume), ("--quiet", quiet)) if value]
        if given:
            raise typer.BadParameter(f"--dry-run shows the plan and writes nothing: leave out {' and '.join(given)}")
        from fasthep_parsl.cli.plan import show_plan

        show_plan(workflow, site, overrides, chunk_size, limit)
        return
    from fasthep_parsl.cli.run import run_workflow

    mode: Mode = "force" if force else "resume" if resume else "new"
    code = run_workflow(workflow, site, outdir, overrides, chunk_size, mode, limit, plots=plots, quiet=quiet)
    raise typer.Exit(code)


@app.command(epilog=epilog("plan"))
def plan(
    workflow: WorkflowFile,
    site: SiteOption = "local",
    settings: Settings = None,
    chunk_size: ChunkSize = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Print the plan as a Mermaid graph.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="Show where a value was set, e.g. pools.gpu.memory.")
    ] = None,
    scripts: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the job scripts to FOLDER, which must be new or empty.")
    ] = None,
) -> None:
    """Show the plan. Starts nothing."""
    from fasthep_parsl.cli.plan import show_plan

    given = [name for name, value in (("--json", as_json), ("--graph", graph), ("--explain", explain)) if value]
    if len(given) > 1 or (explain and scripts):
        given += ["--scripts"] if scripts else []
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other: use one of them")
    show_plan(
        workflow,
        site,
        settings or [],
        chunk_size,
        limit,
        as_json=as_json,
        graph=graph,
        explain=explain,
        scripts=scripts,
    )


@app.command(epilog=epilog("plot"))
def plot(
    run_dir: RunDirectoryArgument,
    workflow: Annotated[
        Path | None,
        typer.Option("--workflow", "-w", metavar="FILE", help="File with `styles`; default: the workflow of the run."),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="Draw only this stage; can be repeated.", autocompletion=stages_of_run),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="png, pdf or svg; can be repeated. Default: those of the style."),
    ] = None,
    outdir: Annotated[
        Path | None, typer.Option("--outdir", "-o", help="Folder of the plots; default: plots in the run directory.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
) -> None:
    """Draw the plots of a run again with the styles of a workflow file. No event is read."""
    from fasthep_parsl.cli.plot import draw_again

    draw_again(run_dir, workflow=workflow, stages=stage or (), formats=formats or (), outdir=outdir, quiet=quiet)


@app.command(epilog=epilog("report"))
def report(
    run_dir: RunDirectoryArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; default: report.html in the run directory.")
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the plots into the page, to send it as one file.")
    ] = False,
) -> None:
    """Write the page about a run (report.html) again. Also while it runs, or after it was killed."""
    from fasthep_parsl.cli.report import report_run

    report_run(run_dir, output, embed=embed)


@app.command(epilog=epilog("cleanup"))
def cleanup(
    run_dir: RunDirectoryArgument,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also for a run started on another machine. Use only if that run has ended."),
    ] = False,
) -> None:
    """Remove the jobs that a run left in the queue.

    Exit codes: 0 no jobs are left, 2 not a run directory or the run is still active, 4 the batch system did not remove
    the jobs.
    """
    from fasthep_parsl.cli.run import clean

    raise typer.Exit(clean(run_dir, force=force))


@app.command(epilog=epilog("credentials"))
def credentials(
    workflow: Annotated[
        Path | None,
        typer.Argument(metavar="[WORKFLOW]", help="A workflow, for its own credentials and pools.", show_default=False),
    ] = None,
    site: SiteOption = "local",
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """Show your proxy and your token: whose they are, how long they live, whether they suffice for a site.

    Exit codes: 0 all that the site needs suffice, 2 bad input, 4 one is missing, expired or not sufficient.
    """
    from fasthep_parsl.cli.credentials import show_credentials

    raise typer.Exit(show_credentials(workflow, site, settings or [], as_json=as_json))


@app.command("demo-data", epilog=epilog("demo-data"))
def demo_data(
    directory: Annotated[Path, typer.Argument(metavar="FOLDER", help="Output folder.", show_default=False)],
    events: Annotated[int, typer.Option("--events", "-n", help="Number of events in all datasets together.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers. The same seed gives the same events.")] = 1,
    like: Annotated[
        Literal["dimuon", "agc"],
        typer.Option(help="dimuon: data, Z → ll, tt̄, dibosons. agc: samples of the Analysis Grand Challenge."),
    ] = "dimuon",
) -> None:
    """Write NanoAOD-like example files for an analysis, by default with a Z peak."""
    from fasthep_parsl.demo import write_demo_data

    paths = write_demo_data(directory, events, seed=seed, like=like)
    size = sum(path.stat().st_size for path in paths)
    typer.echo(f"{events:,} events in {len(paths)} files ({size / 1e6:.1f} MB) in {directory}")


@app.command(epilog=epilog("examples"))
def examples(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="Copy them to FOLDER/configs; default: only list them.", show_default=False
        ),
    ] = None,
) -> None:
    """List the example workflows, or copy them with the files that they need."""
    from fasthep_parsl.cli.example_workflows import copy_examples, list_examples

    if folder is None:
        list_examples()
    else:
        copy_examples(folder)


@app.command(epilog=epilog("explain"))
def explain(
    codes: Annotated[
        list[str],
        typer.Argument(
            metavar="CODE...", help="Codes that errors show, e.g. E102.", show_default=False, autocompletion=code_names
        ),
    ],
) -> None:
    """Explain the code of an error: what it means, its usual cause, what is wrong and what is right."""
    from fasthep_parsl.cli.codes import explain_codes

    explain_codes(codes)


@app.command(epilog=epilog("schema"))
def schema() -> None:
    """Print the JSON Schema of workflow files. For that of site profiles, use `sites schema`."""
    from fasthep_parsl.cli.console import emit_schema
    from fasthep_parsl.workflow.model import Workflow

    emit_schema(Workflow)
