"""Run the steps of a segment on the events of one pass. A stream is dropped after its last use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.program import Program, StageCall


@dataclass
class PassResults:
    """Results of a pass. They count only if the whole pass succeeds.

    Attributes
    ----------
    products : dict
        Stage id → product, for the stages that apply to the dataset.
    streams : dict
        Stage id → its stream, with the columns to store.
    """

    products: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Events] = field(default_factory=dict)


class Steps:
    """The steps of a segment.

    Parameters
    ----------
    program : Program
        The plan with its code.
    segment : PlanSegment
        The segment.
    products : mapping
        Stage → file with its product, for parameters that are products.
    meter : Meter
        Measures the time.

    Attributes
    ----------
    all : list of StageCall
        The steps in their order.
    """

    def __init__(self, program: Program, segment: PlanSegment, products: Mapping[str, str], meter: Meter) -> None:
        self._program = program
        self._segment = segment
        self._products = products
        self._meter = meter
        self.all = program.steps(segment)
        last = {segment.input: 0}
        for number, step in enumerate(self.all):
            last[step.stage.input] = number
            if step.stage.stream:
                last[step.stage.id] = number
        self._ends: list[list[str]] = [[] for _ in self.all]
        for name, number in last.items():
            if name not in segment.stores:
                self._ends[number].append(name)

    def run(self, events: Events, dataset: int, partition: str) -> PassResults:
        """Run all steps on one pass.

        Parameters
        ----------
        events : Events
            The events.
        dataset : int
            Number of their dataset.
        partition : str
            Name of their first partition.

        Raises
        ------
        StageError
            An op raised an error.
        """
        found = PassResults()
        streams: dict[str, Events] = {self._segment.input: events}
        for number, step in enumerate(self.all):
            self._step(step, streams, found, dataset, partition)
            for name in self._ends[number]:
                del streams[name]
        for stage, columns in self._segment.stores.items():
            found.streams[stage] = self._stored(streams[stage], stage, columns, dataset)
            self._program.modifiers.after_stage(stage)
        trail.at("")
        return found

    def _step(
        self, step: StageCall, streams: dict[str, Events], found: PassResults, dataset: int, partition: str
    ) -> None:
        """Run a step. If it does not apply to the dataset, its stream is that of its input."""
        stage = step.stage
        view, stream = self._program.views.of(stage, dataset), streams[stage.input]
        if not view.runs:
            if stage.stream:
                streams[stage.id] = view.skipped(stream)
            return
        given = view.given(stream)
        after, product = self._program.run(step, given, dataset, partition, self._products, self._meter)
        if after is not None:
            streams[stage.id] = view.after(stream, after)
        if stage.product:
            found.products[stage.id] = product

    def _stored(self, stream: Events, stage: str, columns: tuple[str, ...], dataset: int) -> Events:
        """Return the columns to store. A stage that did not run has not written all of them."""
        if not self._program.views.of(self._program.plan.stage(stage), dataset).varies:
            return stream.filter(slice(0, 0)).select(())
        stored = stream.select(name for name in columns if name in stream)
        return Events({name: stored[name] for name in stored}, len(stored), stored.owners)
