"""The store of archives: packed once, never half, not for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing import store
from fasthep_parsl.packing.archive import pack_installation, read_manifest
from fasthep_parsl.packing.identity import installation_key
from fasthep_parsl.packing.prefix import collect
from fasthep_parsl.packing.store import provide
from packing_parts import small_prefix, write


def silent(*_):
    pass


class Packer:
    """Packs a small installation, and counts."""

    def __init__(self, folder):
        self.made = small_prefix(folder)
        self.calls = 0

    def __call__(self, target):
        self.calls += 1
        return pack_installation(self.made, target)


@pytest.fixture
def pack(tmp_path):
    return Packer(tmp_path / "env")


def test_an_archive_is_packed_once_and_linked(tmp_path, pack):
    targets = [tmp_path / f"run-{number}/environment.tar" for number in (1, 2)]
    first, second = (provide("key", target, pack, silent, tmp_path / "cache") for target in targets)
    assert first == second
    assert pack.calls == 1
    assert read_manifest(targets[1]) == first.manifest
    assert targets[0].samefile(targets[1])


def test_on_another_disk_it_is_copied(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "another disk")))
    provide("key", tmp_path / "run/environment.tar", pack, silent, tmp_path / "cache")
    assert not (tmp_path / "run/environment.tar").samefile(tmp_path / "cache/environments/key/environment.tar")
    assert read_manifest(tmp_path / "run/environment.tar").packages == {"demo-package": "1.5"}


@pytest.mark.parametrize("damage", ["no manifest", "truncated", "other time"])
def test_an_incomplete_archive_does_not_count(tmp_path, pack, damage):
    place = tmp_path / "cache/environments/key"
    provide("key", tmp_path / "1.tar", pack, silent, tmp_path / "cache")
    if damage == "no manifest":
        (place / "manifest.json").unlink()
    elif damage == "truncated":
        write(place / "other", (place / "environment.tar").read_bytes()[:-1]).replace(place / "environment.tar")
    else:
        os.utime(place / "environment.tar", (1, 1))
    found = provide("key", tmp_path / "2.tar", pack, silent, tmp_path / "cache")
    assert pack.calls == 2
    assert read_manifest(tmp_path / "2.tar") == found.manifest


def test_a_failure_leaves_nothing(tmp_path):
    def fail(target):
        target.write_bytes(b"half")
        raise SiteError("no")

    with pytest.raises(SiteError, match="no"):
        provide("key", tmp_path / "1.tar", fail, silent, tmp_path / "cache")
    assert not list((tmp_path / "cache/environments").glob("key/*"))
    assert not (tmp_path / "1.tar").exists()


def _slowly(folder, marks):
    def pack(target):
        (marks / str(os.getpid())).touch()
        while (marks / "wait").exists():
            time.sleep(0.01)
        return pack_installation(small_prefix(folder / f"env-{os.getpid()}"), target)

    provide("key", folder / f"{os.getpid()}.tar", pack, silent, folder / "cache")


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_of_two_processes_one_packs_and_a_killed_one_leaves_nothing_that_counts(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "wait").touch()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_slowly, args=(tmp_path, marks)) for _ in range(3)]
    for process in processes:
        process.start()
    until(lambda: len(list(marks.iterdir())) == 2)
    first = next(process for process in processes if (marks / str(process.pid)).exists())
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    until(lambda: len(list(marks.iterdir())) == 3)
    (marks / "wait").unlink()
    others = [process for process in processes if process is not first]
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    assert len(list(marks.iterdir())) == 2  # the killed one, and the one that packed
    one, other = (tmp_path / f"{process.pid}.tar" for process in others)
    assert one.samefile(other)


def test_the_least_recently_used_archives_are_removed(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(store, "KEPT", 2)
    entries = tmp_path / "cache/environments"

    def use(key, age):
        provide(key, tmp_path / "run.tar", pack, silent, tmp_path / "cache")
        os.utime(entries / key / "manifest.json", (age, age))

    use("a", 1)
    use("b", 2)
    use("a", 3)
    use("c", 4)
    assert sorted(path.parent.name for path in entries.glob("*/manifest.json")) == ["a", "c"]
    monkeypatch.setattr(store, "KEPT_BYTES", 1)
    use("d", 5)
    assert sorted(path.parent.name for path in entries.glob("*/manifest.json")) == ["d"]


def test_a_full_disk_is_told(tmp_path, pack):
    def full(target):
        raise OSError(28, "No space left on device", str(target))

    with pytest.raises(SiteError, match="No space left on device"):
        provide("key", tmp_path / "1.tar", full, silent, tmp_path / "cache")


def test_the_key_sees_files_and_not_compiled_code(tmp_path):
    made = small_prefix(tmp_path / "env")

    def key(*options):
        return installation_key(made, collect(made), [], *options)

    first = key("zst")
    assert key("gz") != first
    write(made.prefix / "lib/x/__pycache__/y.cpython-311.pyc", b"code")
    assert key("zst") == first
    write(made.prefix / "lib/x/y.py", "new = 1\n")
    second = key("zst")
    assert second != first
    os.utime(made.prefix / "lib/x/y.py", (5, 5))
    assert key("zst") not in {first, second}
