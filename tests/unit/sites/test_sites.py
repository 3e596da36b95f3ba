from pathlib import Path

import pytest

from fasthep_parsl import sites
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.sites import list_sites, load_site

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
    assert (problem.code, problem.hint) == ("E143", "did you mean `local`?")
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
