from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_parsl.workflow.datasets import resolve_datasets
from fasthep_parsl.workflow.loader import load_workflow
from fasthep_parsl.workflow.partitions import cut

REST = "\nsources: {events: {tree: T}}\nanalysis: {stages: [{op: hep.hist}]}\n"


@pytest.fixture
def resolve(tmp_path):
    for name in ("data/dy_2.root", "data/dy_1.root", "data/tt.root", "data/deep/er/x.root", "data/odd[1].root"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def run(datasets, **keywords):
        path = tmp_path / "w.yaml"
        path.write_text(f"data: {datasets}{REST}")
        loaded = load_workflow(path, **keywords)
        found = resolve_datasets(loaded.workflow, loaded.document)
        return found.value, found.problems

    return run


def names(dataset):
    return [Path(file.path).name for file in dataset.files]


def test_patterns_are_relative_to_the_file_and_sorted(resolve, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (dy,), problems = resolve("{datasets: [{name: dy, files: [data/dy_*.root, data/tt.root]}]}")
    assert not problems
    assert [file.path for file in dy.files] == [str(tmp_path / f"data/{n}.root") for n in ("dy_1", "dy_2", "tt")]
    assert dy.files[2].key == ("data", "datasets", 0, "files", 1)


def test_deep_patterns_absolute_paths_odd_names_and_urls(resolve, tmp_path):
    files = f'["data/**/x.root", "{tmp_path}/data/../data/tt.root", "data/odd[1].root", "root://h//p/*.root"]'
    (found,), problems = resolve(f"{{datasets: [{{name: a, files: {files}}}]}}")
    assert not problems
    assert names(found) == ["x.root", "tt.root", "odd[1].root", "*.root"]
    assert [file.remote for file in found.files] == [False, False, False, True]


def test_defaults_are_filled_in(resolve):
    defaults = "defaults: {eventtype: data, group: g, meta: {a: 1, b: 2}}"
    one, two = resolve(
        f"{{{defaults}, datasets: [{{name: a, files: data/tt.root, meta: {{b: 3}}}}, {{name: b, files: data/dy_1.root, eventtype: mc, group: h, nevents: 7}}]}}"
    )[0]
    assert (one.eventtype, one.group, one.meta, one.nevents) == ("data", "g", {"a": 1, "b": 3}, None)
    assert (two.eventtype, two.group, two.meta, two.nevents) == ("mc", "h", {"a": 1, "b": 2}, 7)
    assert resolve("{datasets: [{name: a, files: data/tt.root}]}")[0][0].eventtype == "mc"


@pytest.mark.parametrize(
    ("datasets", "code", "message", "hint", "column"),
    [
        ("[{name: a, files: []}]", "E134", "dataset `a` has no files", "files", 36),
        ("[{name: a, files: [dat/*.root]}]", "E131", "no file matches `dat/*.root`", "did you mean `data`?", 37),
        ("[{name: a, files: [data/no*.root]}]", "E131", "no file matches", "4 files", 37),
        ("[{name: a, files: [data/tt.rot]}]", "E132", "no such file: `data/tt.rot`", "did you mean `tt.root`?", 37),
        ("[{name: a, files: data}]", "E132", "is a folder", "data/*.root", 36),
        ("[{name: a, files: [data/tt.root, data/t*.root]}]", "E133", "`tt.root` is listed twice", "count twice", 51),
        ("[{name: a, files: data/tt.root}, {name: b, files: [./data/tt.root]}]", "E133", "also in dataset `a`", "", 69),
        ("[{name: a, files: data/tt.root}, {name: a, files: data/dy_1.root}]", "E130", "the name `a`", "", 58),
    ],
)
def test_what_cannot_be_read_is_refused(resolve, datasets, code, message, hint, column):
    problems = resolve(f"{{datasets: {datasets}}}")[1]
    assert [p.code for p in problems] == [code]
    assert message in problems[0].message
    assert hint in str(problems[0].hint)
    assert (problems[0].where.line, problems[0].where.column) == (1, column)


def test_files_from_the_command_line_begin_in_the_current_folder(resolve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "data")
    (found,), problems = resolve("{datasets: [{name: a, files: x.root}]}", overrides=["datasets[a].files=[tt.root]"])
    assert not problems
    assert names(found) == ["tt.root"]


@st.composite
def layouts(draw):
    sizes = draw(st.lists(st.integers(1, 300), max_size=30))
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    known = draw(st.sampled_from([edges, edges[1:], edges[:-1], []]))
    return edges[-1], known, draw(st.integers(1, 700))


@given(layouts())
def test_partitions_cover_every_event_once_and_keep_the_limit(layout):
    entries, clusters, chunk_size = layout
    edges = cut(entries, clusters, chunk_size)
    assert edges[0] == 0
    assert edges[-1] == entries
    assert all(0 < b - a <= chunk_size for a, b in pairwise(edges))


@given(layouts())
def test_partitions_begin_at_clusters_unless_a_cluster_is_too_large(layout):
    entries, clusters, chunk_size = layout
    bounds = sorted({0, entries, *clusters})
    large = [(a, b) for a, b in pairwise(bounds) if b - a > chunk_size]
    for edge in cut(entries, clusters, chunk_size):
        assert edge in bounds or any(a < edge < b for a, b in large)


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_without_clusters_all_partitions_are_equal(entries, chunk_size):
    chunk_size = max(chunk_size, entries // 1000 + 1)
    edges = cut(entries, (), chunk_size)
    sizes = [b - a for a, b in pairwise(edges)]
    assert len(sizes) == -(-entries // chunk_size)
    assert not sizes or max(sizes) - min(sizes) <= 1


@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 10))
def test_equal_clusters_leave_no_tiny_rest(count, size, per_chunk):
    edges = cut(count * size, range(0, count * size + 1, size), per_chunk * size)
    sizes = [(b - a) // size for a, b in pairwise(edges)]
    assert len(sizes) == -(-count // per_chunk)
    assert max(sizes) - min(sizes) <= 1


def test_the_smallest_cases():
    assert cut(0, (), 100) == (0,)
    assert cut(0, (0,), 1) == (0,)
    assert cut(1, (), 1) == (0, 1)
    assert cut(100, (), 30) == (0, 25, 50, 75, 100)
    assert cut(250, (0, 100, 200, 250), 200) == (0, 100, 250)
    for arguments in ((1, (), 0), (-1, (), 1)):
        with pytest.raises(ValueError, match="cannot cut"):
            cut(*arguments)


@pytest.mark.parametrize("name", ["link.root", "hard.root", "file://{}/data/tt.root", "file://localhost/{}/data/tt.root",
                                  "{}/data/tt.root", "data/deep/../tt.root", "linked/tt.root"])  # fmt: skip
def test_one_file_under_two_names_is_one_file(resolve, tmp_path, name):
    (tmp_path / "link.root").symlink_to("data/tt.root")
    (tmp_path / "hard.root").hardlink_to(tmp_path / "data/tt.root")
    (tmp_path / "linked").symlink_to("data")
    (dataset,), (problem,) = resolve(f'{{datasets: [{{name: d, files: [data/tt.root, "{name.format(tmp_path)}"]}}]}}')
    assert problem.code == "E133"
    assert "twice" in problem.message
    assert names(dataset) == ["tt.root"]


def test_a_copy_and_another_tree_of_a_file_are_no_repetition(resolve, tmp_path):
    (tmp_path / "copy.root").write_bytes((tmp_path / "data/tt.root").read_bytes())
    datasets, problems = resolve(
        "{datasets: [{name: a, files: [data/tt.root, copy.root]}, {name: b, files: data/tt.root, tree: Up}]}"
    )
    assert not problems
    assert [(len(dataset.files), dataset.tree) for dataset in datasets] == [(2, ""), (1, "Up")]
    assert [file.tree for dataset in datasets for file in dataset.files] == ["", "", "Up"]


@pytest.mark.parametrize("tree", ["T", "/T"])
def test_another_spelling_of_a_tree_is_a_repetition(resolve, tree):
    _, (problem,) = resolve(
        f'{{datasets: [{{name: a, files: data/tt.root}}, {{name: b, files: data/tt.root, tree: "{tree}"}}]}}'
    )
    assert problem.code == "E133"
    assert "also in dataset `a`" in problem.message


def test_file_urls_are_paths_of_this_machine(resolve, tmp_path):
    odd = tmp_path / "a b#c?.root"
    odd.touch()
    (d,), problems = resolve(f'{{datasets: [{{name: d, files: ["file://{tmp_path}/a%20b%23c%3f.root"]}}]}}')
    assert not problems
    assert d.files[0].path == str(odd)
    _, (problem,) = resolve(f'{{datasets: [{{name: d, files: ["file://{tmp_path}/gone.root"]}}]}}')
    assert problem.code == "E132"


@pytest.mark.parametrize("other", ["root://HOST//a/b.root", "root://host:1094//a/b.root", "root://host/a//b.root"])
def test_one_url_in_two_spellings_is_one_file(resolve, other):
    _, (problem,) = resolve(f'{{datasets: [{{name: d, files: ["root://host//a/b.root", "{other}"]}}]}}')
    assert problem.code == "E133"
