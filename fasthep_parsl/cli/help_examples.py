"""The examples at the end of every help text. Tests parse all of them, and run those that start nothing."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "demo-data demo/data",
        "plan analysis.yaml",
        "run analysis.yaml --site local --outdir run",
        "explain E102",
    ),
    "run": (
        "run analysis.yaml --limit 1000 --outdir try",
        "run analysis.yaml --site lxplus --outdir run_2024",
        "run analysis.yaml --outdir run_2024 --resume",
        "run analysis.yaml --backend local --set execution.pools.default.workers=4",
    ),
    "plan": (
        "plan analysis.yaml",
        "plan analysis.yaml --site lxplus --scripts job_scripts",
        "plan analysis.yaml --explain pools.default.memory",
        "plan analysis.yaml --json > plan.json",
    ),
    "plot": (
        "plot run",
        "plot run --stage DimuonMass --format pdf",
        "plot run --workflow styles.yaml --outdir paper",
    ),
    "report": ("report run", "report run --embed --output for_the_group.html"),
    "cleanup": ("cleanup run", "cleanup run --force"),
    "credentials": (
        "credentials",
        "credentials analysis.yaml --site lxplus",
        "credentials --json",
    ),
    "demo-data": ("demo-data demo/data", "demo-data demo/data --events 5000 --seed 2", "demo-data demo/agc --like agc"),
    "examples": ("examples", "examples my_analysis"),
    "explain": ("explain E102", "explain 102 147"),
    "init": ("init", "init data/*.root", "init data/dy_000.root --output second.yaml"),
    "inspect": (
        "inspect data/dy_000.root",
        "inspect data/dy_000.root --search Muon",
        "inspect data/dy_000.root --json",
    ),
    "schema": ("schema > workflow.schema.json", "sites schema > site.schema.json"),
    "ops": ("ops list", "ops show hep.hist"),
    "ops list": ("ops list", "ops list | grep select"),
    "ops show": ("ops show hep.hist", "ops show hep.select_objects"),
    "sites": ("sites list", "sites show lxplus", "sites check local"),
    "sites list": ("sites list", "sites list | grep htcondor"),
    "sites show": ("sites show lxplus", "sites show lxplus --resolved", "sites show ./mine.yaml --origin"),
    "sites check": (
        "sites check local",
        "sites check perlmutter_cpu --set strategy.account=m1234 --scripts",
        "sites check ./mine.yaml --live --wait 30m",
    ),
    "sites schema": ("sites schema", "sites schema > site.schema.json"),
    "sites init": ("sites init", "sites init mine", "sites init mine --outdir site_profiles"),
    "env": ("env pack analysis.yaml --site lxplus", "env show", "env verify environment.tar.zst"),
    "env pack": (
        "env pack analysis.yaml --site lxplus",
        "env pack analysis.yaml --output environment.tar.zst",
        "env pack analysis.yaml --layout pixi-pack --output environment.tar",
    ),
    "env show": ("env show", "env show analysis.yaml --site lxplus", "env show environment.tar.zst"),
    "env verify": ("env verify environment.tar.zst", "env verify 3f2a91c04b7e"),
}
"""Command (empty for the program itself) → its examples, without the name of the program."""


def epilog(command: str) -> str:
    """Return the examples of a command as click prints them: with their line breaks."""
    lines = [f"  fasthep-parsl {example}" for example in EXAMPLES[command]]
    return "\n".join(["\b", "Examples:", *lines])
