"""What plots need besides the numbers: datasets, variations, styles and luminosity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.plan import Plan, PlanPicture, PlanVariation, PlotStyle


@dataclass(frozen=True)
class PlotRecipe:
    """How the results of a run are drawn.

    Attributes
    ----------
    datasets : sequence of DatasetInfo
        Datasets of the run, in the order of the plan.
    variations : sequence of PlanVariation
        Its systematic variations, with their groups.
    pictures : sequence of PlanPicture
        Styles of stages.
    luminosity : float or None
        Integrated luminosity of all eras, 1/pb; None if nothing is normalised.
    normalised : frozenset of str
        Stages whose results are normalised.
    extent : str
        Which events the results are of, if not of all; written on each plot.
    """

    datasets: Sequence[DatasetInfo] = ()
    variations: Sequence[PlanVariation] = ()
    pictures: Sequence[PlanPicture] = ()
    luminosity: float | None = None
    normalised: frozenset[str] = field(default_factory=frozenset)
    extent: str = ""

    def pictures_of(self, stage: str) -> list[PlanPicture]:
        """Return how the results of a stage are drawn: one or several times."""
        own = [picture for picture in self.pictures if picture.stage == stage]
        return own or [picture for picture in self.pictures if not picture.stage] or [PlanPicture(stage=stage)]

    def group(self, variation: str) -> str:
        """Return the group of a variation. Those of a histogram itself have one for ``x_up`` and ``x_down``."""
        for known in self.variations:
            if known.name == variation:
                return known.group
        low = variation.lower()
        for suffix in ("up", "down", "dn"):
            if low.endswith(suffix) and len(low) > len(suffix):
                return variation[: -len(suffix)].rstrip("_-. ")
        return variation


@dataclass(frozen=True)
class Drawing:
    """What one plot needs.

    Attributes
    ----------
    recipe : PlotRecipe
        That of the run.
    style : PlotStyle
        Its style.
    normalised : bool
        Whether its contents are normalised.
    region : str
        Region of its contents; empty if there are none.
    """

    recipe: PlotRecipe = field(default_factory=PlotRecipe)
    style: PlotStyle = field(default_factory=PlotStyle)
    normalised: bool = False
    region: str = ""


def total_luminosity(plan: Plan) -> float | None:
    """Return the integrated luminosity of a plan, the sum over eras, in 1/pb."""
    eras = {dataset.era: dataset.normalisation.luminosity for dataset in plan.datasets}
    values = {era: value for era, value in eras.items() if value is not None}
    if not values:
        return None
    return values.popitem()[1] if len(set(values.values())) == 1 and "" in values else sum(values.values())
