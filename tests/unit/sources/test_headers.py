"""Headers of input files: cached by path, size and time; damaged cache entries are not used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.interfaces import Branch
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.headers import read_headers

SOURCE = PlanSource(params={"tree": "Events"})


@pytest.fixture
def mine(small_files, tmp_path):
    return str(shutil.copyfile(small_files / "a.root", tmp_path / "mine.root"))


def entries(cache):
    return list((cache / "headers").glob("*.json"))


def poison(cache, **facts):
    """Change what is remembered, so that a hit can be seen."""
    (entry,) = entries(cache)
    entry.write_text(json.dumps(json.loads(entry.read_text()) | facts))


def test_a_header(mine):
    (header,) = read_headers([mine], SOURCE)
    assert header.problem == ""
    assert header.entries == 100
    assert header.clusters == (0, 25, 50, 75, 100)
    assert header.size == Path(mine).stat().st_size
    assert header.mtime_ns == Path(mine).stat().st_mtime_ns
    found = header.branches.found
    assert found["x"] == Branch((), "int64")
    assert found["Jet_pt"] == found["Jet_eta"] == Branch(("nJet",), "float32")
    assert header.branches.synonyms == {}


def test_it_is_remembered(mine, tmp_path):
    cache = tmp_path / "cache"
    first = read_headers([mine], SOURCE, cache=cache)
    assert read_headers([mine], SOURCE, cache=cache) == first
    poison(cache, entries=7)
    assert read_headers([mine], SOURCE, cache=cache)[0].entries == 7
    assert read_headers([mine], SOURCE)[0].entries == 100


def test_a_file_that_was_changed_is_read_again(mine, tmp_path):
    cache = tmp_path / "cache"
    read_headers([mine], SOURCE, cache=cache)
    poison(cache, entries=7)
    os.utime(mine, ns=(0, 12345))
    assert read_headers([mine], SOURCE, cache=cache)[0].entries == 100
    assert len(entries(cache)) == 2


def test_another_tree_is_another_header(mine, tmp_path):
    cache = tmp_path / "cache"
    read_headers([mine], SOURCE, cache=cache)
    (header,) = read_headers([mine], PlanSource(params={"tree": "Evnts"}), cache=cache)
    assert "Evnts" in header.problem
    assert "`Events`" in str(header.hint)
    assert len(entries(cache)) == 1  # problems are not remembered


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "null", '{"path": "/elsewhere", "clusters": [], "branches": {}}', b"\xff\xfe"]
)
def test_a_damaged_cache_is_no_problem(mine, tmp_path, content):
    cache = tmp_path / "cache"
    first = read_headers([mine], SOURCE, cache=cache)
    (entry,) = entries(cache)
    entry.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_headers([mine], SOURCE, cache=cache) == first
    assert json.loads(entry.read_text())["entries"] == 100  # and is mended


def test_a_cache_that_cannot_be_written_is_no_problem(mine, tmp_path):
    cache = tmp_path / "file"
    cache.write_text("in the way")
    assert read_headers([mine], SOURCE, cache=cache)[0].entries == 100


def test_order_is_kept_and_every_problem_said(mine, small_files, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes((small_files / "a.root").read_bytes()[:900])
    text = tmp_path / "text.root"
    text.write_text("no ROOT file" * 100)
    paths = [str(broken), mine, str(tmp_path / "gone.root"), str(text), str(tmp_path), str(small_files / "none.root")]
    headers = read_headers(paths, SOURCE, cache=tmp_path / "cache")
    assert [header.path for header in headers] == paths
    assert [bool(header.problem) for header in headers] == [True, False, True, True, True, False]
    assert (headers[5].entries, headers[5].clusters) == (0, ())
    assert "x" in headers[5].branches.found


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTHEP_PARSL_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("FASTHEP_PARSL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fasthep-parsl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "fasthep-parsl"


@pytest.mark.parametrize("name", ["NanoAODv5_sample.root", "nano_dy.root"])
def test_real_nanoaod_has_counters(real_data, name):
    if not (real_data / name).exists():
        pytest.skip(f"no {name}")
    (header,) = read_headers([str(real_data / name)], SOURCE)
    assert header.problem == ""
    assert header.clusters[0] == 0
    assert header.clusters[-1] == header.entries > 0
    found = header.branches.found
    assert found["Muon_pt"] == found["Muon_eta"] == Branch(("nMuon",), "float32")
    assert found["nMuon"] == found["run"] == Branch((), "uint32")
    assert not any(branch.problem for branch in found.values())


def test_progress_is_told_and_an_interrupt_waits_for_nothing(small_files):
    seen = []

    def told(done, total):
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_headers([str(small_files / "a.root")] * 200, SOURCE, progress=told)
    assert seen == [(1, 200), (2, 200)]
