"""Manifests of pixi: where they are found, and what they say about environments, channels and platforms."""

from __future__ import annotations

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.packing.pixi.project import find_manifest, load_project
from fasthep_parsl.packing.pixi.wanted_packages import conda_requirements, pypi_requirements

MANIFEST = """\
[workspace]
channels = ["conda-forge"]
platforms = ["linux-64", {platform = "linux-aarch64", glibc = "2.28"}, {name = "gpu", platform = "linux-64", cuda = "12"}]
[workspace.dependencies]
numpy = ">=2"
[dependencies]
python = "3.11.*"
numpy = {workspace = true}
[target.linux.dependencies]
zlib = "*"
[target.linux-64.dependencies]
zlib = {version = ">=1.3", build = "h*", channel = "conda-forge"}
[constraints]
openssl = ">=3"
[pypi-dependencies]
mine = {path = ".", editable = true}
[feature.fit]
channels = [{channel = "special", priority = 1}]
platforms = ["linux-64"]
dependencies = {scipy = "*"}
pypi-dependencies = {zfit = {version = ">=0.2", extras = ["all"], env-markers = "sys_platform == 'linux'"}}
[environments]
fit = ["fit"]
bare = {features = ["fit"], no-default-feature = true}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pixi.toml").write_text(MANIFEST)
    return load_project(tmp_path)


def test_channels_follow_their_priorities(project):
    assert project.channels("default") == ["conda-forge"]
    assert project.channels("fit") == ["special", "conda-forge"]
    assert project.channels("bare") == ["special"]


def test_platforms_have_names(project):
    assert project.platforms("default") == {"linux-64": "linux-64", "linux-aarch64": "linux-aarch64", "gpu": "linux-64"}
    assert project.platforms("fit") == {"linux-64": "linux-64", "gpu": "linux-64"}


def test_requirements_come_from_all_features_and_the_most_special_target(project):
    found = {item.name: item for item in conda_requirements(project, "fit", "linux-64")}
    assert set(found) == {"python", "numpy", "zlib", "openssl", "scipy"}
    assert found["zlib"].spec == "[version='>=1.3',build='h*']"
    assert (found["zlib"].channel, found["zlib"].place) == ("conda-forge", "target.linux-64.dependencies.zlib")
    assert found["numpy"].spec == "[version='>=2']"
    assert found["openssl"].optional
    assert found["scipy"].place == "feature.fit.dependencies.scipy"
    assert {item.name for item in conda_requirements(project, "bare", "linux-64")} == {"scipy"}
    assert {item.spec for item in conda_requirements(project, "default", "linux-aarch64") if item.name == "zlib"} == {
        "*"
    }


def test_python_packages_are_requirements_of_pep_508(project):
    found = {item.place: item for item in pypi_requirements(project, "fit", "linux-64")}
    assert found["pypi-dependencies.mine"].source == ("path", ".")
    assert found["feature.fit.pypi-dependencies.zfit"].text == "zfit[all]>=0.2 ; sys_platform == 'linux'"


def test_a_pyproject_has_the_same_tables_and_its_own_requirements(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        """\
[project]
name = "mine"
requires-python = ">=3.11"
dependencies = ["numpy>=2", "rich"]
[project.optional-dependencies]
fit = ["zfit", "mine[other]"]
[dependency-groups]
test = ["pytest", {include-group = "other"}]
[tool.pixi.workspace]
channels = ["conda-forge"]
platforms = ["linux-64"]
[tool.pixi.pypi-dependencies]
rich = ">=13"
[tool.pixi.environments]
all = ["fit", "test"]
"""
    )
    project = load_project(tmp_path / "pyproject.toml")
    assert [(item.name, item.spec) for item in conda_requirements(project, "default", "linux-64")] == [
        ("python", ">=3.11")
    ]
    assert [item.text for item in pypi_requirements(project, "default", "linux-64")] == ["rich>=13", "numpy>=2"]
    assert [item.text for item in pypi_requirements(project, "all", "linux-64")][:2] == ["zfit", "pytest"]


def test_the_manifest_is_found_in_the_nearest_folder(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "pixi.toml").write_text(MANIFEST)
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'no pixi'\n")
    assert find_manifest(deep) == tmp_path / "pixi.toml"
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.pixi.workspace]\nchannels = []\n")
    assert find_manifest(deep) == tmp_path / "a" / "pyproject.toml"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot read"),
        ("[workspace", "is not valid TOML"),
        ("[tasks]\n", "has no table `workspace`"),
    ],
)
def test_what_is_no_manifest_is_refused(content, expected, tmp_path):
    if content is not None:
        (tmp_path / "pixi.toml").write_text(content)
    with pytest.raises(ConfigError, match=expected) as error:
        load_project(tmp_path)
    assert error.value.problems[0].code == "E114"


def test_an_unknown_environment_or_feature_has_a_suggestion(project):
    with pytest.raises(ConfigError) as error:
        project.features("fti")
    assert error.value.problems[0].suggestions == ("fit",)
    (project.manifest).write_text(MANIFEST.replace('fit = ["fit"]', 'fit = ["fitt"]'))
    with pytest.raises(ConfigError) as error:
        load_project(project.manifest).features("fit")
    assert error.value.problems[0].suggestions == ("fit",)
