"""Pools: groups of workers that offer a label."""

from __future__ import annotations

from dataclasses import dataclass, field

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.names import collision_key
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.workflow.model import Execution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

DEFAULT = "default"
"""Pool of stages without labels; exists always."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A group of equal workers.

    Attributes
    ----------
    name : str
        Its name; becomes the label of the executor.
    workers : int or None
        Number of workers; None is `auto`, as many as fit.
    resource : Resource
        Quantities per worker.
    resource_class : str
        Name of the class that the quantities come from, empty if they stand in the pool.
    queue : str or None
        Queue of the site that it names; means nothing where workers are processes of this machine.
    workers_per_gpu : int
        Workers that see the same GPUs.
    """

    name: str
    workers: int | None = None
    resource: Resource = field(default_factory=Resource)
    resource_class: str = ""
    queue: str | None = None
    workers_per_gpu: int = 1

    def offers(self, label: str) -> bool:
        """Return whether `label` is its name or its resource class."""
        return label == self.name or (bool(label) and label == self.resource_class)


def build_pools(execution: Execution, document: Document | None = None) -> tuple[tuple[Pool, ...], tuple[Problem, ...]]:
    """Return the pools that a workflow and its site describe, and what is wrong with them.

    There is always a pool `default`: one core per worker, as many workers as fit, unless described otherwise.

    Parameters
    ----------
    execution : Execution
        Of the loaded workflow.
    document : Document, optional
        Places the problems.
    """
    pools: list[Pool] = []
    problems: list[Problem] = []
    folders: dict[str, str] = {}
    for name, spec in execution.pools.items():
        other = folders.setdefault(collision_key(name), name)
        if other != name:
            message = f"the pools `{other}` and `{name}` are one where files do not tell capital letters"
            hint = "their logs stand in folders of these names: change one"
            problems.append(problem(document, ("execution", "pools", name), "E106", message, hint, on="key"))
        resources = execution.resources.get(spec.resources) if isinstance(spec.resources, str) else spec.resources
        if resources and spec.workers_per_gpu > 1 and not resources.gpus:
            problems.append(_nothing_to_share(document, name))
        if isinstance(spec.resources, Resource):
            pools.append(Pool(name, spec.workers, spec.resources, "", spec.queue, spec.workers_per_gpu))
        elif spec.resources in execution.resources:
            resource = execution.resources[spec.resources]
            pools.append(Pool(name, spec.workers, resource, spec.resources, spec.queue, spec.workers_per_gpu))
        else:
            path: KeyPath = ("execution", "pools", name, "resources")
            hint = suggest(spec.resources, execution.resources, what="classes")
            if not execution.resources:
                hint = f"write `execution.resources.{spec.resources}: {{cpus: …, memory: …}}`, or quantities here"
            message = f"pool `{name}`: no resource class `{spec.resources}`"
            problems.append(problem(document, path, "E142", message, hint))
    if DEFAULT not in execution.pools:
        pools.insert(0, Pool(DEFAULT))
    return tuple(pools), tuple(problems)


def _nothing_to_share(document: Document | None, name: str) -> Problem:
    path: KeyPath = ("execution", "pools", name, "workers_per_gpu")
    message = f"pool `{name}`: its workers have no GPU to share"
    return problem(document, path, "E106", message, "ask for one per worker, `resources: {gpus: 1}`")
