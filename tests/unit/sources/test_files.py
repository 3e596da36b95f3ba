"""Open files: read by column, kept open up to a limit, opened again if they changed."""

from __future__ import annotations

import shutil

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.plan import PlanFile, PlanSource
from fasthep_parsl.sources.files import OpenFiles, open_file

SOURCE = PlanSource(params={"tree": "Events"})
PARQUET = PlanSource(kind="parquet")


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, small_files):
    """The events of ``a.root`` as Parquet, four row groups."""
    file = open_file(str(small_files / "a.root"), SOURCE)
    columns = file.read(["x", "Jet_pt"], 0, 100)
    file.close()
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path, row_group_size=25)
    return path


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (0, 1), (24, 26), (99, 100), (30, 77)])
def test_any_range_is_read_alike_from_both_formats(small_files, parquet, start, stop):
    found = []
    for path, source in ((small_files / "a.root", SOURCE), (parquet, PARQUET)):
        file = open_file(str(path), source)
        columns = file.read(["x", "Jet_pt"], start, stop)
        assert isinstance(columns["x"], np.ndarray)
        found.append({name: ak.to_list(column) for name, column in columns.items()})
        assert file.entries == 100
        assert file.clusters() == [0, 25, 50, 75, 100]
        file.close()
    assert found[0] == found[1]
    assert found[0]["x"] == list(range(start, stop))
    assert [len(jets) for jets in found[0]["Jet_pt"]] == [x % 3 for x in range(start, stop)]


def test_jagged_columns_of_one_collection_share_their_offsets(small_files):
    file = open_file(str(small_files / "a.root"), SOURCE)
    columns = file.read(["Jet_pt", "Jet_eta"], 10, 60)
    assert columns["Jet_pt"].layout.offsets.data is columns["Jet_eta"].layout.offsets.data
    assert columns["Jet_pt"].layout.offsets[0] == 0
    file.close()


def test_an_unknown_branch_is_named_with_close_ones(small_files):
    file = open_file(str(small_files / "a.root"), SOURCE)
    with pytest.raises(InputFileError, match="`Jet_Pt`") as caught:
        file.read(["x", "Jet_Pt"], 0, 10)
    assert "`Jet_pt`" in str(caught.value.hint)
    file.close()


def test_bytes_are_counted(small_files):
    file = open_file(str(small_files / "a.root"), SOURCE)
    before = file.bytes_read
    file.read(["x"], 0, 100)
    assert file.bytes_read > before
    file.close()


def test_files_stay_open_up_to_the_limit(small_files, tmp_path):
    paths = [str(shutil.copyfile(small_files / "a.root", tmp_path / f"{n}.root")) for n in range(3)]
    files = OpenFiles(limit=2)
    first, second = (files.get(path, SOURCE) for path in paths[:2])
    assert files.get(paths[0], SOURCE) is first  # used again: now `second` is the oldest
    columns = second.read(["x", "Jet_pt"], 0, 100)
    files.get(paths[2], SOURCE)
    assert files.get(paths[0], SOURCE) is first
    assert columns["x"].sum() == 4950  # what was read outlives its file
    assert ak.sum(ak.num(columns["Jet_pt"])) == 99
    assert files.get(paths[1], SOURCE) is not second
    again = files.get(paths[1], SOURCE)
    files.drop(paths[1])
    assert files.get(paths[1], SOURCE) is not again
    for path in paths:
        files.drop(path)


def test_a_file_is_opened_once_per_identity(small_files, tmp_path):
    path = shutil.copyfile(small_files / "a.root", tmp_path / "a.root")
    stat = path.stat()
    files = OpenFiles()
    planned = PlanFile(path=str(path), entries=100, size=stat.st_size, mtime_ns=stat.st_mtime_ns, edges=(0, 100))
    first = files.get(str(path), SOURCE, planned)
    assert files.get(str(path), SOURCE, planned) is first
    assert first.uuid
    same = planned.model_copy(update={"uuid": first.uuid})
    assert files.get(str(path), SOURCE, same).entries == 100

    def get(**changed):
        return files.get(str(path), SOURCE, planned.model_copy(update=changed))

    with pytest.raises(InputFileError, match="the file changed"):
        get(size=stat.st_size + 1)
    with pytest.raises(InputFileError, match="the file changed"):
        get(mtime_ns=stat.st_mtime_ns - 5 * 10**9)
    with pytest.raises(InputFileError, match="it has 100 events, not 99"):
        get(entries=99)
    with pytest.raises(InputFileError, match=r"its identity \(UUID\) is different"):
        get(uuid="0" * 32)
    with pytest.raises(InputFileError, match="no such file"):
        files.get(str(tmp_path / "gone.root"), SOURCE, planned)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputFileError, match="the file changed"):  # also one that is open
        files.get(str(path), SOURCE, planned)
    files.drop(str(path))


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("text")
    with pytest.raises(InputFileError, match="not a readable Parquet file"):
        open_file(str(path), PARQUET)
    with pytest.raises(InputFileError, match="no such file"):
        open_file(str(tmp_path / "gone.parquet"), PARQUET)


def test_a_url_without_its_software_says_what_to_install(monkeypatch):
    from fasthep_parsl.sources import files
    from fasthep_parsl.storage import opening

    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "XRootD" else object())
    with pytest.raises(
        InputFileError, match=r"`root://` needs XRootD, which is not installed.*fasthep-parsl\[xrootd\]"
    ):
        files.open_file("root://host//a.root", PlanSource(params={"tree": "Events"}))
