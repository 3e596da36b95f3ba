"""The notebook of the tutorials runs from an empty folder, and shows what it says."""

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

pytestmark = pytest.mark.integration
NOTEBOOK = ROOT / "docs" / "tutorials" / "notebook.ipynb"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert all(not cell.outputs for cell in book.cells if cell.cell_type == "code"), "stored without outputs"
    NotebookClient(book, timeout=250, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = {cell.source: cell.outputs for cell in book.cells if cell.cell_type == "code"}
    assert len(shown['run.cutflows["TwoMuons"]']) == 1, "the table is shown once"
    pages = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    text = "".join(output.get("text", "") for output in outputs)
    assert pages.count("Complete: all ") == 2
    assert "data:image/png" in pages
    assert any("image/png" in output.get("data", {}) for output in outputs), "the figure is shown"
    assert "dataframe" in pages
    assert "did you mean `Muon_pt`" in text
