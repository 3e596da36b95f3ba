"""Base class of environments: the fields that all kinds have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.workflow.values import References, Texts

_ALIASES_ON, _ALIASES_OFF = "shopt -s expand_aliases", "shopt -u expand_aliases"


class EnvironmentModel(BaseModel):
    """Base class of environments. Frozen; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setup: Texts = Field(
        (),
        description="shell lines that set up software on a node, before this environment: `module load …`, "
        "`source /cvmfs/…/setup.sh`, `cmsenv`; workers keep their variables",
    )
    allow: References = Field(
        (), description="packages whose versions may differ between workers and driver, `[numpy]`"
    )

    @classmethod
    def located(cls, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG003 - for subclasses
        """Return the parameters for the plan. Override it to complete relative paths.

        Parameters
        ----------
        params : mapping
            The parameters as the user wrote them.
        folder : Path
            Folder of the workflow file.
        """
        return dict(params)

    def check(self) -> None:
        """Look for mistakes that can be seen when a plan is made. Override it if there can be any.

        Raises
        ------
        ConfigError
            The environment cannot be provided as it is described.
        """

    @property
    def setup_lines(self) -> tuple[str, ...]:
        """`setup`, for the beginning of the shell lines of `worker_setup`.

        ``cmsenv`` and similar commands are aliases, which bash expands in scripts only if this is switched on. It is
        switched off after these lines: a site may have an alias for ``rm``.
        """
        return (_ALIASES_ON, *self.setup, _ALIASES_OFF) if self.setup else ()
