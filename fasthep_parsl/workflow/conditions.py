"""Conditions: the datasets to which a stage, a field or a variation applies."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Protocol

from pydantic import Field

from fasthep_parsl.plan import EventType
from fasthep_parsl.workflow.values import Model, Texts


class DatasetFacts(Protocol):
    """What conditions look at."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def eventtype(self) -> str:
        """``data`` or ``mc``."""

    @property
    def era(self) -> str:
        """Period of data taking; empty if none is given."""


class AppliesTo(Model):
    """Datasets to which something applies: those that fulfil all conditions."""

    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    datasets: Texts = Field((), description="names of datasets, or patterns such as `ttbar_*`")
    eras: Texts = Field((), description="values of `era`")

    def selects(self, dataset: DatasetFacts) -> bool:
        """Return whether it applies to a dataset."""
        return (
            (self.eventtype is None or dataset.eventtype == self.eventtype)
            and (not self.datasets or any(fnmatchcase(dataset.name, pattern) for pattern in self.datasets))
            and (not self.eras or dataset.era in self.eras)
        )


def chosen(condition: AppliesTo | None, datasets: Iterable[Any]) -> tuple[str, ...] | None:
    """Return the names of the datasets to which something applies; None for all."""
    if condition is None:
        return None
    datasets = list(datasets)
    names = tuple(dataset.name for dataset in datasets if condition.selects(dataset))
    return None if len(names) == len(datasets) else names
