"""Pools: groups of equal workers, found by a label."""

from __future__ import annotations

from dataclasses import dataclass, field

from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.names import collision_key
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

DEFAULT = "default"
"""Pool of stages without labels. It always exists."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A group of equal workers.

    Attributes
    ----------
    name : str
        Its name, also the label of its Parsl executor.
    workers : int or None
        Number of workers; None (`auto`): as many as fit.
    resource : Resource
        Quantities per worker.
    resource_class : str
        Resource class of the quantities, empty if the pool has its own.
    queue : str or None
        Queue that it asks for; ignored if workers are processes of this machine.
    workers_per_gpu : int
        Number of workers that share the same GPUs.
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


def build_pools(execution: Execution, document: Document | None = None) -> Checked[tuple[Pool, ...]]:
    """Return the pools of a workflow and its site.

    There is always a pool `default`. If it is not described, it has one core per worker and as many workers as fit.

    Parameters
    ----------
    execution : Execution
        Section ``execution`` of the workflow.
    document : Document, optional
        The workflow, for the places of problems.
    """
    pools: list[Pool] = []
    problems: list[Problem] = []
    folders: dict[str, str] = {}
    for name, spec in execution.pools.items():
        other = folders.setdefault(collision_key(name), name)
        if other != name:
            message = f"pools `{other}` and `{name}` differ only in case or accents"
            hint = "their logs would share a folder on some file systems; rename one of them"
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
            hint_for_class = _class_hint(spec.resources, execution)
            message = f"pool `{name}`: unknown resource class `{spec.resources}`"
            problems.append(problem(document, path, "E142", message, hint_for_class, name=spec.resources))
    if DEFAULT not in execution.pools:
        pools.insert(0, Pool(DEFAULT))
    return Checked(tuple(pools), tuple(problems))


def _class_hint(name: str, execution: Execution) -> Hint:
    if not execution.resources:
        return f"add `execution.resources.{name}: {{cpus: …, memory: …}}`, or write the quantities here"
    return suggest(name, execution.resources, what="classes")


def _nothing_to_share(document: Document | None, name: str) -> Problem:
    path: KeyPath = ("execution", "pools", name, "workers_per_gpu")
    message = f"pool `{name}`: its workers have no GPU to share"
    return problem(document, path, "E106", message, "add `resources: {gpus: 1}`, or remove `workers_per_gpu`")
