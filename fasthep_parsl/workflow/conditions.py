"""Conditions: the datasets to which a stage, a field or a variation applies."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Protocol, get_args

from pydantic import BeforeValidator, Field

from fasthep_parsl.plan import EventType
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import Line, Model, empty_list


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


def _some(value: object) -> object:
    single = isinstance(value, str | int | float) and not isinstance(value, bool)
    return [value] if single else empty_list(value)


Some = Annotated[
    tuple[Line, ...], BeforeValidator(_some, json_schema_input_type=str | float | list[str | float] | None)
]
"""Names, or a single one. Numbers become text: ``eras: 2018``."""


class AppliesTo(Model):
    """Datasets to which something applies: those that fulfil all conditions."""

    eventtype: EventType | None = Field(None, description="`data` or `mc`")
    datasets: Some = Field((), description="names of datasets, or patterns such as `ttbar_*`")
    eras: Some = Field((), description="values of `era`")

    def selects(self, dataset: DatasetFacts) -> bool:
        """Return whether it applies to a dataset."""
        return (
            (self.eventtype is None or dataset.eventtype == self.eventtype)
            and (not self.datasets or any(fnmatchcase(dataset.name, pattern) for pattern in self.datasets))
            and (not self.eras or dataset.era in self.eras)
        )


def _condition(value: object) -> object:
    """Return None for a condition without content, and the mapping that ``mc`` or ``data`` stands for."""
    if not isinstance(value, str):
        return None if value == {} else value
    if value in get_args(EventType):
        return {"eventtype": value}
    raise wrong_value(
        f"expected a mapping (`key: value`), `data` or `mc`, got text `{value}`",
        f"`applies_to: {{datasets: [{value}]}}` if this is a dataset, `{{eras: [{value}]}}` if it is an era",
    )


Condition = Annotated[
    AppliesTo | None, BeforeValidator(_condition, json_schema_input_type=AppliesTo | EventType | None)
]
"""The value of ``applies_to``, a mapping or an event type; None: all datasets."""


def chosen(condition: AppliesTo | None, datasets: Iterable[Any]) -> tuple[str, ...] | None:
    """Return the names of the datasets to which something applies; None for all."""
    if condition is None:
        return None
    datasets = list(datasets)
    names = tuple(dataset.name for dataset in datasets if condition.selects(dataset))
    return None if len(names) == len(datasets) else names
