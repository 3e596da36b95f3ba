"""The command line: parses and prints, decides nothing. Heavy modules are imported inside commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fasthep_parsl import __version__
from fasthep_parsl.cli import site_commands
from fasthep_parsl.errors import ConfigError, FastHepError

if TYPE_CHECKING:
    from fasthep_parsl.driver.rundir import Mode

app = typer.Typer(
    name="fasthep-parsl",
    help="Run FAST-HEP workflows on Parsl: the same analysis on a laptop, a batch system or a remote facility.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help pages take 0.15 s
    context_settings={"help_option_names": ["-h", "--help"]},
)
ops_app = typer.Typer(help="What stages can do.", no_args_is_help=True)
app.add_typer(ops_app, name="ops")
app.add_typer(site_commands.app, name="sites")

Workflow = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="The workflow file (YAML).", show_default=False)]
Site = Annotated[str, typer.Option("--site", "-s", help="Name of a site profile, or its file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, e.g. execution.pools.default.workers=4."),
]
ChunkSize = Annotated[
    int | None, typer.Option("--chunk-size", min=1, help="Most events per partition; default: chosen for memory.")
]


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


@app.command()
def run(
    workflow: Workflow,
    site: Site = "local",
    outdir: Annotated[Path, typer.Option("--outdir", "-o", help="The run directory.")] = Path("run"),
    settings: Settings = None,
    chunk_size: ChunkSize = None,
    backend: Annotated[str | None, typer.Option(help="Who executes: parsl, or local (in process).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --outdir.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Do what is missing of the run in --outdir.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw histograms.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Run a workflow and write histograms, cutflows and pictures.

    Exit codes: 0 complete, 1 failed, 2 bad input (nothing was started), 3 partial (some events are missing; see
    missing.json), 4 the site refused, or jobs were left in its queue, 130 interrupted.
    """
    from fasthep_parsl.cli.running import run_workflow

    if force and resume:
        raise typer.BadParameter("--force starts again, --resume goes on: give one of them")
    overrides = [*(settings or []), *([f"execution.backend={backend}"] if backend else [])]
    mode: Mode = "force" if force else "resume" if resume else "new"
    code = run_workflow(workflow, site, outdir, overrides, chunk_size, mode, plots=plots, quiet=quiet)
    raise typer.Exit(code)


@app.command()
def plan(
    workflow: Workflow,
    site: Site = "local",
    settings: Settings = None,
    chunk_size: ChunkSize = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Print a Mermaid graph.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="Say who set a value, e.g. pools.gpu.memory.")
    ] = None,
    scripts: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what would be submitted; FOLDER must be new or empty.")
    ] = None,
) -> None:
    """Show what `run` would do. Starts no process."""
    from fasthep_parsl.cli.planning import show_plan

    asked = [name for name, value in (("--json", as_json), ("--graph", graph), ("--explain", explain)) if value]
    if len(asked) > 1 or (explain and scripts):
        asked += ["--scripts"] if scripts else []
        raise typer.BadParameter(f"{' and '.join(asked)}: give one of them")
    show_plan(
        workflow, site, settings or [], chunk_size, as_json=as_json, graph=graph, explain=explain, scripts=scripts
    )


@app.command()
def cleanup(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The run directory.", show_default=False)],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also if the run was started on another machine: you know that it has ended."),
    ] = False,
) -> None:
    """Remove jobs that a run has left in the queue of a batch system.

    Exit codes: 0 nothing is left, 2 no run or one that still goes on, 4 the batch system did not remove them.
    """
    from fasthep_parsl.cli.cleaning import clean

    raise typer.Exit(clean(run_dir, force=force))


@app.command("demo-data")
def demo_data(
    directory: Annotated[Path, typer.Argument(metavar="FOLDER", help="For the files.", show_default=False)],
    events: Annotated[int, typer.Option("--events", "-n", help="Number of events of all datasets.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Same seed, same events.")] = 1,
) -> None:
    """Write a NanoAOD-like set of files: data, Z → ll, tt̄ and dibosons, with a Z peak."""
    from fasthep_parsl.demo import write_demo_data

    paths = write_demo_data(directory, events, seed=seed)
    size = sum(path.stat().st_size for path in paths)
    typer.echo(f"{events:,} events in {len(paths)} files ({size / 1e6:.1f} MB) in {directory}")


@ops_app.command("list")
def ops_list() -> None:
    """List the installed operations."""
    from fasthep_parsl.cli.listing import list_ops

    list_ops()


@ops_app.command("show")
def ops_show(name: Annotated[str, typer.Argument(metavar="OP", help="Name of an operation, e.g. hep.hist.")]) -> None:
    """Show the parameters of an operation."""
    from fasthep_parsl.cli.listing import show_op

    show_op(name)


@app.command()
def schema() -> None:
    """Print the JSON Schema of workflow files, for editors; `sites schema` prints that of site profiles."""
    from fasthep_parsl.cli.listing import print_schema

    print_schema()


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no mistake of a user shows a traceback.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind the program's name; default: the command line.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="fasthep-parsl")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except Exception as error:  # noqa: BLE001 - the last place where it can be said in words
        return _explain(error)
    return 0


def _explain(error: Exception) -> int:
    """Say what went wrong; return the exit code."""
    from fasthep_parsl.cli.screen import Screen

    screen = Screen(stderr=True)
    if isinstance(error, ConfigError):
        from fasthep_parsl.cli.problems import render

        render(error.problems, screen)
        return error.exit_code
    known = isinstance(error, FastHepError | OSError)
    screen.print(f"error: {error}" if known else _bug(error), soft_wrap=True)
    return error.exit_code if isinstance(error, FastHepError) else 1


def _bug(error: Exception) -> str:
    """Write down a surprise and say where."""
    import tempfile
    import traceback

    text = f"fasthep-parsl {__version__}, Python {sys.version}\n{sys.argv}\n\n" + "".join(
        traceback.format_exception(error)
    )
    with tempfile.NamedTemporaryFile("wb", prefix="fasthep-parsl-bug-", suffix=".txt", delete=False) as file:
        file.write(text.encode(errors="backslashreplace"))
    first = str(error).strip().split("\n")[0][:200]
    return (
        f"error: {type(error).__name__}: {first}\n"
        f"This is a bug in fasthep-parsl, not a mistake of yours. Please send {file.name} with your workflow to\n"
        "https://github.com/FAST-HEP/fasthep-parsl/issues"
    )


def main() -> None:
    """Run the command line and end the process."""
    from fasthep_parsl.cli.ending import leave, prepare_streams
    from fasthep_parsl.cli.startup import leave_out_current_folder

    leave_out_current_folder()
    prepare_streams()
    leave(invoke())
