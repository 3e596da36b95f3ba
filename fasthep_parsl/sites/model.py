"""A site profile as values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fasthep_parsl.errors import Location
from fasthep_parsl.workflow.model import Execution, Kind
from fasthep_parsl.workflow.values import Line, Model, Text, empty_mapping
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, merge


class SiteMeta(Model):
    """What people should know of a site."""

    description: Text = Field(description="one line")
    contact: Line | None = Field(None, description="whom to ask: a URL or an address")
    docs_url: Line | None = Field(None, description="the site's own documentation")
    status: Literal["verified", "documented", "unverified", "broken"] = Field(
        "unverified", description="whether it was seen to work"
    )
    verified_on: Line | None = Field(None, description="day when it last worked, `YYYY-MM-DD`")


class SiteFile(Execution):
    """A site profile: the content of ``execution:`` and what people should know.

    In values, ``${NAME}`` and ``${NAME:-default}`` are environment variables of whoever starts the run, ``$NAME`` and
    ``$${NAME}`` those of the node.
    """

    meta: SiteMeta | None = Field(None, description="what people should know of it")
    extends: Line | None = Field(None, description="name of the site, or of the base `_…`, that it changes")
    requires: Annotated[dict[str, Text], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict,
        description="what the user must fill in: key here → help, `strategy.account: the project to charge`",
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that a site asks its users to fill in.

    Attributes
    ----------
    path : tuple
        Key path below ``execution``: ``("strategy", "account")``.
    help : str
        What it is and where to find it.
    where : Location or None
        Where the profile asks for it.
    """

    path: KeyPath
    help: str
    where: Location | None = None


@dataclass(frozen=True)
class Site:
    """A site as found.

    Attributes
    ----------
    name : str
        Its name: that of the file without ``.yaml``.
    path : Path
        The file.
    meta : SiteMeta
        What people should know.
    strategy : Kind
        Who creates workers.
    layers : tuple of Document
        Execution layers for `load_workflow`, lowest first: the sites that it extends, then itself. Environment
        variables are not yet put in.
    requires : tuple of Requirement
        What must be set once all layers, the workflow's and the user's too, are merged.
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
