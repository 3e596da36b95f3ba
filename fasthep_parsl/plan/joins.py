"""Sources that are joined to the events of another one: other trees of the same file, or of files beside it."""

from __future__ import annotations

import os.path
import posixpath
import re
from typing import Literal, Self

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written

Mismatch = Literal["error", "missing"]
"""What happens to events without a partner: the file is refused, or their values are missing."""


class PlanJoin(Frozen):
    """A source whose columns are added to the events of the primary source."""

    name: str = Field(description="its name in `sources`")
    kind: str
    params: Written = Field(default_factory=dict, description="fields of the source, as its kind defines them")
    prefix: str = Field(description="its columns are `prefix.name`, and `name` if no other source has it")
    files: str = Field("", description="where its file is, seen from that of the primary source; empty: the same file")
    by: dict[str, str] = Field(
        default_factory=dict,
        description="key branch of the primary source → that of this one; empty: entry by entry",
    )
    on_mismatch: Mismatch = "error"
    datasets: tuple[str, ...] | None = Field(None, description="datasets that have it; None: all")

    def of(self, dataset: str) -> Self | None:
        """Return the source as it is joined to a dataset; None if it is not."""
        if self.datasets is not None and dataset not in self.datasets:
            return None
        files = self.files.replace("{dataset}", dataset)
        return self if files == self.files else self.model_copy(update={"files": files})

    def path_beside(self, path: str) -> str:
        """Return the file of this source that belongs to the file `path` of the primary one."""
        return place_beside(path, self.files) if self.files else path


def place_beside(path: str, template: str) -> str:
    """Return the path or URL that a template names for a file.

    Parameters
    ----------
    path : str
        Absolute path or URL of the file.
    template : str
        An absolute path, a URL, or a path relative to the folder of the file. ``{name}`` is the name of the file,
        ``{stem}`` the same without its last suffix, ``{folder}`` the name of its folder.
    """
    folder, _, name = path.partition("?")[0].rpartition("/")
    parts = {"name": name, "stem": name.rpartition(".")[0] or name, "folder": folder.rpartition("/")[2]}
    text = re.sub(r"\{(name|stem|folder)\}", lambda found: parts[found[1]], template)
    if "://" in text:
        return text
    if "://" not in path or text.startswith("/"):
        return os.path.normpath(os.path.join(folder, text))  # noqa: PTH118 - a path that need not exist here
    server, _, place = folder.partition("://")
    host, slash, rest = place.partition("/")
    return f"{server}://{host}{posixpath.normpath(f'{slash}{rest}/{text}')}"
