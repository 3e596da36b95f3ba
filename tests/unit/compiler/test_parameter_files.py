"""Files that parameters name are found from the file that names them, and are in the plan with their content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.analysis_code import data_files
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import Plan

OPS = Path(__file__).parents[2] / "file_ops.py"


EARLY = """
import json
from fasthep_parsl import InputFile, op

@op("early.fields", reads=lambda table: json.loads(table.read_text()), writes=["y"])
def fields(events, *, table: InputFile):
    return {"y": events.x}
"""


ALTERNATIVES = """
from typing import Literal
from fasthep_parsl import InputFile, op

@op("early.many", reads=["x"], writes=["y"])
def many(
    events, *, one: InputFile | list[InputFile] | dict[str, InputFile] | None = None, word: Literal["none"] | InputFile = "none"
):
    return {"y": events.x}
"""


@pytest.fixture
def analysis(flow, small_files):
    """A workflow with `file_ops.py` and a table beside it; call it with stages."""
    shutil.copyfile(OPS, flow.folder / "file_ops.py")
    write(flow.folder / "table.json", 2)

    def analysis(*stages, **sections):
        sections = {"use": {"modules": ["file_ops.py"]}, **sections}
        return flow.write(list(stages), [small_files / "a.root"], **sections)

    analysis.folder, analysis.stage, analysis.compile, analysis.flow = flow.folder, flow.stage, flow.compile, flow
    return analysis


def write(path, scale):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"scale": scale}))
    return path


def compiled(analysis, *, at=("table",), op="file.scale", **params):
    """Return the plan of one stage, and the path of the file at a key path."""
    plan = analysis(analysis.stage("S", op, **params)).compile()
    return plan, next(file.path for file in plan.parameter_files if any(use.key == at for use in file.uses))


def problems(analysis, **params):
    analysis(analysis.stage("S", "file.scale", **params))
    with pytest.raises(ConfigError) as caught:
        analysis.compile()
    return caught.value.problems


def test_a_file_is_in_the_plan_with_its_content(analysis):
    plan, path = compiled(analysis, table="table.json")
    (found,) = plan.parameter_files
    content = (analysis.folder / "table.json").read_bytes()
    assert path == str(analysis.folder / "table.json")
    assert (found.name, found.size, found.sha256) == ("table.json", len(content), hashlib.sha256(content).hexdigest())
    assert [str(use) for use in found.uses] == ["S.table"]
    assert plan.stage("S").params == {"table": "table.json"}  # as written
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert not plan.warnings


def test_a_file_is_listed_once(analysis):
    (analysis.folder / "link.json").symlink_to("table.json")
    other = write(analysis.folder / "b" / "table.json", 3)
    same = shutil.copyfile(other, write(analysis.folder / "c" / "table.json", 0))
    plan = analysis(
        analysis.stage("A", "file.scale", table="table.json", more=["./table.json", str(other), "link.json"]),
        analysis.stage("B", "file.scale", [], table="b/../table.json", more=[str(same)]),
        analysis.stage("C", "file.nested", [], by_name={"x": {"file": "table.json"}}),
    ).compile()
    uses = {file.place: [str(use) for use in file.uses] for file in plan.parameter_files}
    assert len(uses) == 3
    assert sorted(uses.values()) == [
        ["A.more[1]", "B.more[0]"],  # other content under the same name
        ["A.more[2]"],  # the same content under another name
        ["A.table", "A.more[0]", "B.table", "C.by_name.x.file"],
    ]


@pytest.mark.parametrize("text", ["{folder}/t.json", "~/t.json", "file://{folder}/t.json", "${FILES_HERE}/t.json",
                                  "${FILES_NOT:-{folder}}/t.json", "below/../t.json", "./t.json"])  # fmt: skip
def test_ways_to_write_a_path(analysis, monkeypatch, text):
    write(analysis.folder / "t.json", 1)
    (analysis.folder / "below").mkdir()
    monkeypatch.setenv("HOME", str(analysis.folder))
    monkeypatch.setenv("FILES_HERE", str(analysis.folder))
    monkeypatch.delenv("FILES_NOT", raising=False)
    monkeypatch.chdir("/")
    assert compiled(analysis, table=text.replace("{folder}", str(analysis.folder)))[1] == str(
        analysis.folder / "t.json"
    )


def test_names_with_special_characters(analysis, monkeypatch):
    write(analysis.folder / "t[1] *.json.gz", 1)
    write(analysis.folder / "$HOME.json", 1)
    plan, _ = compiled(analysis, table="t[1] *.json.gz", more=["$HOME.json"])
    assert {file.name for file in plan.parameter_files} == {"t[1] *.json.gz", "$HOME.json"}
    monkeypatch.setenv("NAME", "t[1] *")
    assert compiled(analysis, table="${NAME}.json.gz")[1].endswith("t[1] *.json.gz")


def test_a_path_is_relative_to_the_file_that_names_it(analysis, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("included")
    included = {"analysis": {"stages": [analysis.stage("I", "file.scale", [], table="table.json")]}}
    (folder / "stages.yaml").write_text(json.dumps(included))
    write(folder / "table.json", 5)
    here = write(tmp_path_factory.mktemp("here") / "table.json", 7)
    monkeypatch.chdir(here.parent)
    analysis(analysis.stage("S", "file.scale", [], table="table.json"), include=[str(folder / "stages.yaml")])
    plan = analysis.compile()
    found = {str(use): file.path for file in plan.parameter_files for use in file.uses}
    assert found == {"I.table": str(folder / "table.json"), "S.table": str(analysis.folder / "table.json")}
    plan = analysis.compile(overrides=["analysis.stages.S.params.table=table.json"])
    assert {str(use): file.path for file in plan.parameter_files for use in file.uses}["S.table"] == str(here)


def test_the_hash_is_that_of_the_content(analysis):
    before = compiled(analysis, table="table.json")[0].hash
    write(analysis.folder / "other" / "table.json", 2)
    assert compiled(analysis, table="other/table.json")[0].hash == before  # moved
    write(analysis.folder / "renamed.json", 2)
    hashes = {before, compiled(analysis, table="renamed.json")[0].hash}  # ops look at the suffix
    old = (analysis.folder / "table.json").stat()
    write(analysis.folder / "table.json", 3)
    os.utime(analysis.folder / "table.json", ns=(old.st_atime_ns, old.st_mtime_ns))
    hashes.add(compiled(analysis, table="table.json")[0].hash)
    assert len(hashes) == 3


def test_which_parameter_has_which_file_is_in_the_hash(analysis):
    a, b = write(analysis.folder / "a" / "t.json", 1), write(analysis.folder / "b" / "t.json", 2)
    stages = [[str(a), str(b)], [str(b), str(a)], [str(a)], [str(a), str(b), str(b)]]
    assert len({compiled(analysis, table="table.json", more=more)[0].hash for more in stages}) == len(stages)
    write(b, 1)  # two equal files are one file
    assert compiled(analysis, table=str(a))[0].hash == compiled(analysis, table=str(b))[0].hash


def test_folders(analysis):
    write(analysis.folder / "model" / "a.json", 1)
    write(analysis.folder / "model" / "in" / "b.json", 2)
    (analysis.folder / "model" / "link.json").symlink_to(analysis.folder / "table.json")
    (analysis.folder / "model" / "assets").mkdir()
    (analysis.folder / "model" / "empty").touch()
    plan, path = compiled(analysis, table="table.json", folder="model/", at=("folder",))
    found = next(file for file in plan.parameter_files if file.folder)
    assert path == str(analysis.folder / "model")
    assert found.name == "model"
    assert [file.name for file in found.files] == ["a.json", "empty", "in/b.json", "link.json"]
    hashes = {plan.hash}
    for change in (
        lambda model: write(model / "in" / "b.json", 3),
        lambda model: (model / "in" / "b.json").rename(model / "in" / "c.json"),
        lambda model: (model / "new").touch(),
    ):
        change(analysis.folder / "model")
        hashes.add(compiled(analysis, table="table.json", folder="model", at=("folder",))[0].hash)
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("text", "code", "message", "hint"),
    [
        ("tabel.json", "E113", "no such file", "table.json"),
        ("fodler/x.json", "E113", "no such file", "folder"),
        ("folder", "E113", "is a folder, not a file", "InputFolder"),
        ("*.json", "E113", "is a pattern", "give the path"),
        ("https://example.org/t.json", "E113", "is a URL", "download"),
        ("root://host//t.json", "E113", "is a URL", "download"),
        ("file://elsewhere/t.json", "E113", "is a URL", "download"),
        ("empty.json", "E113", "is empty", ""),
        ("pipe", "E113", "not a regular file", ""),
        ("/dev/null", "E113", "not a regular file", ""),
        ("${NOT_SET_HERE}/t.json", "E147", "NOT_SET_HERE", "export"),
        ("${NOT SET}/t.json", "E105", "neither", ""),
        ("", "E105", "empty text", ""),
        ("..", "E113", "is a folder", ""),
        ("x" * 300, "E113", "cannot read", ""),
        (7, "E105", "expected the path of a file", ""),
        (None, "E105", "expected the path of a file", ""),
    ],
)
def test_what_cannot_be_a_file(analysis, text, code, message, hint):
    write(analysis.folder / "folder" / "x.json", 1)
    (analysis.folder / "empty.json").touch()
    os.mkfifo(analysis.folder / "pipe")
    (problem,) = problems(analysis, table="table.json", more=["table.json", text])
    assert (problem.code, problem.key) == (code, "analysis.stages[0].params.more[1]")
    assert problem.where.line == 1
    assert problem.where.file == str(analysis.folder / "flow.yaml")
    assert message in problem.message
    assert hint in str(problem.hint)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(analysis):
    (analysis.folder / "table.json").chmod(0)
    (problem,) = problems(analysis, table="table.json")
    assert "Permission denied" in problem.message


def test_a_file_that_cannot_be_opened(analysis, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(data_files, "hash_file", refuse)
    (problem,) = problems(analysis, table="table.json")
    assert problem.code == "E113"
    assert "Permission denied" in problem.message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "has no files"),
        (lambda folder: (folder / "link").symlink_to(".."), "a link to a folder"),
        (lambda folder: (folder / "link").symlink_to("nowhere"), "neither a file nor a folder"),
        (lambda folder: os.mkfifo(folder / "pipe"), "neither a file nor a folder"),
        (lambda folder: (folder / "a\nb").touch(), "control character"),
        (lambda folder: [(folder / str(number)).touch() for number in range(4)], "more than 3 files"),
    ],
)
def test_what_cannot_be_a_folder(analysis, monkeypatch, make, message):
    monkeypatch.setattr(data_files, "MOST", 3)
    (analysis.folder / "model").mkdir()
    make(analysis.folder / "model")
    (problem,) = problems(analysis, table="table.json", folder="model")
    assert problem.code == "E113"
    assert message in problem.message


@pytest.mark.parametrize(("text", "message"), [("table.json", "is a file, not a folder"), ("/", "cannot name a folder"),
                                               ("modle", "no such folder")])  # fmt: skip
def test_the_name_of_a_folder(analysis, text, message):
    (analysis.folder / "model").mkdir()
    (problem,) = problems(analysis, table="table.json", folder=text)
    assert message in problem.message
    assert text != "modle" or "model" in str(problem.hint)


def test_all_mistakes_are_reported_at_once(analysis):
    found = problems(analysis, table="a", more=["b", "table.json", "c"], folder="d", tabel="e")
    assert [problem.code for problem in found] == ["E113"] * 4 + ["E102"]


@pytest.mark.parametrize(("params", "keys"), [
    ({"one": "a.json"}, ["one"]),
    ({"one": ["table.json", "a.json"]}, ["one[1]"]),
    ({"one": {"x": "a.json", "y": "b.json"}}, ["one.x", "one.y"]),
    ({"word": "nome"}, ["word"]),
    ({"one": 3}, ["one"]),
])  # fmt: skip
def test_alternatives_are_not_mistakes_of_their_own(analysis, params, keys):
    (analysis.folder / "early_ops.py").write_text(ALTERNATIVES)
    analysis(analysis.stage("E", "early.many", **params), use={"modules": ["early_ops.py"]})
    with pytest.raises(ConfigError) as caught:
        analysis.compile()
    assert list(dict.fromkeys(problem.key for problem in caught.value.problems)) == [
        f"analysis.stages[0].params.{key}" for key in keys
    ]
    files = {problem.code == "E113" for problem in caught.value.problems}
    assert files == {params.get("one") != 3}


def test_a_missing_file_hides_no_field_and_no_other_mistake(analysis):
    analysis(
        analysis.stage("N", "file.nested", [], by_name={"a": {"file": "tabel.json"}}),
        analysis.stage("T", "probe.sum", field="scaled"),
        analysis.stage("U", "probe.sum", field="skaled"),
        use={"modules": ["file_ops.py", "probe_ops.py"]},
    )
    with pytest.raises(ConfigError) as caught:
        analysis.compile()
    assert [(problem.code, problem.name) for problem in caught.value.problems] == [
        ("E113", "tabel.json"),
        ("E150", "skaled"),
    ]


def test_an_op_may_read_its_files_to_find_its_fields(analysis):
    (analysis.folder / "early_ops.py").write_text(EARLY)
    (analysis.folder / "fields.json").write_text('["x"]')
    use = {"modules": ["early_ops.py"]}
    plan = analysis(analysis.stage("E", "early.fields", table="fields.json"), use=use).compile()
    assert plan.stage("E").reads == ("x",)
    analysis(analysis.stage("E", "early.fields", table="field.json"), use=use)
    with pytest.raises(ConfigError) as caught:
        analysis.compile()
    assert [problem.code for problem in caught.value.problems] == ["E113"]


def test_a_file_is_read_once_per_plan(analysis, monkeypatch):
    read = []
    monkeypatch.setattr(data_files, "hash_file", lambda path: read.append(path) or "0" * 64)
    analysis(*(analysis.stage(f"S{i}", "file.scale", [], table="table.json") for i in range(5))).compile()
    assert len(read) == 1


def test_bound_parameters_and_those_left_out_name_no_file(analysis):
    plan = analysis(
        analysis.stage("Train", "file.scale", table="table.json"),
        analysis.stage("Apply", "file.model", [], bind=("Train", "sums", "weights")),
        analysis.stage("Plain", "file.model", []),
    ).compile()
    assert [str(use) for file in plan.parameter_files for use in file.uses] == ["Train.table"]


def test_a_path_in_a_text_is_warned_of(analysis):
    write(analysis.folder / "data" / "more.json", 1)
    analysis(analysis.stage("S", "file.text", table="table.json", tables={"a": "data/more.json", "b": "no.json"}))
    warnings = analysis.compile().warnings
    assert len(warnings) == 2
    for key, warning in zip(("`table`", "`tables.a`"), warnings, strict=True):
        assert key in warning
        assert "InputFile" in warning
    known = {"use": {"modules": ["file_ops.py"], "files": ["table.json", "data"]}}
    content = json.loads(analysis.flow.path.read_text()) | known
    analysis.flow.path.write_text(json.dumps(content))
    assert not analysis.compile().warnings  # the plan has their content


@pytest.mark.parametrize("kind", ["modifier", "source"])
def test_other_kinds_have_no_files(analysis, kind, monkeypatch):
    """They would read the path of the driver on every worker."""
    from fasthep_parsl import InputFile, registry
    from fasthep_parsl.interfaces import Modifier

    class Reading(Modifier):
        table: InputFile

        def wrap(self, call):
            return call

    monkeypatch.setattr(
        registry, "load", lambda group, name, load=registry.load: Reading if name == "reading" else load(group, name)
    )
    monkeypatch.setattr(registry, "names", lambda group, names=registry.names: (*names(group), "reading"))
    stage = analysis.stage("S", "file.scale", table="table.json")
    sections = {}
    if kind == "modifier":
        stage["execution"] = {"modifiers": [{"kind": "reading", "table": "table.json"}]}
    else:
        sections = {"sources": {"events": {"kind": "reading", "table": "table.json"}}}
    analysis(stage, **sections)
    with pytest.raises(ConfigError, match="only be a parameter of an op"):
        analysis.compile()
