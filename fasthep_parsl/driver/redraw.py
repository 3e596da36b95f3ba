"""Draw the plots of a run again, with other styles, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fasthep_parsl.compiler.styles import plan_pictures
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.plan import PlanPicture
from fasthep_parsl.plan.styles import PictureFormat
from fasthep_parsl.report.run_report import plan_of
from fasthep_parsl.results import PlotRecipe, ResultRecipe, recipe_of, write_plots
from fasthep_parsl.results.normalisation import Normalisation
from fasthep_parsl.results.stored import stored_results
from fasthep_parsl.workflow.loader import load_workflow
from fasthep_parsl.workflow.yamldoc import refuse


@dataclass(frozen=True)
class Redrawn:
    """Plots that were drawn again.

    Attributes
    ----------
    files : list of Path
        The files.
    styles : Path or None
        Workflow file with the styles; None: those of the plan of the run.
    """

    files: list[Path]
    styles: Path | None


def redraw(
    run_dir: Path,
    *,
    workflow: Path | None = None,
    stages: Sequence[str] = (),
    formats: Sequence[PictureFormat] = (),
    outdir: Path | None = None,
) -> Redrawn:
    """Draw the histograms and cutflows of a run from its files in ``results/``.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    workflow : Path, optional
        File with `styles` and `render`; default: that of the run as it is now, else the styles of the run.
    stages : sequence of str
        Stages to draw; default: all.
    formats : sequence of str
        ``png``, ``pdf``, ``svg``; default: those of the styles.
    outdir : Path, optional
        Folder of the files; default: ``plots`` in the run directory.

    Raises
    ------
    ConfigError
        The folder is not a run directory, a style has a mistake, or a stage has no plot.
    """
    plan = plan_of(run_dir)
    given = workflow or (Path(plan.workflow) if Path(plan.workflow).is_file() else None)
    pictures = pictures_of(given) if given is not None else plan.pictures
    if formats:
        chosen = tuple(dict.fromkeys(formats))
        everything = pictures if any(not item.stage for item in pictures) else (*pictures, PlanPicture(stage=""))
        pictures = tuple(item.model_copy(update={"formats": chosen}) for item in everything)
    results = stored_results(run_dir, plan)
    known = {stage for stage, _ in results}
    if not known:
        raise ConfigError(Problem("E164", f"`{run_dir}` has no histogram and no cutflow in results/"))
    for stage in stages:
        if stage not in known:
            hint = suggest(stage, known, what="stages with a plot")
            raise ConfigError(Problem("E116", f"stage `{stage}` has no plot", hint=hint, name=stage))
    shown = {key: result for key, result in results.items() if not stages or key[0] in stages}
    recipe: ResultRecipe = replace(recipe_of(plan, Normalisation()), pictures=pictures)
    drawn: PlotRecipe = recipe.plots(results)
    return Redrawn(write_plots(shown, outdir or run_dir / "plots", drawn), given)


def pictures_of(workflow: Path) -> tuple[PlanPicture, ...]:
    """Return the styles of a workflow file.

    Raises
    ------
    ConfigError
        The file has a mistake.
    """
    found = plan_pictures(load_workflow(workflow))
    if found.problems:
        raise refuse(*found.problems)
    return found.value
