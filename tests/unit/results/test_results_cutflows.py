"""Cutflows as JSON, CSV and tables."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fasthep_parsl.ops.products import Cutflow, CutflowRow
from fasthep_parsl.results import cutflow_table, write_results


def cutflow(datasets: int = 1, *, weighted: bool = False) -> Cutflow:
    rows = (
        CutflowRow("presel", 0, "trigger == 1", 100, 50, 90.0, 45.0, 81.0, 40.5),
        CutflowRow("presel", 1, "[Muon_pt] > 20", 50, 10, 45.0, 9.0, 40.5, 8.1),
        CutflowRow("signal", 0, "m > 60", 10, 0, 9.0, 0.0, 8.1, 0.0),
        CutflowRow("signal", 1, "m < 120", 0, 0),
    )
    return Cutflow({f"ds{number}": rows for number in range(datasets)}, weighted)


def printed(flow: Cutflow, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(cutflow_table(flow, title="Sel", width=width))
    return out.getvalue()


def test_json(tmp_path: Path) -> None:
    write_results({("Sel", "cutflow"): cutflow(weighted=True)}, tmp_path, datasets=())
    content = json.loads((tmp_path / "results/Sel/cutflow.json").read_text())
    assert content["weighted"] is True
    rows = content["datasets"]["ds0"]
    assert [row["efficiency"] for row in rows] == [0.5, 0.2, 0.0, None]
    assert [row["cumulative_efficiency"] for row in rows] == [0.5, 0.1, 0.0, 0.0]
    assert rows[1] == {
        "selection": "presel", "index": 1, "label": "[Muon_pt] > 20", "n_in": 50, "n_out": 10, "sumw_in": 45.0,
        "sumw_out": 9.0, "sumw2_in": 40.5, "sumw2_out": 8.1, "efficiency": 0.2, "cumulative_efficiency": 0.1,
    }  # fmt: skip


def test_csv_has_a_row_per_dataset_and_cut(tmp_path: Path) -> None:
    write_results({("Sel", "cutflow"): cutflow(2)}, tmp_path, datasets=())
    with (tmp_path / "results/Sel/cutflow.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dataset"], row["selection"], row["index"]) for row in rows][3:5] == [
        ("ds0", "signal", "1"), ("ds1", "presel", "0"),
    ]  # fmt: skip
    assert (rows[1]["label"], rows[1]["n_out"], rows[1]["efficiency"]) == ("[Muon_pt] > 20", "10", "0.2")
    assert rows[3]["efficiency"] == ""


def test_few_datasets_stand_side_by_side() -> None:
    text = printed(cutflow(3))
    assert sum("[Muon_pt] > 20" in line for line in text.splitlines()) == 1
    assert text.count("10  10.0 %") == 3
    assert "Σw" not in text
    assert "presel: all" in text


def test_many_datasets_are_listed() -> None:
    text = printed(cutflow(6, weighted=True))
    assert sum("[Muon_pt] > 20" in line for line in text.splitlines()) == 6
    assert "Σw out" in text


@pytest.mark.parametrize(("datasets", "width"), [(1, 120), (1, 60), (3, 120), (6, 120), (6, 80)])
def test_each_selection_has_its_name_and_a_first_row(datasets: int, width: int) -> None:
    rows = (
        CutflowRow("presel", 0, "x > 1", 100, 6),
        CutflowRow("other", 0, "x > 0", 100, 63),
        CutflowRow("tight", 0, "x > 2", 6, 3),
    )
    flow = Cutflow({f"ds{number}": rows for number in range(datasets)})
    lines = printed(flow, width=width).splitlines()
    first = next(i for i, line in enumerate(lines) if "presel: all" in line)
    found = [line for line in lines[first:] if any(c.isalnum() for c in line)][:6]
    for line, (name, count) in zip(
        found, [("presel: all", 100), ("x > 1", 6), ("other: all", 100), ("x > 0", 63), ("tight: all", 6), ("x > 2", 3)], strict=True
    ):  # fmt: skip
        assert name in line
        assert f" {count}" in line


def test_a_plain_list_has_no_name() -> None:
    flow = Cutflow({"ds": (CutflowRow("All", 0, "x > 1", 100, 6),)})
    assert "All" not in printed(flow)
    assert "All" not in printed(flow, width=40)


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    rows = (CutflowRow("All", 0, "x", 2, 1, float("nan"), float("inf"), 1.0, 1.0),)
    write_results({("Sel", "cutflow"): Cutflow({"ds": rows}, True, 3)}, tmp_path, datasets=())

    def refuse(token: str) -> None:
        raise ValueError(token)

    content = json.loads((tmp_path / "results/Sel/cutflow.json").read_text(), parse_constant=refuse)
    assert content["nan_weights"] == 3
    assert content["datasets"]["ds"][0]["sumw_in"] is None


def test_weights_are_shown_if_meant() -> None:
    assert "Σw 45.0" in printed(cutflow(1, weighted=True))


@pytest.mark.parametrize("datasets", [1, 2, 3, 4, 8])
def test_cuts_are_readable_on_a_narrow_terminal(datasets: int) -> None:
    text = printed(cutflow(datasets, weighted=True), width=80)
    assert "[Muon_pt] > 20" in text  # in one piece
    assert max(map(len, text.splitlines())) <= 80


def test_empty_cutflow() -> None:
    assert "cut" in printed(Cutflow())
