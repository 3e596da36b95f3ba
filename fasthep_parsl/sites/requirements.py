"""Requirements of a site: settings that its users must fill in."""

from __future__ import annotations

from functools import reduce

from fasthep_parsl.errors import Advice, Problem
from fasthep_parsl.sites.model import Requirement, Site
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, merge, show_path, walk

_IMAGES = (("strategy", "image"), ("strategy", "container_image"), ("strategy", "singularity_image"))
"""Options of strategies for the image of jobs. Environment ``container`` names it instead."""


def missing_requirements(site: Site, document: Document, at: KeyPath = ("execution",)) -> list[Problem]:
    """Return a problem for each required setting that is not set.

    Settings of the site's environment are not required if the user has chosen another kind of environment.

    Parameters
    ----------
    site : Site
        The site, with its requirements.
    document : Document
        A workflow with all layers merged, or an execution layer alone.
    at : tuple
        Key path of the content of ``execution:`` in `document`.
    """
    asked = [item for item in site.requires if not _is_void(site, item, document, at)]
    return [_problem(site, item, at) for item in asked if _missing(document, (*at, *item.path))]


def _is_void(site: Site, item: Requirement, document: Document, at: KeyPath) -> bool:
    """Return whether the user's environment needs no setting of the site's environment, or brings the image itself."""
    if item.path[:1] == ("environment",):
        return _environment(document, at) != _environment(_up_to(site, item), ())
    return item.path in _IMAGES and _environment(document, at) == "container"


def _up_to(site: Site, item: Requirement) -> Document:
    """Return the layers of a site up to the one that requires the setting. Higher ones are the user's."""
    file = item.where.file if item.where else ""
    found = [
        n
        for n, layer in enumerate(site.layers)
        if any(node.where and node.where.file == file for _, node in walk(layer.root))
    ]
    return reduce(merge, site.layers[: found[-1] + 1]) if found else site.execution_layer


def _environment(document: Document, at: KeyPath) -> str:
    """Return the kind of the environment; empty if there is none."""
    node = document.get((*at, "environment", "kind")) or document.get((*at, "environment"))
    return str(node.value).strip() if node is not None and isinstance(node.value, str) else ""


def _missing(document: Document, path: KeyPath) -> bool:
    node = document.get(path)
    if node is None or node.value is None:
        return True
    return isinstance(node.value, str | list | dict) and not (
        node.value.strip() if isinstance(node.value, str) else node.value
    )


def _problem(site: Site, item: Requirement, at: KeyPath) -> Problem:
    key = show_path(item.path)
    own = "…"
    for step in reversed(item.path):
        own = f"{{{step}: {own}}}"
    rest = f"or a site file of your own with `extends: {site.name}` and `{own[1:-1]}`"
    hint = Advice("{0}; `{settings}`, {1}", (f"{key}=…",), (item.help, rest))
    return Problem("E146", f"site `{site.name}` needs `{key}`", show_path((*at, *item.path)), item.where, hint)
