"""A real apptainer, and images made of folders of this machine. `install_apptainer.sh` installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from services.fixtures_condor import unavailable

MARK = "image-of-the-tests"
"""A file at the root of images: who sees it runs in the container."""


def apptainer_programs() -> Path:
    """Return the folder with the program; skip the test if it is not installed or cannot start a container here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    prefix = Path(os.environ.get("FASTHEP_APPTAINER_PREFIX") or cache / "fasthep-parsl-tests" / "apptainer").resolve()
    if not (prefix / ".installed").is_file():
        unavailable(f"no apptainer in {prefix}: run `make services`")
    return prefix / "usr" / "bin"


class FolderImage:
    """An image that is a folder, as on CVMFS. The programs of this machine are mounted into it.

    Parameters
    ----------
    folder : Path
        Where the image is made.

    Attributes
    ----------
    bind : list of str
        What must be mounted, so that Python works in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("dev", "etc", "proc", "sys", "tmp", "var/tmp", "root", "home", "usr"):
            (folder / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if Path("/", name).is_symlink():
                (folder / name).symlink_to(Path("/", name).readlink())
        for name in ("passwd", "group"):
            (folder / "etc" / name).write_text("")
        (folder / MARK).write_text("")
        checkout = Path(__file__).parents[2]
        needed = [Path("/usr"), *(Path("/", name) for name in ("lib", "lib64", "bin"))]
        needed += [Path(sys.base_prefix), Path(sys.prefix), checkout]
        # programs of this machine cannot be written, as in an image
        self.bind = [f"{path}:{path}:ro" for path in dict.fromkeys(needed) if path.is_dir() and not path.is_symlink()]
        self.bind = [b for b in self.bind if not any(b.startswith(f"{o.split(':')[0]}/") for o in self.bind)]

    def environment(self, **fields: object) -> dict[str, object]:
        """Return an environment of a site: this Python in the image, started without privileges."""
        lines = [f"export PATH={apptainer_programs()}:$PATH", "export APPTAINER_USERNS=1"]
        return {
            "kind": "container", "image": str(self.folder), "python": sys.executable, "bind": self.bind,
            "setup": lines, **fields,
        }  # fmt: skip

    def check(self) -> None:
        """Skip the test if a container cannot be started here."""
        binds = [word for folder in self.bind for word in ("--bind", folder)]
        command = [apptainer_programs() / "apptainer", "exec", "--userns", *binds, self.folder, "/bin/ls", "/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0 or MARK not in done.stdout.split():
            unavailable(f"apptainer starts no container here: {done.stderr}")
