"""A search for secrets in everything that a run leaves behind or shows to other processes."""

from __future__ import annotations

import base64
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

LARGEST = 200_000_000  # bytes of a file that is read
JOBS_END = 60.0  # s
SCRATCH = re.compile(r"/execute/dir_\d+/")
"""In paths of files that HTCondor has brought to a job."""


def canaries(*files: Path) -> list[bytes]:
    """Return pieces of proxies and tokens that nothing else contains: as they are, in binary, and in base64."""
    found: list[bytes] = []
    for file in files:
        content = file.read_bytes()
        if key := re.search(rb"PRIVATE KEY-----\n(.*?)\n-----END", content, re.DOTALL):
            found += key[1].split(b"\n")[2:-1:6]
            found.append(base64.b64decode(key[1])[300:332])
        else:
            _, payload, signature = content.strip().split(b".")
            found += [signature[:40], signature[-40:], payload[-40:]]
    for text in tuple(found):
        found += [base64.b64encode(text[shift:])[4:-8] for shift in range(3)]
    assert all(len(text) > 20 for text in found)
    return found


def in_processes(secrets: Iterable[bytes]) -> list[str]:
    """Return where secrets are in environments and command lines of processes of this machine."""
    secrets, found = tuple(secrets), []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            with suppress(OSError):  # it has ended, or is another user's
                content = (process / name).read_bytes()
                if any(secret in content for secret in secrets):
                    found.append(f"{name} of {(process / 'comm').read_text().strip()} ({process.name})")
    return found


def in_files(secrets: Iterable[bytes], folders: Iterable[Path], *, since: float = 0.0) -> list[Path]:
    """Return the files that contain a secret.

    Parameters
    ----------
    secrets : iterable of bytes
        See `canaries`.
    folders : iterable of Path
        Where to look.
    since : float
        Only files that were changed after it, Unix time in s.
    """
    secrets = tuple(secrets)
    return [path for folder in folders for path in _regular(folder, since) if _contains(path, secrets)]


def _regular(folder: Path, since: float) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as items:
        for item in items:
            with suppress(OSError):
                if item.is_dir(follow_symlinks=False):
                    yield from _regular(Path(item), since)
                    continue
                facts = item.stat(follow_symlinks=False)
                if (
                    stat.S_ISREG(facts.st_mode)
                    and max(facts.st_mtime, facts.st_ctime) >= since
                    and facts.st_size < LARGEST
                ):
                    yield Path(item)


def _contains(path: Path, secrets: tuple[bytes, ...]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return any(secret in content for secret in secrets)


def _is_scratch(path: Path | str) -> bool:
    return bool(SCRATCH.search(str(path)))


class Watch:
    """Searches all the time while a run goes on, and everywhere when it has ended.

    Parameters
    ----------
    secrets : list of bytes
        See `canaries`.
    run_dir : Path
        The run directory. In its folder ``secrets``, and in the folders of HTCondor's jobs, secrets may be while the run
        goes on, if nobody else can read them.
    own : Path
        The user's folder with the credentials; it is not searched.
    others : tuple of Path
        More folders to watch.

    Attributes
    ----------
    found : set of str
        Where secrets were.
    used : set of Path
        Where they may be, and were.
    """

    def __init__(self, secrets: list[bytes], run_dir: Path, own: Path, *others: Path) -> None:
        self.found: set[str] = set()
        self.used: set[Path] = set()
        self._secrets, self._run_dir, self._own = secrets, run_dir, own
        self._others = others
        self._folders = (run_dir, Path("/dev/shm"), *others)
        self._since = time.time() - 1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        deadline = time.monotonic() + JOBS_END
        while any(map(_is_scratch, in_files(self._secrets, self._others))) and time.monotonic() < deadline:
            time.sleep(0.2)  # the run has ended, and HTCondor is removing the folder of its job
        self.found |= set(in_processes(self._secrets))
        everywhere = {self._run_dir, Path("/dev/shm"), Path("/tmp"), Path(tempfile.gettempdir()), *self._folders}
        for path in in_files(self._secrets, everywhere, since=self._since):
            if self._own not in path.parents:
                self.found.add(f"{path} (after the run)")

    def _look(self) -> None:
        while not self._over.wait(0.3):
            self.found |= set(in_processes(self._secrets))
            for path in in_files(self._secrets, self._folders, since=self._since):
                self._judge(path)

    def _judge(self, path: Path) -> None:
        if self._own in path.parents:
            return
        try:
            facts = path.stat()
        except FileNotFoundError:  # a secret that was replaced, or whose run has ended
            if path.parent.name != "secrets" and not _is_scratch(path):
                self.found.add(str(path))
            return
        private = stat.S_IMODE(facts.st_mode) == 0o600 and facts.st_uid == os.geteuid()
        if private and (path.parent == self._run_dir / "secrets" or _is_scratch(path)):
            self.used.add(path)
        else:
            self.found.add(f"{path} (mode {stat.S_IMODE(facts.st_mode):o})")
