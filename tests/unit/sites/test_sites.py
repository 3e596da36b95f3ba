from pathlib import Path

import pytest

from fasthep_parsl import sites
from fasthep_parsl.errors import ConfigError, on_command_line
from fasthep_parsl.sites import list_sites, load_site, missing_requirements
from fasthep_parsl.workflow.parse import parse

META = "meta: {description: d}\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty working folder, config folder and extra folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(sites.PATH_VARIABLE, f"{tmp_path}/extra")

    def write(**content):
        folders = {"here": "site_profiles", "extra": "extra", "user": "config/fasthep-parsl/sites"}
        for key, text in content.items():
            place, _, name = key.partition("_")
            path = tmp_path / folders[place] / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def refusal(name):
    with pytest.raises(ConfigError) as caught:
        load_site(name)
    return caught.value.problems


PROFILES = sorted(path.stem for path in (Path(sites.__file__).parents[2] / "site_profiles").glob("[!_]*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_of_the_package_is_complete(places, name):
    site = load_site(name)
    assert site.meta.contact
    assert site.meta.docs_url
    assert site.meta.status != "verified" or site.meta.verified_on


def test_local_is_found_from_anywhere(places):
    site = load_site("local")
    assert (site.name, site.strategy.kind) == ("local", "local")
    assert site.execution_layer.data == {"strategy": {"kind": "local"}}
    assert site.layers[0].marks.layer(("strategy",)) == "site profile local"
    assert "local" in list_sites()


def test_unknown_sites_name_close_ones(places):
    (problem,) = refusal("locl")
    assert (problem.code, str(problem.hint)) == ("E143", "did you mean `local`?")
    assert refusal("./no.yaml")[0].code == "E100"


def test_folders_are_searched_in_order(places):
    places(
        here_one=META + "strategy: local",
        extra_one=META,
        extra_two=META + "strategy: local",
        user_three=META + "strategy: local",
    )
    assert set(list_sites()) >= {"one", "two", "three", "local"}
    assert load_site("one").path == Path("site_profiles/one.yaml")
    assert load_site("three").layers[0].marks.layer(()) == "user site file"
    assert load_site("site_profiles/one.yaml").name == "one"


def test_a_user_s_file_changes_the_profile_of_the_same_name(places):
    places(user_local="extends: local\npools: {default: {workers: 1}}")
    site = load_site("local")
    assert site.strategy.kind == "local"
    assert site.meta.description.startswith("this machine")
    assert site.execution_layer.data == {"strategy": {"kind": "local"}, "pools": {"default": {"workers": 1}}}
    assert site.execution_layer.marks.layer(("pools", "default", "workers")) == "user site file"
    assert site.execution_layer.marks.layer(("strategy",)) == "site profile local"


@pytest.mark.parametrize(
    ("text", "code", "message", "line"),
    [
        (META + "strategy: locl", "E110", "unknown strategy `locl`", 2),
        (META + "strategy: {account: a}", "E105", "`kind` is missing", 2),
        (
            META + "strategy: local\nrequires: {stategy.account: a}",
            "E106",
            "profiles do not have: `stategy.account`",
            3,
        ),
        (META + "strategy: local\nrequires: {a..b: a}", "E106", "`a..b` is not a key", 3),
        (META + "strategy: local\nrequires: {strategy.account: }", "E105", "expected text", 3),
        (META + "strategy: local\nscratch: ${A%b}", "E105", "`${A%b}` is neither", 3),
        (META + "strategy: local\nqueues: {a: {walltime: long}}", "E105", "`long` is not a time", 3),
        (META, "E104", "has no `strategy`", 1),
        ("strategy: local", "E104", "has no `meta`", 1),
        ("meta: {describtion: d}\nstrategy: local", "E102", "unknown key `describtion`", 1),
        (META + "strategy: local\npols: {}", "E102", "unknown key `pols`", 3),
        ("meta: {description: d, status: fine}\nstrategy: local", "E106", "`fine` is not allowed", 1),
        ("extends: nowhere", "E143", "unknown site `nowhere`", 1),
        ("extends: bad", "E143", "in a circle: `bad`", 1),
        ("a: [", "E101", "ends too early", 1),
    ],
)
def test_mistakes_in_a_profile_are_refused_where_they_stand(places, text, code, message, line):
    places(here_bad=text)
    found = [p for p in refusal("bad") if p.code == code]
    assert message in found[0].message
    assert found[0].where.file == "site_profiles/bad.yaml"
    assert found[0].where.line == line


def test_a_file_may_hold_a_single_key_of_what_it_extends(places):
    places(
        here__base="strategy: {kind: local}\nscaling: {idle: 5m}\nrequires: {scratch: a folder}",
        here_site=META + "extends: _base\nscaling: {poll: 1m}\nrequires: {network.address: a name}",
        user_mine="extends: site\nscaling: {poll: 2m}\nmeta: {description: mine}",
    )
    site = load_site("mine")
    assert site.execution_layer.data == {"strategy": {"kind": "local"}, "scaling": {"idle": "5m", "poll": "2m"}}
    assert site.strategy.kind == "local"
    assert site.meta.description == "mine"
    assert [(item.path, item.help) for item in site.requires] == [
        (("scratch",), "a folder"),
        (("network", "address"), "a name"),
    ]
    assert [layer.root.layer for layer in site.layers] == [
        "site profile _base",
        "site profile site",
        "user site file",
    ]


def test_fields_of_a_strategy_are_added_without_its_kind(places):
    places(here_site=META + "strategy: local", user_mine="extends: site\nstrategy: {account: a1}")
    assert load_site("mine").strategy.params == {"account": "a1"}
    places(user_mine="extends: site\nstrategy: local", here_site=META + "strategy: {kind: local, account: a1}")
    assert load_site("mine").strategy.params == {"account": "a1"}
    places(user_mine="extends: site\nstrategy: slurm")
    assert load_site("mine").strategy.params == {}


def test_nobody_inherits_half_a_description(places):
    places(
        here_site="meta: {description: d, status: verified, verified_on: 2026-01-01}\nstrategy: local",
        user_mine="extends: site\nmeta: {description: mine}",
    )
    assert load_site("mine").meta.status == "unverified"


def test_bases_are_not_sites(places):
    places(here__base="strategy: local", here_site=META + "extends: _bas")
    assert "_base" not in list_sites()
    assert "_base" in list_sites(bases=True)
    (problem,) = refusal("_base")
    assert problem.code == "E143"
    assert problem.message == "`_base` is a base that profiles extend, not a site"
    assert str(problem.hint) == "write a profile with `extends: _base`, and run on that one"
    assert refusal("site_profiles/_base.yaml")[0].code == "E143"
    assert str(refusal("site")[0].hint) == "did you mean `_base`?"
    assert "_base" not in str(refusal("sit_")[0].hint)


def test_variables_that_are_not_set_are_no_mistake_until_somebody_runs_there(places, monkeypatch):
    monkeypatch.delenv("HERE_QUEUE_TIME", raising=False)
    places(here_site=META + "strategy: local\nqueues: {q: {walltime: '${HERE_QUEUE_TIME}'}}")
    assert load_site("site").execution_layer.data["queues"] == {"q": {"walltime": "${HERE_QUEUE_TIME}"}}
    monkeypatch.setenv("HERE_QUEUE_TIME", "soon")
    assert "`soon` is not a time" in refusal("site")[0].message


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{}", ["strategy.account", "queues"]),
        ("{strategy: {kind: local, account: ''}, queues: {}}", ["strategy.account", "queues"]),
        ("{strategy: {kind: local, account: }, queues: }", ["strategy.account", "queues"]),
        ("{strategy: {kind: local, account: 0}, queues: {q: {}}}", []),
        ("{strategy: local, queues: {q: {}}}", ["strategy.account"]),
    ],
)
def test_what_a_site_requires_may_come_from_any_layer(places, text, missing):
    places(here_site=META + "strategy: local\nrequires: {strategy.account: help a, queues: help q}")
    found = missing_requirements(load_site("site"), parse(text, "flow.yaml", "workflow"), ())
    assert [(item.code, item.key) for item in found] == [("E146", key) for key in missing]
    assert all("help" in str(item.hint) and f"--set {item.key}=…" in on_command_line(item.hint) for item in found)
