"""E160–E174: run directories, output files, examples, demo data and first workflows."""

from __future__ import annotations

from fasthep_parsl.error_codes.meaning import ErrorCode

RUNS: dict[str, ErrorCode] = {
    "E160": ErrorCode(
        "the run directory already exists",
        "`--outdir` has a run or other files. Nothing is overwritten without being asked: `--resume` completes the run,"
        " `--force` replaces it, another `--outdir` keeps it.",
        "how-to/resume",
        "fasthep-parsl run analysis.yaml --outdir data",
        "fasthep-parsl run analysis.yaml --outdir run2",
        "command",
    ),
    "E161": ErrorCode(
        "the run directory cannot be written",
        "You may not write there, or the disk is full or read-only. Give another `--outdir`.",
        "reference/run-directory",
        "fasthep-parsl run analysis.yaml --outdir /proc/run",
        "fasthep-parsl run analysis.yaml --outdir run",
        "command",
    ),
    "E162": ErrorCode(
        "the run directory belongs to another plan",
        "The workflow, its files or its code were changed after the run started, so old and new results do not belong"
        " together. Undo the change, or start again with `--force` or another `--outdir`.",
        "how-to/resume",
    ),
    "E163": ErrorCode(
        "submit scripts cannot be written, or the site has none",
        "`--scripts` is for sites with a batch system, and its folder must be new or empty.",
        "how-to/batch-system",
        "fasthep-parsl plan analysis.yaml --site local --scripts scripts",
        "fasthep-parsl plan analysis.yaml --site local",
        "command",
    ),
    "E164": ErrorCode(
        "the run is still active, or the directory has no run",
        "Name the folder that `run --outdir` got. `cleanup` waits for nothing: interrupt the run first, with Ctrl-C.",
        "reference/run-directory",
        "fasthep-parsl cleanup data",
        "",
        "command",
    ),
    "E165": ErrorCode(
        "a site profile cannot be written",
        "A profile of this name exists, the name is not one, or the folder cannot be written.",
        "how-to/add-a-site",
        "fasthep-parsl sites init ../mine --outdir sites",
        "fasthep-parsl sites init mine --outdir sites",
        "command",
    ),
    "E166": ErrorCode(
        "the run directory is in use by another process",
        "Another `run` or `cleanup` works in this folder; the error names its machine and process. Wait for it, or give"
        " another `--outdir`.",
        "reference/run-directory",
    ),
    "E167": ErrorCode(
        "stages would write the same file, or existing files are in the way",
        "Two `hep.write` stages have the same `path`, or the folder has files of another run.",
        "reference/ops",
        "analysis:\n  stages:\n    - {id: A, op: hep.write, params: {path: skim, format: parquet}}\n"
        "    - {id: B, op: hep.write, params: {path: skim, format: parquet}}\n",
        "analysis:\n  stages:\n    - {id: A, op: hep.write, params: {path: skim_a, format: parquet}}\n"
        "    - {id: B, op: hep.write, params: {path: skim_b, format: parquet}}\n",
    ),
    "E168": ErrorCode(
        "examples cannot be copied: files are in the way, or the folder cannot be written",
        "`examples FOLDER` writes only to a new or empty `FOLDER/configs`, and not into a Python installation.",
        "tutorials/first-analysis",
        "fasthep-parsl examples analysis.yaml",
        "fasthep-parsl examples my_analysis",
        "command",
    ),
    "E170": ErrorCode(
        "demo data: a number is too small",
        "`--events` must be at least 1 for each dataset.",
        "reference/cli",
        "fasthep-parsl demo-data new --events 0",
        "fasthep-parsl demo-data new --events 100",
        "command",
    ),
    "E171": ErrorCode(
        "demo data: unknown dataset, or wrong shares",
        "Only Python code can name them: `write_demo_data(…, shares={…})`. Shares are numbers from 0 on.",
        "reference/cli",
    ),
    "E172": ErrorCode(
        "demo data: the directory has other files, or is not a readable directory",
        "Demo data are written only to a new folder, or replace demo data.",
        "reference/cli",
        "fasthep-parsl demo-data .",
        "fasthep-parsl demo-data new --events 100",
        "command",
    ),
    "E173": ErrorCode(
        "demo data: the directory cannot be written",
        "You may not write there, or the disk is full.",
        "reference/cli",
        "fasthep-parsl demo-data /proc/new",
        "fasthep-parsl demo-data new --events 100",
        "command",
    ),
    "E174": ErrorCode(
        "a first workflow: the file exists, or cannot be written",
        "`init` overwrites nothing. Name another file with `--output`, or replace it with `--force`.",
        "reference/cli",
        "fasthep-parsl init data/dy_000.root --output analysis.yaml",
        "fasthep-parsl init data/dy_000.root --output second.yaml",
        "command",
    ),
}
