"""Source ``root_tree``: events in ROOT files, as a TTree or an RNTuple, read by uproot."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import OpenInput
from fasthep_parsl.workflow.values import Line, Model


class Root(Model):
    """ROOT files; an entry of a TTree or an RNTuple is an event. Each file decides which of both it has."""

    fork_safe: ClassVar[bool] = True

    tree: Line = Field(description="name of the TTree or RNTuple, `folder/name;cycle`")

    def open(self, path: str) -> OpenInput:
        """Open a ROOT file and find the tree in it."""
        from fasthep_parsl.sources.root_file import open_tree

        return open_tree(path, self.tree)
