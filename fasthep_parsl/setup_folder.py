"""Files and secrets of the worker setups of a run: their folders in the run directory, and how to write them.

Environments and credentials write them when a run starts. Workers that see the run directory use them in place. Other
blocks transfer them to their nodes. Secrets and large files are removed when the run ends.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fasthep_parsl.atomic import write_private
from fasthep_parsl.errors import SiteError

FILES, SECRETS = "setup", "secrets"
"""Names of the two folders in the run directory."""
FILES_VARIABLE, SECRETS_VARIABLE = "FASTHEP_PARSL_FILES", "FASTHEP_PARSL_SECRETS"
"""Environment variables of workers: the same two folders, as their node sees them."""
LARGE = 1_000_000
"""Size of a file that is removed when its run ends, bytes. Archives of environments are larger; scripts are kept."""
RESERVED = re.compile(
    r"(node\.sh|plan\.json|code|certificates|log|workers|secrets|(block|client|server|log_config)\..*)"
)
"""Names that blocks use themselves in the folder to which files are transferred."""
SetupProgress = Callable[[str, int, int], None]
"""Shows the progress of a preparation: see `SetupFolder.report`."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_PRIVATE = 0o600


def setup_variables(run_dir: str) -> dict[str, str]:
    """Return the variables of workers that see the run directory."""
    return {FILES_VARIABLE: f"{run_dir}/{FILES}", SECRETS_VARIABLE: f"{run_dir}/{SECRETS}"}


def is_allowed(name: str) -> bool:
    """Return whether a file or secret can have this name."""
    return bool(_NAME.fullmatch(name)) and not RESERVED.fullmatch(name)


class SetupFolder:
    """The files and secrets of one run.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    progress : callable, optional
        Called by `report`.
    """

    def __init__(self, run_dir: Path, progress: SetupProgress | None = None) -> None:
        self._files = run_dir / FILES
        self._secrets = run_dir / SECRETS
        self._progress = progress

    def report(self, text: str, done: int = 0, total: int = 0) -> None:
        """Tell the user how far a long preparation is. Call it as often as you like, from one thread.

        Parameters
        ----------
        text : str
            What is done, such as ``packing the environment``. Another text is another step. An empty one: all is done.
        done, total : int
            The finished part and the whole, in any unit; 0 if the whole is not known.
        """
        if self._progress is not None:
            self._progress(text, done, total)

    def file(self, name: str) -> Path:
        """Return the path of a file. Write it there, or link it to a file that workers see."""
        self._files.mkdir(parents=True, exist_ok=True)
        return self._files / name

    def write_secret(self, name: str, content: bytes) -> Path:
        """Write a secret and return its path. No other user can read it, at any time; an earlier one is replaced at once."""
        self._secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secrets.chmod(0o700)
        path = self._secrets / name
        write_private(path, content, newer_than=self.secret_versions().get(name, 0))
        return path

    def secret_versions(self) -> dict[str, int]:
        """Return the version of each secret: a number that grows whenever the secret is written, 0 to 2⁶³."""
        found = {}
        with suppress(FileNotFoundError):
            for item in os.scandir(self._secrets):
                with suppress(FileNotFoundError):  # replaced at this moment: the next call sees it
                    if not item.name.startswith("."):
                        found[item.name] = item.stat().st_mtime_ns
        return found

    def check(self, files: Iterable[str], secret_names: Iterable[str]) -> None:
        """Check that all files and secrets exist, and that no other user can read the secrets.

        Raises
        ------
        SiteError
            One is missing, or other users can read it.
        """
        for path in (*(self._files / name for name in files), *(self._secrets / name for name in secret_names)):
            if not path.is_file():
                raise SiteError(f"worker setup: `{path.name}` was not prepared: there is no `{path}`")
            if path.parent == self._secrets and stat.S_IMODE(path.stat().st_mode) != _PRIVATE:
                raise SiteError(f"worker setup: `{path}` does not have mode 0600: use `write_secret`")

    def clear(self) -> None:
        """Remove all secrets, and files of more than 1 MB. If the run is resumed, they are prepared again."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._secrets)
        for path in self._files.glob("*"):
            if path.is_file() and path.lstat().st_size > LARGE:
                path.unlink()
