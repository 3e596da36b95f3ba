"""Requirements of a site: settings that its users must fill in."""

from __future__ import annotations

from fasthep_parsl.errors import Problem
from fasthep_parsl.sites.model import Requirement, Site
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, show_path


def missing_requirements(site: Site, document: Document, at: KeyPath = ("execution",)) -> list[Problem]:
    """Return a problem for each required setting that is not set.

    Parameters
    ----------
    site : Site
        The site, with its requirements.
    document : Document
        A workflow with all layers merged, or an execution layer alone.
    at : tuple
        Key path of the content of ``execution:`` in `document`.
    """
    return [_problem(site, item, at) for item in site.requires if _missing(document, (*at, *item.path))]


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
    hint = f"{item.help}; `--set {key}=…`, or a site file of your own with `extends: {site.name}` and `{own[1:-1]}`"
    return Problem("E146", f"site `{site.name}` needs `{key}`", show_path((*at, *item.path)), item.where, hint)
