"""Files in several places: lists of replicas, logical names below prefixes, and what is refused with its place."""

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.datasets import resolve_datasets
from fasthep_parsl.workflow.loader import load_workflow
from fasthep_parsl.workflow.places import joined

REST = "\nsources: {events: {tree: T}}\nanalysis: {stages: [{op: hep.hist}]}\n"
STORAGE = "\nexecution: {storage: {prefixes: [root://a/, root://b//eos/cms]}}"


@pytest.fixture
def resolve(tmp_path):
    for name in ("one.root", "two.root", "odd[1].root"):
        (tmp_path / name).touch()

    def run(files, execution="", more=""):
        path = tmp_path / "w.yaml"
        path.write_text(f"data: {{datasets: [{{name: a, files: {files}}}{more}]}}{REST}{execution}")
        loaded = load_workflow(path)
        found = resolve_datasets(loaded.workflow, loaded.document)
        return [file.places for dataset in found.value for file in dataset.files], found.problems

    return run


def test_places_are_kept_in_order(resolve, tmp_path):
    places, problems = resolve(
        '[{any: ["root://a//1.root", "https://b/1.root"]}, {any: [one.root, "root://a//2.root"]}]'
    )
    assert not problems
    assert places == [("root://a//1.root", "https://b/1.root"), (str(tmp_path / "one.root"), "root://a//2.root")]


@pytest.mark.parametrize("files", ["{any: [root://a//1, root://b//1]}", "[[root://a//1, root://b//1]]"])
def test_other_spellings_of_replicas(resolve, files):
    assert resolve(files) == ([("root://a//1", "root://b//1")], ())


def test_a_list_of_one_place_is_a_plain_file(resolve, tmp_path):
    assert resolve('[{any: ["odd[1].root"]}, {any: root://a//1}]')[0] == [
        (str(tmp_path / "odd[1].root"),),
        ("root://a//1",),
    ]


def test_a_missing_local_place_is_skipped_by_workers(resolve, tmp_path):
    assert resolve("[{any: [gone/one.root, root://a//1]}]") == ([(str(tmp_path / "gone/one.root"), "root://a//1")], ())


def test_logical_names_have_a_place_below_each_prefix(resolve):
    expected = ("root://a//store/x.root", "root://b//eos/cms/store/x.root")
    for name in ("lfn:/store/x.root", "/store/x.root", "{any: [lfn:/store/x.root]}"):
        assert resolve(f"[{name}]", STORAGE) == ([expected], ()), name
    places, problems = resolve("[{any: [lfn:/store/x.root, one.root]}]", STORAGE)
    assert not problems
    assert places[0][:2] == expected
    assert places[0][2].endswith("/one.root")


def test_a_list_of_prefixes_is_storage(resolve):
    assert resolve("[lfn:/x]", "\nexecution: {storage: [root://a/, /eos]}") == ([("root://a//x", "/eos/x")], ())
    (problem,) = resolve("[lfn:/x]", "\nexecution: {storage: [/eos/a, /eos/b]}")[1]
    assert (problem.code, problem.message) == ("E132", "no such file: `lfn:/x`, nor any of its replicas")


@pytest.mark.parametrize(
    ("prefix", "place"),
    [
        ("root://a", "root://a//store/x"),
        ("root://a/", "root://a//store/x"),
        ("root://a//", "root://a//store/x"),
        ("root://a//eos/", "root://a//eos/store/x"),
        ("roots://a:1095/eos", "roots://a:1095/eos/store/x"),
        ("https://a", "https://a/store/x"),
        ("davs://a/webdav/", "davs://a/webdav/store/x"),
        ("/eos/cms/", "/eos/cms/store/x"),
        ("file:///eos", "/eos/store/x"),
    ],
)
def test_a_name_below_a_prefix(prefix, place):
    assert joined(prefix, "/store/x") == joined(prefix, "store/x") == place


@pytest.mark.parametrize(
    ("files", "code", "message", "hint", "column"),
    [
        ("[lfn:/store/x.root]", "E138", "is a logical name, and no prefix is known", "storage.prefixes", 37),
        ("[/store/nowhere/x.root]", "E132", "no such file", "storage.prefixes", 37),
        ("[{any: [lfn:/x, root://a//x]}]", "E138", "`lfn:/x` is a logical name", "storage.prefixes", 44),
        ("[{any: [root://a//x, t*.root]}]", "E138", "`t*.root` is a pattern", "name each file", 57),
        ("[{any: [root://a//x, root://b//*.root]}]", "E138", "`root://b//*.root` is a pattern", "name each", 57),
        ("[{any: [root://a//x, root://A:1094/x]}]", "E133", "is twice in this list, as `root://a//x`", "remove", 57),
        ("[{any: [nowhere.root]}]", "E132", "no such file: `nowhere.root`", "searched", 43),
        ("[{any: [no.root, no2.root]}]", "E132", "no such file: `no.root`, nor any of its replicas", "", 43),
        ("[{any: [.]}]", "E132", "`.` is a folder", "name one file", 44),
    ],
)
def test_what_cannot_be_read_is_refused(resolve, files, code, message, hint, column):
    (problem,) = resolve(files)[1]
    assert problem.code == code
    assert message in problem.message
    assert hint in str(problem.hint)
    assert (problem.where.line, problem.where.column) == (1, column)


@pytest.mark.parametrize("name", ["lfn:", "lfn:/", "lfn:root://a//x", "lfn:/store/*.root"])
def test_logical_names_that_are_none(resolve, name):
    (problem,) = resolve(f'["{name}"]', STORAGE)[1]
    assert problem.code == "E138"


def test_lists_that_share_a_place_are_the_same_file(resolve):
    more = ", {name: b, files: [{any: [root://c//1, root://B:1094//1]}]}"
    (problem,) = resolve("[{any: [root://a//1, root://b//1]}]", more=more)[1]
    assert problem.code == "E133"
    assert "`root://B:1094//1` is also in dataset `a`, as `root://b//1`" in problem.message


def test_a_replica_that_is_listed_alone_is_the_same_file(resolve):
    (problem,) = resolve("[{any: [root://a//1, one.root]}, one.root]")[1]
    assert (problem.code, problem.message) == ("E133", "`one.root` is listed twice")
    (problem,) = resolve("[lfn:/store/1, root://b//eos/cms/store/1]", STORAGE)[1]
    assert problem.code == "E133"


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ("[{ayn: [root://a//1]}]", "E102", "unknown key `ayn`"),
        ("[{any: []}]", "E106", "must not be empty"),
        ("[{any: }]", "E106", "must not be empty"),
        ("[[]]", "E106", "must not be empty"),
        ("[{any: {x: 1}}]", "E105", "expected a list"),
        ("[3.5, {any: [[a]]}]", "E105", "expected text, got"),
    ],
)
def test_mistakes_in_the_file_have_a_place(resolve, files, code, message):
    with pytest.raises(ConfigError) as caught:
        resolve(files)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert message in problem.message
    assert problem.where.line == 1
    assert problem.where.column > 30


@pytest.mark.parametrize(
    ("storage", "message", "hint"),
    [
        ("{prefixes: [rot://a/]}", "unknown scheme `rot://`", "`root`"),
        ("{prefixes: [data]}", "neither a URL nor an absolute path", "root://host/"),
        ("{prefixes: [root:///store]}", "names no server", "root://host/"),
        ("{prefixes: [root://a/, root://A:1094/]}", "is twice in this list", "remove"),
        ("{prefixes: ['https://a/?x=1']}", "names cannot be appended", "without query"),
        ("{open_timeout: 0}", "is not a time above zero", "30m"),
        ("{read_timeout: 5 parsecs}", "parsec", ""),
        ("{retries: -1}", "must be at least 0", ""),
        ("{retires: 2}", "unknown key `retires`", "`retries`"),
        ("[rot://a/]", "unknown scheme `rot://`", "`root`"),
    ],
)
def test_mistakes_in_storage_have_a_place(resolve, storage, message, hint):
    with pytest.raises(ConfigError) as caught:
        resolve("[one.root]", f"\nexecution: {{storage: {storage}}}")
    (problem,) = caught.value.problems
    assert message in problem.message
    assert hint in str(problem.hint)
    assert problem.where.line > 3


@pytest.mark.parametrize("url", ["root://h[]ost//1.root", "root://[::1//1.root", "https://a\u2100b/1.root"])
@pytest.mark.parametrize("files", ['["URL"]', '[{any: ["URL", one.root]}]', "prefix"])
def test_a_url_that_cannot_be_read_is_refused_with_its_place(resolve, files, url):
    execution = f'\nexecution: {{storage: {{prefixes: ["{url}"]}}}}' if files == "prefix" else ""
    with pytest.raises(ConfigError) as error:
        resolve("[lfn:/store/a]" if execution else files.replace("URL", url), execution)
    (problem,) = error.value.problems
    assert (problem.code, problem.where.line) == ("E106", 5 if files == "prefix" else 1)
    assert "is not a URL" in problem.message
