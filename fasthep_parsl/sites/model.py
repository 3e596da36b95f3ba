"""The model of a site profile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fasthep_parsl.errors import Location
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.kind_reference import Kind
from fasthep_parsl.workflow.values import Line, Model, Text, empty_mapping
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, merge


class SiteMeta(Model):
    """Information about a site, for people."""

    description: Text = Field(description="one line")
    contact: Line | None = Field(None, description="URL or address for questions")
    docs_url: Line | None = Field(None, description="URL of the site's documentation")
    status: Literal["verified", "documented", "unverified", "broken"] = Field(
        "unverified", description="whether the profile has worked"
    )
    verified_on: Line | None = Field(None, description="date when it last worked, `YYYY-MM-DD`")


class SiteFile(Execution):
    """A site profile: the content of ``execution:``, and information for people.

    In values, ``${NAME}`` and ``${NAME:-default}`` are environment variables of the submit side. ``$NAME`` and
    ``$${NAME}`` are environment variables of the node.
    """

    meta: SiteMeta | None = Field(None, description="information about the site")
    extends: Line | None = Field(None, description="name of the site or base (`_…`) that it changes")
    requires: Annotated[dict[str, Text], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict,
        description="settings that the user must fill in: key → help, `strategy.account: the project to charge`",
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """A setting that the users of a site must fill in.

    Attributes
    ----------
    path : tuple
        Key path below ``execution``: ``("strategy", "account")``.
    help : str
        What it is, and where to find it.
    where : Location or None
        Place in the profile.
    """

    path: KeyPath
    help: str
    where: Location | None = None


@dataclass(frozen=True)
class Site:
    """A site.

    Attributes
    ----------
    name : str
        Its name: the name of the file without ``.yaml``.
    path : Path
        The file.
    meta : SiteMeta
        Information for people.
    strategy : Kind
        The strategy.
    layers : tuple of Document
        Execution layers for `load_workflow`, lowest first: the sites that it extends, then itself. Environment
        variables are not replaced yet.
    requires : tuple of Requirement
        Settings that must be set when all layers are merged, including those of the workflow and the user.
    """

    name: str
    path: Path
    meta: SiteMeta
    strategy: Kind
    layers: tuple[Document, ...]
    requires: tuple[Requirement, ...] = ()

    @property
    def execution_layer(self) -> Document:
        """All layers merged into one."""
        return reduce(merge, self.layers)
