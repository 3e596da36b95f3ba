"""Draw the pictures of the gallery: run the workflows in ``docs/gallery`` on demo data, those that have changed only."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOCS = Path(__file__).parent
GALLERY = DOCS / "gallery"
BASE = "base.yaml"
EVENTS = 200_000


def examples() -> list[Path]:
    """Return the workflows of the gallery."""
    return sorted(path for path in GALLERY.glob("*.yaml") if path.name != BASE)


def draw_all(folder: Path) -> list[str]:
    """Draw what is missing or was drawn from other inputs, as ``<folder>/<example>/<picture>.png``.

    Parameters
    ----------
    folder : Path
        Where the pictures, the demo data and the keys of the inputs are kept.

    Returns
    -------
    list of str
        The examples that were run.
    """
    common = key_of([path for path in GALLERY.iterdir() if path.is_file() and path not in examples()])
    old = [path for path in examples() if _key(folder / path.stem) != common + _hash([path])]
    if old:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:  # builds at the same time do not disturb each other
            shutil.copytree(GALLERY, work, dirs_exist_ok=True)
            for path in old:
                _draw(Path(work), path.name, folder / path.stem)
                (folder / path.stem / "key").write_text(common + _hash([path]))
    return [path.stem for path in old]


def key_of(paths: list[Path]) -> str:
    """Return a hash of files and of the package: what was made from them is made again if it changes."""
    package = (DOCS.parent / "fasthep_parsl").rglob("*")
    return _hash(path for path in package if path.suffix in {".py", ".yaml", ".mplstyle"}) + _hash(paths)


def _draw(work: Path, name: str, pictures: Path) -> None:
    from fasthep_parsl.demo import write_demo_data
    from fasthep_parsl.driver.api import run

    if not (work / "data").exists():
        write_demo_data(work / "data", EVENTS)
    outdir = work / "run"
    with _same_pictures():
        run(work / name, outdir=outdir, mode="force", overrides=["execution.backend=local"])
    shutil.rmtree(pictures, ignore_errors=True)
    shutil.copytree(outdir / "plots", pictures)


@contextmanager
def _same_pictures() -> Iterator[None]:
    """Keep settings of matplotlib that extensions of Sphinx or the user may have changed out of the pictures."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def _key(pictures: Path) -> str:
    path = pictures / "key"
    return path.read_text() if path.exists() else ""


def _hash(paths: Iterator[Path] | list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
