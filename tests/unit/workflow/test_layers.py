"""Includes, layers and --set: who wins, and where it says it stands."""

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.loader import load_workflow
from fasthep_parsl.workflow.overrides import resolve_key
from fasthep_parsl.workflow.parse import parse
from fasthep_parsl.workflow.yamldoc import merge, show_path

MINIMAL = """\
data: {datasets: [{name: dy, files: [dy.root]}]}
sources: {events: {kind: root_tree, tree: Events}}
analysis:
  stages:
    - {id: Mass, op: hep.hist, params: {axes: [{name: m}]}}
"""


@pytest.fixture
def files(tmp_path):
    def write(**content):
        for name, text in content.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path / "main.yaml"

    return write


def refusal(call, *args, **keywords):
    with pytest.raises(ConfigError) as caught:
        call(*args, **keywords)
    return caught.value.problems


def test_included_files_lie_below(files):
    path = files(
        main="include: [a.yaml, b.yaml]\nx: {p: main}\nl: [3]", a="x: {p: a, q: a}\nl: [1]", b="x: {q: b}\nl: [2]"
    )
    document = load_document(path)
    assert document.data == {"x": {"p": "main", "q": "b"}, "l": [1, 2, 3]}
    assert document.marks.value(("x", "q")).file.endswith("b.yaml")
    assert document.marks.value(("l", 0)).file.endswith("a.yaml")
    assert document.marks.value(("l", 2)).line == 3
    assert [name.rsplit("/", 1)[1] for name in document.files] == ["a.yaml", "b.yaml", "main.yaml"]


def test_includes_are_relative_to_the_file_that_names_them(tmp_path, files):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/one.yaml").write_text("include: two.yaml\na: 1")
    (tmp_path / "sub/two.yaml").write_text("b: 2")
    assert load_document(files(main="include: sub/one.yaml")).data == {"b": 2, "a": 1}


def test_the_same_file_may_be_included_twice_but_not_in_a_circle(files):
    assert load_document(
        files(main="include: [a.yaml, b.yaml]", a="include: c.yaml", b="include: c.yaml", c="z: 1")
    ).data
    (problem,) = refusal(load_document, files(main="include: a.yaml", a="x: 1\ninclude: [main.yaml]"))
    assert problem.code == "E108"
    assert "main.yaml → a.yaml → main.yaml" in problem.message
    assert str(problem.where).endswith("a.yaml:2:11")


def test_what_cannot_be_included_is_shown_where_it_is_named(files):
    found = refusal(load_document, files(main="include: [no.yaml, a.yaml, nor.yaml]", a="x: [1"))
    assert [p.code for p in found] == ["E108", "E101", "E108"]
    assert "must be a file" in refusal(load_document, files(main="include: [3]"))[0].message
    assert "must be a file" in refusal(load_document, files(main="include: {a: b}"))[0].message


def test_layers_of_a_site_lie_over_the_workflow(files):
    path = files(
        main=MINIMAL + "execution: {pools: {gpu: {workers: 2, resources: {cpus: 4, memory: 8GB}}}, credentials: [x509]}"
    )
    site = parse("pools: {gpu: {resources: {memory: 16GB}}}\ncredentials: [scitoken]", "site.yaml", "site profile here")
    user = parse("pools: {gpu: {workers: 3}}", "user.yaml", "user site file")
    loaded = load_workflow(path, layers=[site, user], overrides=["pools.gpu.cpus=8", "chunk_size=1e5"])
    gpu = loaded.workflow.execution.pools["gpu"]
    assert (gpu.workers, gpu.resources.cpus, gpu.resources.memory) == (3, 8, 16 * 10**9)
    assert [kind.kind for kind in loaded.workflow.execution.credentials] == ["scitoken"]
    assert loaded.workflow.execution.chunk_size == 100_000
    assert loaded.workflow.execution.backend.kind == "parsl"
    layers = {
        key: loaded.document.marks.layer(resolve_key(loaded.document, key))
        for key in (
            "pools.gpu.memory",
            "pools.gpu.workers",
            "pools.gpu.cpus",
            "backend",
            "pools.default.workers",
            "data",
        )
    }
    assert layers == {
        "pools.gpu.memory": "site profile here",
        "pools.gpu.workers": "user site file",
        "pools.gpu.cpus": "--set",
        "backend": "package defaults",
        "pools.default.workers": "package defaults",
        "data": "workflow",
    }


def test_fields_of_one_kind_are_not_given_to_another():
    low = parse("strategy: {kind: slurm, queue: long}", "a", "a")
    assert merge(low, parse("strategy: {kind: htcondor}", "b", "b")).data == {"strategy": {"kind": "htcondor"}}
    assert merge(low, parse("strategy: {queue: short}", "b", "b")).data["strategy"] == {
        "kind": "slurm",
        "queue": "short",
    }
    assert merge(low, parse("strategy: local", "b", "b")).data == {"strategy": "local"}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("execution.pools.gpu.workers", "execution.pools.gpu.workers"),
        ("pools.gpu.workers", "execution.pools.gpu.workers"),
        ("pools.gpu.memory", "execution.pools.gpu.resources.memory"),
        ("stages[0].op", "analysis.stages[0].op"),
        ("stages[-1].op", "analysis.stages[0].op"),
        ("stages[Mass].params.axes[m].name", "analysis.stages[0].params.axes[0].name"),
        ("datasets[dy].nevents", "data.datasets[0].nevents"),
        ('pools."my.pool".workers', 'execution.pools."my.pool".workers'),
    ],
)
def test_keys_of_the_command_line(files, key, path):
    assert show_path(resolve_key(load_workflow(files(main=MINIMAL)).document, key)) == path


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("abc", "is not `key=value`", "overrides=['pools"),
        ("=3", "is not `key=value`", ""),
        ("a..b=3", "is not a key", ""),
        ("pols.x=1", "unknown key `pols`", "did you mean `pools`?"),
        ("stages[Mas].op=x", "has no item `Mas`", "did you mean `Mass`?"),
        ("stages[7].op=x", "has no item `7`", "Mass"),
        ("chunk_size=[1", "is not YAML", "put it in quotes"),
        ("stages[0].op.x=1", "cannot set `x`", "set all of"),
        ("pools.gpu.workers=many", "expected a whole number, got text `many`", "auto"),
        ("pools.gpu.wokers=1", "unknown key `wokers`", "did you mean `workers`?"),
        ("pools.big.memory=4GB", "is `large`", "resources.large.memory"),
        ("strategy.queue=long", "cannot set `queue`", "strategy.kind=local"),
    ],
)
def test_wrong_settings_are_refused(files, text, message, hint):
    execution = "execution: {pools: {big: {resources: large}}, resources: {large: {cpus: 8}}}"
    problems = refusal(load_workflow, files(main=MINIMAL + execution), overrides=[text])
    assert message in problems[0].message
    assert hint in str(problems[0].hint)
    assert problems[0].where.file == f"--set {text}"


def test_settings_make_what_is_missing(files):
    loaded = load_workflow(files(main=MINIMAL), overrides=["resources.big={cpus: 4}", "pools.big.resources=big"])
    assert loaded.workflow.execution.resources["big"].cpus == 4
    assert loaded.workflow.execution.pools["big"].resources == "big"


SITE = "site profile here"


def on_site(files, site, execution="", overrides=()):
    layers = [parse(text, "site.yaml", SITE) for text in ([site] if isinstance(site, str) else site)]
    path = files(main=MINIMAL + (f"execution: {execution}" if execution else ""))
    return load_workflow(path, layers=layers, overrides=overrides).workflow.execution


@pytest.mark.parametrize(
    ("workflow", "site", "overrides", "expected"),
    [
        ("{strategy: local}", "strategy: {kind: slurm, account: a}", [], {"account": "a"}),
        ("{strategy: {kind: slurm, reservation: r}}", "strategy: {kind: slurm, account: a}", [], {"account": "a"}),
        ("{strategy: {kind: slurm, reservation: r}}", "strategy: slurm", [], {}),
        ("{strategy: {kind: slurm, reservation: r}}", "scratch: /tmp", [], {"reservation": "r"}),
        ("", ["strategy: slurm", "strategy: {account: a}"], [], {"account": "a"}),
        ("", ["strategy: {kind: slurm, account: a}", "strategy: slurm"], [], {"account": "a"}),
        ("", "strategy: slurm", ["strategy.account=b"], {"account": "b"}),
        ("", "strategy: {kind: slurm, account: a}", ["strategy=slurm"], {"account": "a"}),
        ("", "strategy: {kind: slurm, account: a}", ["strategy={kind: slurm, qos: q}"], {"qos": "q"}),
        ("{strategy: slurm}", "scratch: /tmp", ["strategy.account=b"], {"account": "b"}),
    ],
)
def test_whose_strategy_holds(files, workflow, site, overrides, expected):
    strategy = on_site(files, site, workflow, overrides).strategy
    assert (strategy.kind, strategy.params) == ("slurm", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HERE}", "x y"),
        ("/a/${HERE}/${HERE:-z}", "/a/x y/x y"),
        ("${NOT_SET:-z}", "z"),
        ("${EMPTY:-z}", "z"),
        ("${NOT_SET:-$HOME/w}", "$HOME/w"),
        ("$HERE", "$HERE"),
        ("$${HERE}", "${HERE}"),
        ("$${HERE%/*}-${HERE}", "${HERE%/*}-x y"),
        ("$(hostname) $$ a$b{c}", "$(hostname) $$ a$b{c}"),
    ],
)
def test_variables_are_put_into_what_a_site_says(files, monkeypatch, text, expected):
    monkeypatch.setenv("HERE", "x y")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOT_SET", raising=False)
    found = on_site(files, f"{{scratch: '{text}', worker_init: ['{text}']}}")
    assert (found.scratch, found.worker_init) == (expected, (expected,))
    assert on_site(files, "{}", f"{{scratch: '{text}'}}").scratch == text  # what the workflow says is left alone
    assert on_site(files, "{}", "", [f"scratch='{text}'"]).scratch == text


def test_numbers_may_come_from_variables(files, monkeypatch):
    monkeypatch.setenv("PORTS", "9000-9010")
    monkeypatch.setenv("BLOCKS", "3")
    found = on_site(files, "{network: {ports: '${PORTS}'}, scaling: {max_blocks: '${BLOCKS}'}}")
    assert (found.network.ports, found.scaling.max_blocks) == ((9000, 9010), 3)


def test_a_variable_that_is_not_set_is_named_unless_somebody_else_says_it(files, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    site = "strategy: local\nscratch: ${NOT_SET}\nqueues: {q: {walltime: '${NOT_SET}'}}"
    found = refusal(on_site, files, site)
    assert [(item.code, item.key, item.where.line) for item in found] == [
        ("E147", "execution.scratch", 2),
        ("E147", "execution.queues.q.walltime", 3),
    ]
    assert found[0].message == "environment variable `NOT_SET` is not set"
    assert str(found[0].hint) == "`export NOT_SET=…`, or `overrides=['execution.scratch=…']`"
    site = "strategy: local\nscratch: ${NOT_SET}"
    assert on_site(files, site, overrides=["scratch=/tmp"]).scratch == "/tmp"
    assert on_site(files, [site, "scratch: /x"]).scratch == "/x"


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${A-b}", "${A:?b}", "${1}", "a ${A b} c"])
def test_what_is_not_a_variable_is_refused_with_how_to_escape_it(files, text):
    (problem,) = refusal(on_site, files, f"{{strategy: local, scratch: '{text}'}}")
    assert (problem.code, problem.key) == ("E105", "execution.scratch")
    assert "write `$${" in str(problem.hint)
