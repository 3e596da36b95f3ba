"""Filesets of coffea as files of a dataset, and `missing.json` of a run."""

import json

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.datasets import resolve_datasets
from fasthep_parsl.workflow.loader import load_workflow

REST = "\nsources: {events: {tree: T}}\nanalysis: {stages: [{op: hep.hist}]}\n"
A, B, C = (f"root://{host}//1.root" for host in "abc")


@pytest.fixture
def load(tmp_path):
    def run(datasets):
        path = tmp_path / "w.yaml"
        path.write_text(f"datasets: {json.dumps(datasets)}{REST}")
        loaded = load_workflow(path)
        return resolve_datasets(loaded.workflow, loaded.document).value

    return run


def entry(**facts):
    return {"object_path": "Events", "steps": [[0, 10], [10, 30]], "num_entries": 30, "uuid": None, **facts}


def test_a_fileset_is_read(load):
    metadata = {"eventtype": "data", "xsec": 2.5}
    (found,) = load({"dy": {"files": {A: entry(replicas=[A, B]), C: entry()}, "metadata": metadata}})
    assert [file.places for file in found.files] == [(A, B), (C,)]
    assert (found.tree, found.eventtype, found.meta) == ("Events", "data", {"xsec": 2.5})


def test_places_may_have_their_tree_as_value(load):
    (found,) = load([{"name": "dy", "files": {A: "Events", C: "Events"}}])
    assert [file.places for file in found.files] == [(A,), (C,)]
    assert found.tree == "Events"
    (found,) = load([{"name": "dy", "files": {A: None}, "tree": "Mine"}])
    assert (found.tree, found.files[0].key) == ("Mine", ("data", "datasets", 0, "files", 0))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({A: "Events", C: "Other"}, "different trees, `Events` and `Other`"),
        ({A: entry(steps=[[10, 30]])}, "`steps` are 20 events of this file"),
        ({A: entry(steps=[[0, 10]])}, "`steps` are 10 events of this file"),
        ({A: entry(steps=[[0, 10], [0, 10], [10, 30]])}, "only whole files can be read"),
        ({A: entry(num_entries=None)}, "only whole files can be read"),
        ({A: entry(steps=[1, 2])}, "is not a list of [first, last]"),
    ],
)
def test_what_cannot_be_read_is_refused(load, files, message):
    with pytest.raises(ConfigError) as caught:
        load({"dy": {"files": files}})
    (problem,) = caught.value.problems
    assert problem.code == "E138"
    assert message in problem.message
    assert problem.where.column > 10


def test_a_misspelt_key_is_no_fileset(load):
    with pytest.raises(ConfigError) as caught:
        load([{"name": "dy", "files": {"ayn": [A, B]}}])
    assert caught.value.problems[0].code == "E102"
