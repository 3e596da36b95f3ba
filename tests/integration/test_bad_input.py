"""Every mistake that a user can make in the input: refused before anything starts, with its place and a hint.

The commands run in this process; what is looked at is what a user would see.
"""

import re
import sys

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.cli.main import invoke
from fasthep_parsl.error_codes import CODES

BASE = """\
version: "1.0"
data:
  defaults: {eventtype: mc}
  datasets:
    - {name: dy, files: [a.root], meta: {xsec: 10.5}}
    - {name: tt, files: [b.root], meta: {xsec: 20}}
sources:
  events: {kind: root_tree, tree: Events}
analysis:
  stages:
    - id: Good
      op: hep.define
      params:
        variables:
          - {name: ht, reduce: {op: sum, over: Jet_pt}}
          - {name: w, expr: "genWeight * dataset.xsec"}
    - id: Sel
      op: hep.selection.cutflow
      params:
        selection:
          presel: [MET_pt > 20, nMuon >= 1]
        weight_expr: w
    - id: Hist
      op: hep.hist
      needs: [Sel]
      params:
        axes:
          - {name: met, source: MET_pt, type: regular, bins: {nbins: 10, low: 0, high: 100}}
        weight_expr: w
execution:
  backend: local
  strategy: local
  pools:
    default: {workers: 2, resources: {cpus: 1, memory: 1GB}}
"""
OP = """\
from fasthep_parsl import op


@op("bad.boom", reads=["run"], writes=["x"])
def boom(events, *, at: int = 450):
    if (events.run == at).any():
        raise ValueError(f"run {at} is bad")
    return {"x": events.run}
"""


def write(path, events, tree="Events", drop=()):
    rng = np.random.default_rng(1)
    muons, jets = rng.poisson(2, events), rng.poisson(4, events)

    def jagged(counts):
        return ak.unflatten(rng.exponential(20, int(counts.sum())).astype("f4"), counts)

    columns = {
        "Muon": ak.zip({"pt": jagged(muons), "eta": jagged(muons)}),
        "Jet": ak.zip({"pt": jagged(jets)}),
        "MET_pt": rng.exponential(30, events).astype("f4"),
        "genWeight": np.ones(events),
        "run": np.arange(events),
    }
    columns = {name: column for name, column in columns.items() if name not in drop}
    types = {n: c.dtype if isinstance(c, np.ndarray) else ak.type(c).content for n, c in columns.items()}
    with uproot.recreate(path) as file:
        file["h"] = np.histogram([1.0])
        made = file.mktree(tree, types)
        if events:
            made.extend(columns)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad-input")
    write(folder / "a.root", 1000)
    write(folder / "b.root", 500)
    write(folder / "nomet.root", 100, drop=["MET_pt"])
    write(folder / "none.root", 0)
    write(folder / "none2.root", 0)
    write(folder / "othertree.root", 10, tree="Evnts")
    whole = (folder / "a.root").read_bytes()
    (folder / "truncated.root").write_bytes(whole[: len(whole) // 2])
    (folder / "text.root").write_text("hello\n" * 100)
    (folder / "nothing.root").touch()
    return folder


@pytest.fixture
def here(files, tmp_path, monkeypatch):
    """A folder with the files, to stand in; modules that a test imports are forgotten afterwards."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__fasthep_sha256__", None):
            del sys.modules[name]


def edited(edits):
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def command(capsys, *arguments):
    """Run a command; return its exit code, stdout and stderr."""
    code = invoke([str(item) for item in arguments])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out
    return code, shown.out, shown.err


def blocks(text):
    """Cut what was shown into one text per problem."""
    return re.findall(r"^(?:error|warning)\[.*?(?=^(?:error|warning)\[|^\d+ errors?; nothing was started\.$)", text,
                      re.MULTILINE | re.DOTALL)  # fmt: skip


def underlined(block):
    """Return what the caret stands under."""
    lines = block.splitlines()
    caret = next(n for n, line in enumerate(lines) if re.fullmatch(r" *\| +\^+.*", line))
    first = lines[caret].index("^")
    return lines[caret - 1][first : lines[caret].rindex("^") + 1]


def label(key, value):
    return [("op: hep.hist\n", f"op: hep.hist\n      execution: {{{key}: {value}}}\n")]


GPU = ("memory: 1GB}}", "memory: 1GB}}\n    gpu: {workers: 1, resources: {cpus: 1, gpus: 1, memory: 1GB}}")
AXIS = "- {name: met, source: MET_pt, type: regular, bins: {nbins: 10, low: 0, high: 100}}"
TWO_AXES = "\n          ".join(
    f"- {{name: {name}, source: {field}, type: regular, bins: {{nbins: 10, low: 0, high: 100}}}}"
    for name, field in (("mu", "Muon_pt"), ("jet", "Jet_pt"))
)
CASES = {
    "unknown key at the top": ([("execution:", "exection:")], "E102", "exection", "did you mean `execution`?"),
    "unknown key of a stage": ([("needs: [Sel]", "need: [Sel]")], "E102", "need", "did you mean `needs`?"),
    "unknown op": ([("op: hep.hist\n", "op: hep.histt\n")], "E110", "hep.histt", "did you mean `hep.hist`?"),
    "unknown parameter": ([("weight_expr: w\nexec", "weigth_expr: w\nexec")], "E102", "weigth_expr", "`weight_expr`?"),
    "unknown nested parameter": ([("nbins: 10", "nbin: 10")], "E102", "nbin", "did you mean `nbins`?"),
    "unknown value of a parameter": ([("op: sum", "op: summ")], "E106", "summ", "did you mean `sum`?"),
    "wrong type in a parameter": ([("nbins: 10", "nbins: ten")], "E105", "ten", "expected a whole number"),
    "wrong type in a pool": ([("workers: 2", "workers: two")], "E105", "two", "expected a whole number"),
    "wrong unit": ([("1GB", "1 gigabit")], "E105", "1 gigabit", "units: B, kB, MB, GB"),
    "misspelt require": (label("require", "defalt"), "E140", "defalt", "did you mean `default`?"),
    "misspelt prefer": (label("prefer", "defualt"), "E140", "defualt", "did you mean `default`?"),
    "misspelt fallback": (label("fallback", "defualt"), "E140", "defualt", "did you mean `default`?"),
    "no such pool": (label("require", "gpu"), "E141", "gpu", "write `fallback: default`"),
    "no GPU here": ([*label("require", "gpu"), GPU], "E141", "gpu", "this machine has no GPU"),
    "circle": ([("op: hep.define\n", "op: hep.define\n      needs: [Sel]\n")], "E122", "[", "Good → Sel → Good"),
    "unknown needs": ([("needs: [Sel]", "needs: [Seel]")], "E121", "Seel", "did you mean `Sel`?"),
    "unknown from": (
        [("needs: [Sel]", "from: [{node: Goodd, port: hist, as: title}]")], "E121", "Goodd", "did you mean `Good`?"),
    "unknown port": (
        [("needs: [Sel]", "from: [{node: Sel, port: hist, as: title}]")], "E124", "hist", "products: cutflow"),
    "a product where the plan needs a value": (
        [("needs: [Sel]", "from: [{node: Sel, port: cutflow, as: axes}]"), (AXIS, "")], "E111", "axes",
        "the plan needs its value"),
    "bound to no parameter": (
        [("needs: [Sel]", "from: [{node: Sel, port: cutflow, as: titel}]")], "E111", "titel", "did you mean `title`?"),
    "missing file": ([("a.root", "aa.root")], "E132", "aa.root", "did you mean `a.root`?"),
    "pattern without a match": ([("a.root", "z*.root")], "E131", "z*.root", "searched"),
    "missing folder": ([("a.root", "data/*.root")], "E131", "data/*.root", "no folder"),
    "dataset without files": ([("[a.root]", "[]")], "E134", None, "has no files"),
    "file listed twice": ([("[a.root]", "[a.root, a.root]")], "E133", "a.root", "would count twice"),
    "missing branch in an expression": ([("MET_pt > 20", "MET_pT > 20")], "E150", "MET_pT", "did you mean `MET_pt`?"),
    "missing branch in the middle": (
        [("MET_pt > 20", '"1 + sum(Mue_pt) > 20"')], "E150", "Mue_pt", "did you mean `Muon_pt`"),
    "missing branch in an axis": ([("source: MET_pt", "source: MT_pt")], "E150", "MT_pt", "did you mean `MET_pt`"),
    "missing branch in fields": (
        [("analysis:\n", "fields: {m: {stream: events, branch: MET_p}}\nanalysis:\n")], "E136", "MET_p", "`MET_pt`?"),
    "missing collection": (
        [("op: hep.define", "op: hep.select_objects"),
         ("""variables:
          - {name: ht, reduce: {op: sum, over: Jet_pt}}
          - {name: w, expr: "genWeight * dataset.xsec"}""", "{collection: Muoon, output: M, selection: [pt > 1], keep: [pt]}"),
         ("weight_expr: w", "weight_expr: genWeight")], None, None, "Muon"),
    "unknown fact of all datasets": ([("dataset.xsec", "dataset.xsek")], "E152", "dataset.xsek", "did you mean `xsec`?"),
    "unknown fact of one dataset": ([(", meta: {xsec: 20}", "")], "E152", "dataset.xsec", "dataset `tt`"),
    "jagged axes that differ": ([(AXIS, TWO_AXES)], "E151", "Jet_pt", "different structure (nMuon and nJet)"),
    "jagged selection": ([("MET_pt > 20", "Muon_pt > 20")], "E151", "Muon_pt > 20", "use any(Muon_pt > 20)"),
    "jagged weight": ([("genWeight * dataset.xsec", "genWeight * Jet_pt")], "E151", "w", "one value per object"),
    "not an expression": ([("MET_pt > 20", "MET_pt > > 20")], "E151", "MET_pt > > 20", "is not an expression"),
    "unknown function": ([("MET_pt > 20", "sqt(MET_pt) > 2")], "E151", None, "did you mean `sqrt`"),
    "code in an expression": (
        [("MET_pt > 20", "__import__('os').getcwd() > 1")], "E151", None, "only named functions can be called"),
    "truncated file": ([("a.root", "truncated.root")], "E135", "truncated.root", "is truncated: it has"),
    "not a ROOT file": ([("a.root", "text.root")], "E135", "text.root", "not a ROOT file: it does not begin with `root`"),
    "file of 0 bytes": ([("a.root", "nothing.root")], "E135", "nothing.root", "empty (0 bytes)"),
    "wrong tree": ([("tree: Events", "tree: Event")], "E135", "Event", "did you mean `Events`?"),
    "a histogram as tree": ([("tree: Events", "tree: h")], "E135", None, "`h` is a TH1D, not a TTree"),
    "wrong tree in one file": ([("a.root", "othertree.root")], "E135", "othertree.root", "did you mean `Evnts`?"),
    "not a Parquet file": (
        [("kind: root_tree, tree: Events", "kind: parquet"), (", b.root", "")][:1], None, None, "not a readable Parquet"),
    "wrong number of events": (
        [("files: [a.root]", "files: [a.root], nevents: 5")], "E137", "5", "has 1,000 events, but `nevents` is 5"),
    "missing analysis module": (
        [("data:\n", "use: {modules: [no_ops.py]}\ndata:\n")], "E112", "no_ops.py", "no analysis module"),
    "unknown backend": ([("backend: local", "backend: locl")], "E110", "locl", "did you mean `local`?"),
    "unknown modifier": (label("modifiers", "[gpu.prelod]"), "E110", "gpu.prelod", "unknown modifier"),
    "bracket not closed": ([("needs: [Sel]", "needs: [Sel")], "E101", None, "is not closed"),
    "tab": ([("      op: hep.hist\n", "\top: hep.hist\n")], "E101", None, "a tab in the indentation"),
    "key twice": ([("      op: hep.hist\n", "      op: hep.hist\n      op: hep.hist\n")], "E103", "op", "is twice"),
    "stage twice": ([("id: Sel", "id: Good")], "E120", "Good", "two stages have the id"),
    "dataset twice": ([("name: tt", "name: dy")], "E130", "dy", "two datasets have the name"),
    "axis upside down": ([("low: 0, high: 100", "low: 100, high: 0")], "E105", None, "needs low < high"),
    "undefined alias": ([("[Sel]", "*sel")], "E101", None, "undefined alias `sel`"),
    "missing include": ([("data:\n", "include: [x.yaml]\ndata:\n")], "E108", "x.yaml", "no such file"),
}  # fmt: skip


@pytest.mark.parametrize(("edits", "code", "marked", "said"), CASES.values(), ids=CASES)
def test_a_mistake_is_refused_with_place_and_hint(here, capsys, edits, code, marked, said):
    (here / "w.yaml").write_text(edited(edits))
    status, out, err = command(capsys, "run", "w.yaml", "--outdir", "out")
    assert status == 2
    assert out == ""
    assert not (here / "out").exists(), "nothing is started or written"
    assert re.search(r"^\d+ errors?; nothing was started\.$", err, re.MULTILINE)
    shown = blocks(err)
    codes = [re.match(r"\w+\[(\w+)\]", block)[1] for block in shown]
    assert set(codes) <= CODES.keys()
    about = [block for block in shown if code in (None, re.match(r"\w+\[(\w+)\]", block)[1])]
    block = next(block for block in about if said in block)
    assert re.search(r"--> w\.yaml:\d+:\d+", block)
    if marked is not None:
        assert underlined(block) == marked
    for block in shown:
        assert len(block.splitlines()) <= 8


def test_all_mistakes_come_at_once_in_the_order_of_the_file(here, capsys):
    text = edited(
        [
            ("a.root", "aa.root"),
            ("tree: Events", "treee: Events"),
            ("dataset.xsec", "dataset.xsek"),
            ("MET_pt > 20", "MET_pT > 20"),
            ("op: hep.hist\n", "op: hep.histt\n"),
            ("needs: [Sel]", "needs: [Seel]"),
            ("nbins: 10", "nbin: 10"),
            ("execution:", "exection:"),
        ]
    )
    (here / "w.yaml").write_text(text)
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert [underlined(block) for block in blocks(err)] == [
        "aa.root",
        "treee",
        "dataset.xsek",
        "MET_pT",
        "hep.histt",
        "Seel",
        "nbin",
        "exection",
    ]
    *_, errors, more = err.splitlines()
    assert errors == "8 errors; nothing was started."
    assert re.fullmatch(r"for more: fasthep-parsl explain( E\d{3}){4}", more)


def test_a_mistake_is_not_repeated_by_what_follows_from_it(here, capsys):
    (here / "w.yaml").write_text(edited([("op: sum", "op: summ")]))  # so the field `w` is not made
    _, _, err = command(capsys, "plan", "w.yaml")
    assert len(blocks(err)) == 1


def test_a_branch_that_only_some_files_have(here, capsys):
    (here / "w.yaml").write_text(edited([("a.root", "nomet.root")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "branch `MET_pt` is missing in nomet.root; b.root has it" in err
    assert [underlined(block) for block in blocks(err)] == ["MET_pt", "MET_pt"]


def test_parquet_without_pyarrow(here, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (here / "w.yaml").write_text(edited([("kind: root_tree, tree: Events", "kind: parquet")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "Parquet needs pyarrow" in err
    assert "pip install 'fasthep-parsl[parquet]'" in err
    assert underlined(err) == "parquet"


def test_many_bad_files_do_not_fill_the_screen(here, capsys):
    for number in range(30):
        (here / f"bad{number}.root").write_text("hello")
    (here / "w.yaml").write_text(edited([("a.root", "bad*.root")]))
    _, _, err = command(capsys, "plan", "w.yaml")
    assert len(blocks(err)) == 11
    assert "20 more input files cannot be used" in err


MODULES = {
    "syntax": ("x = 1\ndef f(:\n", ":2:7", "SyntaxError"),
    "import": ("import os\nimport torchh\n", ":2:1", "No module named 'torchh'"),
    "exit": ("import sys\nsys.exit(3)\n", ":2:1", "SystemExit"),
    "declaration": ('from fasthep_parsl import op\n@op("x.y", merge=1, scope="dataset", stream=True)\ndef f(): pass\n',
                    ":2:1", "TypeError"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), MODULES.values(), ids=MODULES)
def test_analysis_code_that_cannot_be_imported(here, capsys, text, place, said):
    (here / "bad_ops.py").write_text(text)
    use = ("data:\n", "use: {modules: [bad_ops.py]}\ndata:\n")
    (here / "w.yaml").write_text(edited([use, ("op: hep.hist\n", "op: bad.op\n"), ("MET_pt > 20", "MET_pT > 20")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "error[E112]: analysis module `bad_ops.py` cannot be imported" in err
    assert f"bad_ops.py{place}" in err
    assert said in err
    assert "unknown op" not in err, "it may be defined there"
    assert "MET_pT" in err


def test_analysis_code_with_the_name_of_an_installed_module(here, capsys):
    (here / "this.py").write_text(OP)
    (here / "w.yaml").write_text(edited([("data:\n", "use: {modules: [this.py]}\ndata:\n")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "has the name of an installed module" in err
    assert underlined(err) == "this.py"
    assert "rename the file" in err


def test_an_op_that_two_modules_define(here, capsys):
    (here / "bad_one.py").write_text(OP)
    (here / "bad_two.py").write_text(OP)
    (here / "w.yaml").write_text(edited([("data:\n", "use: {modules: [bad_one.py, bad_two.py]}\ndata:\n")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "`bad_one` and `bad_two` both define the op `bad.boom`" in err
    assert underlined(err) == "bad_two.py"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "x"], "`x` is not `key=value`"),
        (["--set", "=3"], "`=3` is not `key=value`"),
        (["--set", "pools.default.workers"], "is not `key=value`"),
        (["--set", "pools.default.workers=["], "is not YAML"),
        (["--set", "pools.default.wrkers=3"], "did you mean `workers`?"),
        (["--set", "pools.default.workers=0"], "must be at least 1"),
        (["--set", "chunk_size=0"], "must be at least 1"),
        (["--set", "stages[Hst].op=x"], "did you mean `Hist`?"),
        (["--set", "pools..workers=1"], "is not a key"),
        (["--site", "lcal"], "did you mean `local`?"),
        (["--site", "sites/none.yaml"], "no such file"),
        (["--site", "site.yaml"], "did you mean `workers`?"),
        (["--chunk-size", "0"], "greater than or equal to 1"),
        (["--chunk-size", "ten"], "valid integer"),
    ],
)
def test_bad_options(here, capsys, options, said):
    (here / "w.yaml").write_text(BASE)
    (here / "site.yaml").write_text("meta: {description: x}\nstrategy: local\npools: {default: {workes: 2}}\n")
    status, out, err = command(capsys, "run", "w.yaml", *options)
    assert status == 2
    assert said in err
    assert out == ""
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.yaml", "no such file"), (".", "is a folder"), ("a.root", "not UTF-8"), ("empty.yaml", "is empty"),
     ("list.yaml", "expected a mapping")],
)  # fmt: skip
def test_what_is_not_a_workflow(here, capsys, name, said):
    (here / "empty.yaml").touch()
    (here / "list.yaml").write_text("- 1\n")
    status, _, err = command(capsys, "plan", name)
    assert status == 2
    assert said in err


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("- id: Hist", "- &hist\n      id: Hist"),
    ],
    ids=["crlf", "bom", "anchor"],
)
def test_unusual_files_are_read(here, capsys, change):
    (here / "w.yaml").write_bytes(change(BASE).encode())
    status, out, _ = command(capsys, "plan", "w.yaml")
    assert status == 0
    assert "1,500 events" in out


def test_a_file_without_events_is_a_warning(here, capsys):
    (here / "w.yaml").write_text(edited([("a.root", "none.root")]))
    status, out, err = command(capsys, "run", "w.yaml", "--no-plots")
    assert status == 0
    assert "warning: dataset `dy` has no events" in err
    assert "500 of 500 events" in out


def test_only_files_without_events_give_empty_results(here, capsys):
    (here / "w.yaml").write_text(edited([("a.root", "none.root"), ("b.root", "none2.root")]))
    status, _, err = command(capsys, "run", "w.yaml", "--no-plots")
    assert status == 0
    assert "the input files have no events: all results will be empty" in err
    with uproot.open("run/results/histograms.root") as file:
        assert sum(file[key].values().sum() for key in file.keys(recursive=True, filter_classname="TH1*")) == 0


def test_run_directories(here, capsys):
    (here / "w.yaml").write_text(BASE)
    (here / "other").mkdir()
    (here / "other" / "thesis.tex").touch()
    for outdir, said in (
        ("other", "is not a run directory"),
        ("a.root", "is a file"),
        ("/proc/x", "cannot be written"),
    ):
        status, _, err = command(capsys, "run", "w.yaml", "-o", outdir)
        assert (status, said in err) == (2, True), err
    status, _, err = command(capsys, "run", "w.yaml", "-o", "other", "--force")
    assert (status, (here / "other" / "thesis.tex").exists()) == (2, True)
    assert "--force replaces only runs" in err

    assert command(capsys, "run", "w.yaml", "--no-plots")[0] == 0
    (here / "run" / "thesis.tex").touch()
    status, _, err = command(capsys, "run", "w.yaml")
    assert status == 2
    assert "already contains a run" in err
    assert "--resume continues it, --force replaces it" in err
    (here / "w.yaml").write_text(edited([("nbins: 10", "nbins: 20")]))
    status, _, err = command(capsys, "run", "w.yaml", "--resume")
    assert status == 2
    assert "contains another run: stages" in err
    assert command(capsys, "run", "w.yaml", "--no-plots", "--force")[0] == 0
    assert (here / "run" / "thesis.tex").exists()
    status, _, err = command(capsys, "run", "w.yaml", "--force", "--resume")
    assert status == 2
    assert "use one of them" in err
