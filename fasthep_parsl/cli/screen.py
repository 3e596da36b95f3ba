"""The console that commands print on."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from fasthep_parsl.cli.ending import harmless, to_nowhere


class Screen(Console):
    """A console that takes text as it is, and falls silent when nobody can read it any more.

    What names and messages hold is neither markup nor emoji, and it never moves the cursor.

    Parameters
    ----------
    stderr : bool
        Whether it prints on stderr.
    quiet : bool
        Whether it prints nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments without characters that a terminal would obey."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Go on without output: the reader (``| head``, ``| less``) has gone."""
        self.quiet = True
        to_nowhere(self.file)

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:  # for instance a log file on a full disk
            self._buffer.clear()
            self.quiet = True
