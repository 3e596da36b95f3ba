"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_parsl.cli.completion import run_directories, site_names

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="Workflow file (YAML).", show_default=False)]
SiteOption = Annotated[
    str, typer.Option("--site", "-s", help="Name or file of a site profile.", autocompletion=site_names)
]
SiteName = Annotated[
    str,
    typer.Argument(
        metavar="SITE", help="Name or file of a site profile.", show_default=False, autocompletion=site_names
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, e.g. execution.pools.default.workers=4."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="Only the first N events of each dataset; every result says so."),
]
RunDirectoryArgument = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="Run directory.", show_default=False, autocompletion=run_directories)
]
ChunkSize = Annotated[
    int | None,
    typer.Option("--chunk-size", min=1, help="Maximum number of events per partition; default: limited by memory."),
]
