"""The container of a pool: choose what starts it, and refuse what that cannot start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.compiler.visibility import sees_run_directory
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import ContainerRefusal
from fasthep_parsl.plan import PlanContainer
from fasthep_parsl.sites import is_batch
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import problem

IMAGE = ("environment", "image")
PULLED = {
    "apptainer": ("docker", "oras", "library", "https", "http"),
    "singularity": ("docker", "oras", "library", "https", "http"),
    "podman": ("docker",),
    "docker": ("docker",),
}
"""Runtime → schemes of images that it pulls. Those of apptainer are in its user guide, "apptainer exec"."""


def resolved(container: PlanContainer, strategy: object) -> PlanContainer:
    """Return the container of a pool with what starts it: ``site`` only if the strategy does."""
    if container.runtime == "site" and not getattr(strategy, "starts_containers", False):
        return container.model_copy(update={"runtime": "apptainer"})
    return container


def container_of(
    container: PlanContainer | None, execution: Execution, options: Mapping[str, Any] | None
) -> PlanContainer | None:
    """Return the container of a pool whose strategy has `options`; None if these are wrong."""
    if container is None or options is None:
        return container
    return resolved(container, registry.load("strategies", execution.strategy.kind)(**options))


def check_container(
    loaded: LoadedWorkflow, container: PlanContainer | None, options: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Return a problem for each reason for which the workers cannot have this container, or none.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    container : PlanContainer or None
        The container of its environment.
    options : mapping
        Queue → valid options of the strategy.
    """
    execution = loaded.workflow.execution
    if execution.backend.kind == "local":
        return []
    found: dict[ContainerRefusal, None] = {}
    for own in options.values():
        strategy = registry.load("strategies", execution.strategy.kind)(**own)
        chosen = container and resolved(container, strategy)
        if is_batch(execution.strategy.kind):
            refusal = strategy.refuse_container(chosen)
            found |= {refusal: None} if refusal else {}
        if chosen is not None and chosen.runtime != "site":
            found |= dict.fromkeys(_cannot_start(chosen, execution))
    return [problem(loaded.document, ("execution", *item.key), "E106", item.message, item.hint) for item in found]


def _cannot_start(container: PlanContainer, execution: Execution) -> Iterable[ContainerRefusal]:
    """Return what a program on a node cannot start."""
    image, runtime = container.image, container.runtime
    scheme = image.partition("://")[0] if "://" in image else ""
    if scheme and scheme not in PULLED[runtime]:
        able = ", ".join(f"`{name}://…`" for name in PULLED[runtime])
        yield ContainerRefusal(
            IMAGE, f"`{runtime}` cannot start `{image}`", f"it starts images of {able}{_paths(runtime)}"
        )
    elif not scheme and not _paths(runtime):
        hint = "push the image to a registry and write `docker://…`, or use `runtime: apptainer`"
        yield ContainerRefusal(IMAGE, f"`{runtime}` cannot start `{image}`, a path", hint)
    elif not scheme and not sees_run_directory(execution) and not _is_seen(image, execution):
        hint = "use `docker://…`; if nodes have its folder, add that to `execution.shared_folders`"
        yield ContainerRefusal(IMAGE, f"nodes do not see `{image}`, on this machine", hint)


def _paths(runtime: str) -> str:
    return " and files" if runtime in {"apptainer", "singularity"} else ""


def _is_seen(path: str, execution: Execution) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in execution.shared_folders)
