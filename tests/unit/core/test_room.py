"""Full disks: messages with the folder."""

import errno
import os
import pickle

import pytest

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.errors import FastHepError
from fasthep_parsl.room import DiskFullError, Reserve, full_message, is_full, writing_to


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "the disk of {} is full"), (errno.EDQUOT, "the quota of {} is used up")]
)
def test_a_full_disk_is_named(tmp_path, code, said):
    def write():
        with atomic(tmp_path / "sub" / "x.json") as draft:
            draft.write_text("half")
            raise OSError(code, os.strerror(code))

    with pytest.raises(DiskFullError) as caught:
        write()
    assert str(caught.value).startswith(said.format(tmp_path / "sub"))
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, FastHepError)
    assert is_full(caught.value)
    assert list((tmp_path / "sub").iterdir()) == []
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (DiskFullError, str(caught.value))
    assert again.folder == str(tmp_path / "sub")


def test_the_innermost_folder_is_named(tmp_path):
    with pytest.raises(DiskFullError, match="inner"), writing_to(tmp_path), writing_to(tmp_path / "inner"):
        raise OSError(errno.ENOSPC, "x")


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), writing_to(tmp_path):
        raise PermissionError(errno.EACCES, "x")
    assert not is_full(ValueError("x"))
    assert "/a/b" in full_message(OSError(errno.ENOSPC, "x", "/a/b"))
    assert write_text(tmp_path / "x", "y").read_text() == "y"


def test_room_is_kept_and_given_back(tmp_path):
    reserve = Reserve(tmp_path / "reserve", 5000)
    assert (tmp_path / "reserve").stat().st_size == 5000
    reserve.release()
    reserve.release()
    assert list(tmp_path.iterdir()) == []


def test_a_skim_that_has_no_room_names_its_folder(flow, small_files, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fasthep_parsl.ops.write.write_root", full)
    outcome = flow.run(
        flow.write([flow.stage("W", "hep.write", [], format="root")], [small_files / "b.root"]).compile()
    )
    assert outcome.status == "failed"
    (failure,) = outcome.summary["failures"]
    assert failure["kind"] == "infrastructure"
    assert failure["message"] == f"the disk of {flow.folder}/run/results/W is full: free some space"
