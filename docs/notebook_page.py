"""The page of the notebook of the tutorials: its cells, and what they show when they are executed."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gallery_pictures

NOTEBOOK = Path(__file__).parent / "tutorials" / "notebook.ipynb"


def notebook_page(folder: Path) -> str:
    """Return the page. It is made again if the notebook or the package has changed.

    Parameters
    ----------
    folder : Path
        Where the page and its pictures are kept, ``docs/_build/notebook``.
    """
    page, key = folder / "page.md", gallery_pictures.key_of([NOTEBOOK, Path(__file__)])
    if not page.exists() or (folder / "key").read_text() != key:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            text = "\n\n".join(_blocks(_executed(work), folder)) + "\n"
            page.write_text(text.replace(f"{work}/", ""))
        (folder / "key").write_text(key)
    return page.read_text()


def _executed(work: str) -> Any:
    """Return the notebook with the outputs of its cells, executed in a folder. A cell that fails ends the build."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(NOTEBOOK, as_version=4)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(Path(work) / ".jupyter")
    resources = {"metadata": {"path": work}}
    quiet = ["--IPKernelApp.log_level=40"]
    NotebookClient(book, timeout=300, kernel_name="python3", extra_arguments=quiet, resources=resources).execute()
    return book


def _blocks(book: Any, folder: Path) -> Iterator[str]:
    """Yield the parts of the page in MyST."""
    for number, cell in enumerate(book.cells):
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        for place, output in enumerate(cell.outputs):
            yield from _shown(output, folder, f"{number}-{place}")


def _shown(output: Any, folder: Path, name: str) -> Iterator[str]:
    data = output.get("data", {})
    if "image/png" in data:
        (folder / f"{name}.png").write_bytes(base64.b64decode(data["image/png"]))
        yield f"```{{image}} ../_build/notebook/{name}.png\n:width: 480px\n```"
    elif "text/html" in data:
        lines = "\n".join(line for line in data["text/html"].splitlines() if line.strip())
        yield f'````{{raw}} html\n<div class="cell-output">\n{lines}\n</div>\n````'
    else:
        text = output.get("text") or data.get("text/plain", "")
        yield f"```text\n{text.rstrip()}\n```"
