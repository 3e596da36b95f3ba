"""Ranges within row groups keep missing values in place."""

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.files import open_file

ROWS = {
    "number": [2, None, 5, None, 0, None, None, 0, 7, 8, None, 1],
    "flag": [True, False, False, True, True, True, False, False, True, False, True, True],
    "flag_or_not": [True, None, False, None, None, True, None, False, True, True, None, None],
    "text": ["a", None, "bb", "c", "", "d", None, "ee", "f", "g", "h", None],
    "lists": [[1], None, [2, 3], [None], [], None, [5], [6, None, 7], None, [1], [], [2]],
    "flags": [[True], [False, True], [], [True, True], [None, False], [True], [False], [], None, [False], [None], []],
}


@pytest.mark.parametrize("groups", [12, 5])
def test_each_piece_has_its_own_missing_values(tmp_path, groups):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(ROWS), path, row_group_size=groups)
    file = open_file(str(path), PlanSource(kind="parquet"))
    for start in range(12):
        for stop in {start, start + 1, min(start + 5, 12), 12}:
            found = file.read(list(ROWS), start, stop)
            assert {name: ak.to_list(column) for name, column in found.items()} == {
                name: rows[start:stop] for name, rows in ROWS.items()
            }
    file.close()
