"""Several trees in one workflow: histograms are those of a plain join, and misfits are refused when the plan is made."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import uproot
from rich.console import Console

from fasthep_parsl.cli.plan import _tables
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError

EVENTS = 60
KEYS = ("run", "luminosityBlock", "event")
SOURCES = {
    "main": {"kind": "root_tree", "tree": "Events"},
    "friend": {"kind": "root_tree", "tree": "dir/Scores;1", "files": "../friends/{name}"},
    "extra": {"kind": "root_tree", "tree": "Extra"},
}
JOINS = {
    "events": {
        "inputs": [{"source": "main", "prefix": "m"}, {"source": "friend", "prefix": "f", "by": list(KEYS)}, "extra"],
    }
}
STREAM = {"sources": SOURCES, "joins": JOINS, "primary_stream": "events"}


def write(path, trees, cluster=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        for name, data in trees.items():
            out = file.mktree(name, {field: column.dtype for field, column in data.items()})
            for first in range(0, len(next(iter(data.values()))), cluster):
                out.extend({field: column[first : first + cluster] for field, column in data.items()})
    return path


@pytest.fixture
def files(flow):
    """Two files of events with an extra tree, and friends beside them in another order, more than there are events."""
    random = np.random.default_rng(1)
    found = []
    for number in range(2):
        rows = EVENTS + 10
        keys = {name: random.integers(0, 4, rows).astype("u4") for name in KEYS[:2]}
        keys["event"] = random.permutation(1000 * rows)[:rows].astype("u8") + 2**61
        x = (np.arange(rows) % 10) + 0.5
        main = {**{name: column[:EVENTS] for name, column in keys.items()}, "x": x[:EVENTS]}
        trees = {"Events": main, "Extra": {"z": x[:EVENTS] / 2}, "Short": {"z": x[: EVENTS - 1]}}
        found.append(write(flow.folder / f"in/{number}.root", trees))
        order = random.permutation(rows)
        friend = {**{name: column[order] for name, column in keys.items()}, "x": 9.9 - x[order], "score": x[order]}
        write(flow.folder / f"friends/{number}.root", {"dir/Scores": friend}, 9)
    return found


def hist(flow, name, *sources):
    axes = [{"name": f"a{n}", "source": s, "bins": {"nbins": 10, "low": 0, "high": 10}} for n, s in enumerate(sources)]
    return flow.stage(name, "hep.hist", [], axes=axes)


def values(flow, name):
    content = json.loads((flow.folder / "run" / "results" / name / "hist.json").read_text())
    shape = [axis["bins"] + axis["underflow"] + axis["overflow"] for axis in content["axes"]]
    inner = tuple(slice(1, -1) for _ in shape)
    return np.reshape(content["storage"]["values"], shape)[inner]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, None])
def test_histograms_are_those_of_a_plain_join(flow, files, chunk):
    fields = {"fx": {"stream": "friend", "branch": "x"}, "zz": {"stream": "events", "branch": "extra.z"}}
    stages = [hist(flow, "A", "m.x", "score"), hist(flow, "B", "m.x", "fx"), hist(flow, "C", "2 * z", "score"), hist(flow, "D", "zz")]  # fmt: skip
    result = flow.write(stages, [flow.folder / "in/*.root"], **STREAM, fields=fields).run(chunk_size=chunk)
    assert result.exit_code == 0
    x = np.tile(np.arange(EVENTS) % 10 + 0.5, 2)

    def expected(*columns):
        return np.histogramdd(columns, bins=10, range=[(0, 10)] * len(columns))[0].tolist()

    assert values(flow, "A").tolist() == expected(x, x)
    assert values(flow, "B").tolist() == expected(x, 9.9 - x)
    assert values(flow, "C").tolist() == expected(x, x)
    assert values(flow, "D").tolist() == expected(x / 2)


@pytest.mark.parametrize(("limit", "chunk"), [(7, None), (EVENTS, 7), (EVENTS + 21, 10)])
def test_a_limited_join_has_the_partners_of_the_first_events(flow, files, limit, chunk):
    """Friends are in another order, and the trees of the file itself have all of its events."""
    stages = [hist(flow, "A", "m.x", "score"), hist(flow, "C", "2 * z", "score")]
    result = flow.write(stages, [flow.folder / "in/*.root"], **STREAM).run(limit=limit, chunk_size=chunk)
    assert result.exit_code == 0, result.error
    x = (np.tile(np.arange(EVENTS) % 10, 2) + 0.5)[:limit]
    wanted = np.histogramdd((x, x), bins=10, range=[(0, 10)] * 2)[0].tolist()
    assert values(flow, "A").tolist() == wanted
    assert values(flow, "C").tolist() == wanted
    plan = json.loads((flow.folder / "run" / "plan.json").read_text())
    assert len(plan["datasets"][0]["files"]) == -(-limit // EVENTS)


def test_only_the_columns_that_are_used_are_read(flow, files):
    plan = flow.write([hist(flow, "A", "score")], files, **STREAM).compile(chunk_size=7)
    (segment,) = plan.segments
    assert segment.columns == ("score",)
    assert [join.name for join in plan.source.joins] == ["friend", "extra"]
    edges = plan.datasets[0].files[0].edges
    assert {16, 32, 48, EVENTS} <= set(edges), "partitions begin at clusters of the primary tree"
    assert plan.datasets[0].entries == 2 * EVENTS


def test_friends_of_some_datasets_in_folders_of_datasets(flow, files):
    """Only simulation has friends, in a folder with the name of its dataset."""
    (flow.folder / "friends").rename(flow.folder / "of-mc")
    sources = changed(friend={"files": "../of-{dataset}/{name}"})
    joins = json.loads(json.dumps(JOINS))
    joins["events"]["inputs"][1]["applies_to"] = {"eventtype": "mc"}
    datasets = [{"name": n, "files": [str(files[i])], "eventtype": n} for i, n in enumerate(("mc", "data"))]
    sections = {"data": {"datasets": datasets}, "sources": sources, "joins": joins}
    stages = [hist(flow, "A", "m.x", "weight"), {**hist(flow, "B", "score"), "applies_to": {"eventtype": "mc"}}]
    fields = {"weight": {"stream": "friend", "branch": "score", "default": 1.5}}
    made = flow.write(stages, **sections, fields=fields)
    assert made.run(chunk_size=7).exit_code == 0
    x = np.arange(EVENTS) % 10 + 0.5
    columns = np.tile(x, 2), np.concatenate([x, np.full(EVENTS, 1.5)])
    assert values(flow, "A").tolist() == np.histogramdd(columns, bins=10, range=[(0, 10)] * 2)[0].tolist()
    assert values(flow, "B").sum() == EVENTS
    joins["events"]["inputs"][1]["applies_to"] = {"datasets": "mcc"}
    with pytest.raises(ConfigError) as caught:
        flow.write(stages, **sections, fields=fields).compile()
    assert "joins.events.inputs[1].applies_to" in {p.key.partition(".datasets")[0] for p in caught.value.problems}


def test_the_plan_shows_what_is_joined(flow, files):
    joins = {"events": {"on_mismatch": "missing", "inputs": ["main", {"source": "friend", "by": ["run", "event"]}, "extra"]}}  # fmt: skip
    made = flow.write([hist(flow, "A", "score")], files, **{**STREAM, "joins": joins})
    out = io.StringIO()
    _tables(made.compile(), Console(file=out, width=160), [])
    lines = [line.rstrip() for line in out.getvalue().splitlines()[1:3]]
    assert lines == [
        "joined `friend` in ../friends/{name} by run, event; values without a partner are missing",
        "joined `extra` entry by entry",
    ]


def test_the_hash_of_a_plan_covers_joins_and_friends(flow, files):
    made = flow.write([hist(flow, "A", "score")], files, **STREAM)
    before = made.compile().hash
    assert made.compile().hash == before
    other = json.loads(json.dumps(JOINS))
    other["events"]["inputs"][1]["by"] = {"run": "run", "event": "event"}
    assert flow.write([hist(flow, "A", "score")], files, **{**STREAM, "joins": other}).compile().hash != before
    old = uproot.open(f"{flow.folder}/friends/0.root:dir/Scores").arrays(library="np")
    write(flow.folder / "friends/0.root", {"dir/Scores": {**old, "score": old["score"] + 1}}, 9)
    assert flow.write([hist(flow, "A", "score")], files, **STREAM).compile().hash != before


def test_a_friend_that_changes_after_the_plan_was_made_is_refused(flow, files):
    plan = flow.write([hist(flow, "A", "score")], files, **STREAM).compile()
    old = uproot.open(f"{flow.folder}/friends/0.root:dir/Scores").arrays(library="np")
    write(flow.folder / "friends/0.root", {"dir/Scores": {**old, "score": old["score"] + 1}}, 9)
    result = flow.run(plan)
    assert result.exit_code != 0
    summary = (flow.folder / "run/run.json").read_text()
    assert "was replaced after the plan was made" in summary


def test_missing_friends_fail_or_are_missing(flow, files):
    old = uproot.open(f"{flow.folder}/friends/1.root:dir/Scores").arrays(library="np")
    write(flow.folder / "friends/1.root", {"dir/Scores": {name: column[::2] for name, column in old.items()}}, 9)
    keys = set(zip(*(old[name][::2].tolist() for name in KEYS), strict=True))
    main = uproot.open(f"{files[1]}:Events").arrays(library="np")
    partners = [key in keys for key in zip(*(main[name].tolist() for name in KEYS), strict=True)]
    stages = [hist(flow, "A", "score"), hist(flow, "N", "is_none(score) + 0.5")]
    result = flow.write(stages, files, **STREAM).run(chunk_size=7)
    assert result.exit_code != 0
    assert f"source `friend`, {flow.folder}/friends/1.root: it lacks" in (flow.folder / "run/run.json").read_text()
    missing = json.loads(json.dumps(JOINS))
    missing["events"]["on_mismatch"] = "missing"
    result = flow.write(stages, files, **{**STREAM, "joins": missing}).run(mode="replace", chunk_size=7)
    assert result.exit_code == 0
    assert values(flow, "A").sum() == EVENTS + sum(partners)
    assert values(flow, "N")[:2].tolist() == [EVENTS + sum(partners), EVENTS - sum(partners)]


def changed(**sources):
    """The sources, with changes; None removes a key."""
    found = json.loads(json.dumps(SOURCES))
    for name, keys in sources.items():
        found[name] = {key: value for key, value in {**found[name], **keys}.items() if value is not None}
    return found


def without(name):
    def remove(folder):
        (folder / name).unlink()

    return remove


def lacks_tree(folder):
    write(folder / "friends/1.root", {"dir/Other": {"score": np.zeros(3)}})


def one_more(folder):
    with uproot.update(folder / "in/1.root") as file:
        file.mktree("Longer", {"z": "f8"}).extend({"z": np.zeros(EVENTS + 1)})
    with uproot.update(folder / "in/0.root") as file:
        file.mktree("Longer", {"z": "f8"}).extend({"z": np.zeros(EVENTS)})


def nothing(folder):
    pass


@pytest.mark.parametrize(
    ("change", "sections", "code", "key", "message", "hint"),
    [
        (lacks_tree, {}, "E135", "data.datasets[0].files[1]", "1.root: source `friend`, FOLDER/friends/1.root: no tree `dir/Scores;1`", "trees: dir/Other"),
        (without("friends/1.root"), {}, "E135", "data.datasets[0].files[1]", "1.root: source `friend`, FOLDER/friends/1.root: no such file", ""),
        (nothing, {"sources": changed(extra={"tree": "Short"})}, "E135", "data.datasets[0].files[0]", "source `extra` has 59 entries, `main` has 60", "by: [run"),
        (one_more, {"sources": changed(extra={"tree": "Longer"})}, "E135", "data.datasets[0].files[1]", "source `extra` has 61 entries, `main` has 60", "by: [run"),
        (nothing, {"sources": changed(extra={"tree": "Extr"})}, "E135", "sources.extra.tree", "source `extra`: no tree `Extr` (all 2 input files)", "`Extra`"),
        (nothing, {"sources": changed(friend={"tree": "dir/Scores;4"})}, "E135", "data.datasets[0].files[0]", "no tree `dir/Scores;4`", ""),
        (nothing, {"joins": {"events": {"inputs": ["main", {"source": "friend", "by": ["run", "evnt"]}, "extra"]}}}, "E135", "joins.events.inputs[1].by", "source `main` has no branch `evnt`, a key of the join with `friend`", "`event`"),
        (nothing, {"joins": {"events": {"inputs": ["main", {"source": "friend", "by": {"x": "score"}}, "extra"]}}}, "E135", "joins.events.inputs[1].by", "source `main`: branch `x` is not one integer per event", "use integers"),
        (nothing, {"sources": changed(friend={"tree": "Events", "files": "../friends/0.root"}), "joins": {"events": {"inputs": ["main", "friend", "extra"]}}}, "E133", "sources.friend.files", "`0.root` and `1.root` have the same file of source `friend`", "{stem}"),
        (nothing, {"fields": {"score": {"stream": "friend", "branch": "scor"}}}, "E136", "fields.score.branch", "no branch `f.scor`", "`f.score`"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_the_plan_is_made(flow, files, change, sections, code, key, message, hint):
    change(flow.folder)
    with pytest.raises(ConfigError) as caught:
        flow.write([hist(flow, "A", "score")], files, **{**STREAM, **sections}).compile()
    wanted = message.replace("FOLDER", str(flow.folder))
    found = [p for p in caught.value.problems if p.code == code and wanted in p.message and hint in str(p.hint)]
    assert found, caught.value.problems
    assert found[0].key == key


def test_a_name_of_two_trees_is_refused_with_its_choices(flow, files):
    with pytest.raises(ConfigError) as caught:
        flow.write([hist(flow, "A", "x")], files, **STREAM).compile()
    (found,) = caught.value.problems
    assert "branch `x` is in several sources: `main` and `friend`" in found.message
    assert "write `m.x` or `f.x`" in str(found.hint)


def test_output_does_not_mix_with_friends(flow, files):
    main, friend = (flow.folder / folder / "small-000000.root" for folder in ("in", "friends"))
    files[0].rename(main)
    (flow.folder / "friends/0.root").rename(friend)
    stage = flow.stage("W", "hep.write", [], path=str(flow.folder / "friends"), fields=["score"], format="root")
    with pytest.raises(ConfigError) as caught:
        flow.write([stage], [main], **STREAM).compile()
    assert [(p.code, p.message) for p in caught.value.problems] == [
        ("E167", "stage `W` would write next to input files such as `small-000000.root`")
    ]


def test_friends_must_be_where_workers_see_them(flow, files):
    site = {"meta": {"description": "far away"}, "strategy": {"kind": "htcondor"}, "shared_filesystem": False}
    path = flow.folder / "far.yaml"
    path.write_text(json.dumps({**site, "shared_folders": [str(flow.folder / "in")]}))
    flow.write([hist(flow, "A", "score")], files, **STREAM, execution={"pools": {"default": {"workers": 2}}})
    with pytest.raises(ConfigError) as caught:
        compile_plan(flow.path, path)
    assert [(p.code, p.key) for p in caught.value.problems] == [("E149", "sources.friend.files")]
    assert f"{flow.folder}/friends/0.root" in caught.value.problems[0].message
    path.write_text(json.dumps({**site, "shared_folders": [str(flow.folder)]}))
    assert compile_plan(flow.path, path).source.friends(str(files[0])) == (str(flow.folder / "friends/0.root"),)


def test_runs_and_lumi_blocks_remain_readable_by_their_trees(flow):
    path = flow.folder / "a.root"
    write(path, {"Events": {"x": np.zeros(5)}, "Runs": {"x": np.full(3, 7.5)}})
    flow.write([hist(flow, "A", "x")], datasets={"events": [path], "runs": [path]})
    content = json.loads(flow.path.read_text())
    content["data"]["datasets"][1]["tree"] = "Runs"
    flow.path.write_text(json.dumps(content))
    assert flow.run().exit_code == 0
    assert values(flow, "A").sum(axis=0 if values(flow, "A").ndim > 1 else None).sum() == 8
