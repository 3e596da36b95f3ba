"""What is known about a code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["workflow", "profile", "command"]
"""What an example is: a part of a workflow, a part of a site profile, or a command line."""

SITE_OF_DOCUMENTATION = "https://fasthep-parsl.readthedocs.io/en/latest"


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What is known about a code.

    Attributes
    ----------
    meaning : str
        What it means, in half a sentence.
    cause : str
        The usual cause, and what to do.
    page : str
        Page of the documentation, without its suffix: ``how-to/add-a-site``.
    wrong, right : str
        A small example with the mistake, and without it; empty if a few lines cannot show it.
    form : {"workflow", "profile", "command"}
        What the examples are.
    """

    meaning: str
    cause: str
    page: str
    wrong: str = ""
    right: str = ""
    form: Form = "workflow"

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"{SITE_OF_DOCUMENTATION}/{self.page}.html"
