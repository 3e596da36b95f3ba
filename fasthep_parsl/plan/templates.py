"""Templates in a plan: which histograms of which datasets become what in the files of fit tools."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen

TemplateFormat = Literal["cabinetry", "combine", "pyhf"]
"""A fit tool."""
_VARIATION = re.compile(r"[_.-]?\{variation\}")
_LEADING = re.compile(r"^\{variation\}[_.-]?")


class PlanChannel(Frozen):
    """A histogram in a region: one distribution of the fit."""

    name: str = Field(description="name in the fit: the region, the histogram, or both")
    stage: str = Field(description="stage of the workflow with the histogram")
    region: str = ""


class PlanSample(Frozen):
    """Datasets that are one process of the fit."""

    name: str
    datasets: tuple[str, ...]
    signal: bool = False


class PlanTerm(Frozen):
    """A sample in pseudodata."""

    sample: str
    variation: str = Field("", description="empty: nominal")
    weight: float = 1.0


class PlanRate(Frozen):
    """An uncertainty of the normalisation of samples."""

    name: str
    size: float = Field(description="relative: 0.03 is ±3 %")
    samples: tuple[str, ...]


class PlanTemplates(Frozen):
    """Templates for fit tools."""

    channels: tuple[PlanChannel, ...]
    samples: tuple[PlanSample, ...]
    data: tuple[str, ...] = Field((), description="datasets with data")
    data_name: str = "data"
    pseudodata: tuple[PlanTerm, ...] | None = Field(None, description="takes the place of data in the fit")
    pseudodata_name: str = "pseudodata"
    rates: tuple[PlanRate, ...] = ()
    formats: tuple[TemplateFormat, ...] = ()
    names: str = "{region}_{sample}_{variation}"

    @property
    def observed(self) -> str:
        """Name of what is fitted; empty if there is none."""
        if self.pseudodata is not None:
            return self.pseudodata_name
        return self.data_name if self.data else ""

    @property
    def signals(self) -> tuple[str, ...]:
        """Samples whose normalisation is the parameter of interest."""
        return tuple(sample.name for sample in self.samples if sample.signal)

    def name(self, channel: PlanChannel, sample: str, variation: str = "") -> str:
        """Return the name of a template."""
        pattern = self.names if variation else nominal_names(self.names)
        return pattern.format(region=channel.name, histogram=channel.stage, sample=sample, variation=variation)

    def channel(self, name: str) -> PlanChannel:
        """Return the channel with this name."""
        return next(channel for channel in self.channels if channel.name == name)


def nominal_names(names: str) -> str:
    """Return the pattern of names of nominal templates: without the variation and its separator."""
    leading = _LEADING.sub("", names)
    return leading if leading != names else _VARIATION.sub("", names)


def variation_path(names: str, variation: str) -> str:
    """Return a variation with its separator, as it is in names."""
    found = _LEADING.search(names) or _VARIATION.search(names)
    return found.group().replace("{variation}", variation) if found else variation
