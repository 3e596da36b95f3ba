"""The console that commands print on."""

from __future__ import annotations

from rich.console import Console

from fasthep_parsl.cli.ending import to_nowhere


class Screen(Console):
    """A console that falls silent when nobody can read it any more."""

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
