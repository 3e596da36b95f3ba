"""Other products, atomic files and light imports."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.results import write_results


@dataclass(frozen=True)
class Manifest:
    files: tuple[str, ...]
    where: Path
    rows: int = 3


class Settings(BaseModel):
    cut: float = 1.5


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (Manifest(("a.root", "b.root"), Path("x")), {"files": ["a.root", "b.root"], "where": "x", "rows": 3}),
        (np.arange(3), [0, 1, 2]),
        (np.float64(1.5), 1.5),
        ({1: (True, None), "b": {2, 1}}, {"1": [True, None], "b": [1, 2]}),
        (float("nan"), None),
        (np.array([1.0, np.inf]), [1.0, None]),
        (Settings(), {"cut": 1.5}),
    ],
)
def test_plain_products_become_json(tmp_path: Path, product: object, expected: object) -> None:
    (path,) = write_results({("Train", "index"): product}, tmp_path, datasets=())
    assert path == tmp_path / "results/Train/index.json"
    assert json.loads(path.read_text()) == expected


@pytest.mark.parametrize("product", [3 + 4j, {"nested": [3 + 4j]}, {(1, 2): 3}])
def test_other_products_are_pickled(tmp_path: Path, product: object) -> None:
    (path,) = write_results({("Train", "index"): product}, tmp_path, datasets=())
    assert path == tmp_path / "results/Train/index.pkl"
    assert pickle.loads(path.read_bytes()) == product


def fill_half_then_fail(path: Path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "deep" / "a.json", "old")
    with pytest.raises(ZeroDivisionError), atomic(path) as draft:
        fill_half_then_fail(draft)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file in the way")
    with pytest.raises(OSError, match="results"):
        write_results({("S", "x"): 1}, tmp_path, datasets=())


def test_importing_results_is_light() -> None:
    heavy = {"hist", "uproot", "matplotlib", "mplhep", "awkward", "numpy", "numba", "parsl", "rich"}
    code = "import sys, fasthep_parsl.results; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.split())
