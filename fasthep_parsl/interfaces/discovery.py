"""The contract of `sites init`: how it finds a batch system, and what it writes into the draft of a profile."""

from __future__ import annotations

from dataclasses import dataclass

from fasthep_parsl.interfaces.scheduler_commands import SchedulerCommands

SHARED_FILES = (
    "# Jobs use the environment from which the run is started, and see its run directory:",
    "environment: {kind: shared-prefix, prefix: current}",
    "shared_filesystem: true",
)
"""Lines of a profile for a site whose nodes see the user's files."""
SCRATCH = ("# scratch: $TMPDIR          # disk of a node, expanded there",)
"""Line of a profile for a site where jobs may need a scratch folder."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """How `sites init` finds a batch system, and what the draft of a profile contains for it.

    Attributes
    ----------
    programs : tuple of str
        The batch system is there if all these programs are on PATH. Include one that no other batch system has.
    commands : SchedulerCommands
        Commands with default options; they survey the nodes.
    base : str
        Profile that the draft extends; empty if there is none.
    strategy_lines : tuple of str
        YAML lines below ``strategy:``, indented by two blanks.
    profile_lines : tuple of str
        YAML lines of the profile: environment, file system, scratch folder.
    queues_hint : str
        How the user lists queues and nodes, where no survey does.
    """

    programs: tuple[str, ...]
    commands: SchedulerCommands
    base: str = ""
    strategy_lines: tuple[str, ...] = ()
    profile_lines: tuple[str, ...] = (*SHARED_FILES, *SCRATCH)
    queues_hint: str = "the site's documentation lists them"
