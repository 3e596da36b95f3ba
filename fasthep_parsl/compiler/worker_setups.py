"""Worker setup of a run: combine what its environment and its credentials need. Checked before anything starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import PlanCredential, PlanEnvironment
from fasthep_parsl.setup_folder import is_allowed
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.kind_reference import Kind
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import KeyPath, problem, show_path


def combined_setup(loaded: LoadedWorkflow, unused: Collection[int] = frozenset()) -> tuple[WorkerSetup, list[Problem]]:
    """Return what workers need: the environment's part first, then those of the credentials in their order.

    Also return the mistakes in them. Unknown kinds are reported elsewhere.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    unused : collection of int
        Positions of credentials that the run does not use.
    """
    found = WorkerSetup()
    problems: list[Problem] = []
    owners: dict[str, KeyPath] = {}
    for path, group, kind in _kinds(loaded, unused):
        if kind.kind not in registry.names(group):
            continue
        model = registry.load(group, kind.kind)
        try:
            setup: WorkerSetup = model.model_validate(kind.params).worker_setup()
        except ValidationError as error:
            problems += problems_of(error, model, loaded.document, path)
            continue
        problems += _conflicts(loaded, setup, found, path, owners)
        problems += _undelivered(loaded, setup, path)
        owners |= dict.fromkeys((*setup.files, *setup.secrets), path)
        found = found.then(setup)
    return found, problems


def planned_kinds(
    execution: Execution, folder: Path, unused: Collection[int] = frozenset()
) -> tuple[PlanEnvironment | None, tuple[PlanCredential, ...]]:
    """Return the environment and the credentials of a run as plain data, for the plan.

    Parameters
    ----------
    execution : Execution
        The section of the workflow.
    folder : Path
        Folder of the workflow file. Relative paths begin there.
    unused : collection of int
        Positions of credentials that the run does not use.
    """
    environment, planned = execution.environment, None
    if environment is not None:
        planned = PlanEnvironment(kind=environment.kind, params=located(environment, "environments", folder))
    used = [item for number, item in enumerate(execution.credentials) if number not in unused]
    params = [located(item, "credentials", folder) for item in used]
    return planned, tuple(PlanCredential(kind=item.kind, params=p) for item, p in zip(used, params, strict=True))


def located(item: Kind, group: str, folder: Path) -> dict[str, Any]:
    """Return the parameters of an environment or a credential with complete paths, which begin at `folder`."""
    if item.kind not in registry.names(group):
        return item.params
    complete = getattr(registry.load(group, item.kind), "located", None)
    return complete(item.params, folder) if complete else item.params


def environment_problems(loaded: LoadedWorkflow) -> list[Problem]:
    """Return the mistakes that the environment finds, such as files that are missing. Backend ``local`` does not use it."""
    execution, key = loaded.workflow.execution, ("execution", "environment")
    planned, _ = planned_kinds(execution, loaded.path.absolute().parent)
    if planned is None or execution.backend.kind == "local" or planned.kind not in registry.names("environments"):
        return []
    model = registry.load("environments", planned.kind)
    try:
        check = getattr(model.model_validate(planned.params), "check", None)
        if check is not None:
            check()
    except ValidationError:
        return []  # `combined_setup` reports it
    except ConfigError as error:
        return [problem(loaded.document, key, p.code, p.message, p.hint, name=p.name) for p in error.problems]
    return []


def _kinds(loaded: LoadedWorkflow, unused: Collection[int]) -> Iterator[tuple[KeyPath, str, Any]]:
    execution = loaded.workflow.execution
    if execution.environment is not None:
        yield ("execution", "environment"), "environments", execution.environment
    for number, credential in enumerate(execution.credentials):
        if number not in unused:
            yield ("execution", "credentials", number), "credentials", credential


def _undelivered(loaded: LoadedWorkflow, setup: WorkerSetup, path: KeyPath) -> list[Problem]:
    """Return a problem if the batch system cannot bring a credential to jobs."""
    execution = loaded.workflow.execution
    strategy = execution.strategy.kind
    if execution.backend.kind == "local" or strategy not in registry.names("strategies"):
        return []
    delivers = getattr(registry.load("strategies", strategy), "delivers", ())
    if all(item.kind in delivers for item in setup.batch_credentials):
        return []
    message = f"strategy `{strategy}` cannot bring this credential to its workers"
    return [problem(loaded.document, (*path, "carry"), "E106", message, "write `carry: files`, or remove `carry`")]


def _conflicts(
    loaded: LoadedWorkflow, setup: WorkerSetup, before: WorkerSetup, path: KeyPath, owners: dict[str, KeyPath]
) -> list[Problem]:
    """Return the mistakes in a setup: names of files, and conflicts with earlier setups."""
    problems = []
    names = (*setup.files, *setup.secrets)
    for name in names:
        if not is_allowed(name) or names.count(name) > 1:
            message = f"`{name}` cannot name a file for workers"
            hint = "use a plain file name that blocks do not use themselves, and use it once"
            problems.append(problem(loaded.document, path, "E106", message, hint))
        elif name in owners:
            message = f"another worker setup has a file `{name}`, too"
            hint = f"remove one; the other is `{show_path(owners[name])}`"
            problems.append(problem(loaded.document, path, "E106", message, hint))
    if setup.python and before.python and setup.python != before.python:
        message = f"workers cannot use Python `{setup.python}`: the environment chooses `{before.python}`"
        problems.append(problem(loaded.document, path, "E106", message, "let only the environment choose a Python"))
    if setup.container and before.container:
        message = f"workers cannot run in `{setup.container.image}`, too: the environment chooses a container"
        problems.append(problem(loaded.document, path, "E106", message, "let only the environment choose a container"))
    return problems
