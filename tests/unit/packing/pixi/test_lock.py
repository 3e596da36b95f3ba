"""Lock files: what is read from them, and what is refused because it does not fit the manifest any more."""

from __future__ import annotations

import os
import pickle
import re

import pytest
import yaml

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.lock_file import read_lock
from fasthep_parsl.packing.pixi.project import load_project
from fasthep_parsl.packing.pixi.satisfaction import check_lock, first_mismatch
from services.conda_channel import PYTHON


def read(manifest, environment="default", platform=None):
    project = load_project(manifest)
    return project, read_lock(project, environment, platform or this_platform())


def edit(manifest, old, new):
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


def edit_lock(manifest, change):
    lock = manifest.with_name("pixi.lock")
    content = yaml.safe_load(lock.read_text())
    change(content)
    lock.write_text(yaml.safe_dump(content, sort_keys=False))


def test_packages_have_their_checksums(manifest):
    project, locked = read(manifest)
    assert [item.name for item in locked.conda] == ["flavour", "greeting", "python", "sample-data"]
    assert locked.python.startswith(PYTHON)
    assert all(re.fullmatch("[0-9a-f]{64}", item.sha256) for item in (*locked.conda, *locked.pypi))
    (wheel,) = locked.pypi
    assert (wheel.name, wheel.version, wheel.is_wheel) == ("tiny-tool", "0.3", True)
    assert wheel.path(locked.folder).is_file()
    assert first_mismatch(project, locked) == ""


def test_times_do_not_matter(manifest):
    os.utime(manifest.with_name("pixi.lock"), (1, 1))  # as after `git clone`
    check_lock(*read(manifest))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'greeting = ">=1.1"',
            'greeting = ">=1.2"',
            "dependencies.greeting asks for `greeting >=1.2`, locked is `greeting 1.1",
        ),
        ('flavour = "*"', 'flavour = {build = "h1*"}', "dependencies.flavour asks for"),
        ('flavour = "*"', 'flavour = {version = "*", channel = "conda-forge"}', "from conda-forge"),
        ('flavour = "*"', 'flavour = "*"\nscipy = "*"', "dependencies.scipy asks for `scipy`, which is not locked"),
        ('flavour = "*"', "", "nothing asks for `flavour 2.0`, which is locked"),
        ("[dependencies]", '[constraints]\nsample-data = "<1"\n[dependencies]', "constraints.sample-data asks for"),
        (
            'channels = ["',
            'channels = ["conda-forge", "',
            "the channels are `https://conda.anaconda.org/conda-forge`, `file:",
        ),
        ("[pypi-dependencies]", '[pypi-dependencies]\nrich = ">=13"', "asks for `rich>=13`, which is not locked"),
        ("tiny-tool = {", 'tiny-tool = "<0.3" #', "pypi-dependencies.tiny-tool asks for `tiny-tool<0.3`, locked is"),
        ("tiny_tool-0.3", "tiny_tool-0.4", "asks for path"),
        (
            "[pypi-dependencies]",
            '[pypi-dependencies]\ngreeting = "<1"',
            "asks for `greeting<1`, locked is `greeting 1.1`",
        ),
    ],
)
def test_a_manifest_that_was_edited_is_noticed(old, new, expected, newest):
    edit(newest, old, new)
    with pytest.raises(ConfigError) as error:
        check_lock(*read(newest))
    (problem,) = error.value.problems
    assert expected in problem.message
    assert "run `pixi lock`" in problem.hint
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('greeting = ">=1.1"', 'greeting = ">=1,<2"'),
        ('flavour = "*"', 'flavour = {version = "2.*", build = "h0*"}'),
        ("[dependencies]", '[constraints]\nscipy = "<1"\n[dependencies]'),
        ("[pypi-dependencies]", '[pypi-dependencies]\ngreeting = ">1"'),
        (
            "[pypi-dependencies]",
            "[pypi-dependencies]\nrich = {version = '*', env-markers = \"sys_platform == 'win32'\"}",
        ),
        ("[dependencies]", '[target.win-64.dependencies]\nscipy = "*"\n[dependencies]'),
        ("[dependencies]", '[feature.more.dependencies]\nscipy = "*"\n[dependencies]'),
    ],
)
def test_edits_that_change_nothing_are_accepted(old, new, newest):
    edit(newest, old, new)
    check_lock(*read(newest))


def test_a_lock_file_that_lacks_a_dependency_of_a_package_is_refused(newest):
    def drop(content):
        content["packages"] = [item for item in content["packages"] if "sample-data" not in str(item.get("conda"))]
        packages = content["environments"]["default"]["packages"]
        packages[this_platform()] = [item for item in packages[this_platform()] if "sample-data" not in str(item)]

    edit_lock(newest, drop)
    project, locked = read(newest)
    assert first_mismatch(project, locked) == "package `flavour 2.0` asks for `sample-data >=1`, which is not locked"


def test_a_local_package_that_needs_more_than_is_locked_is_noticed(newest):
    source = newest.parent / "mine"
    source.mkdir()
    (source / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\ndependencies = ['greeting']\n")
    edit(newest, "[pypi-dependencies]", '[pypi-dependencies]\nmine = {path = "./mine", editable = true}')

    def add(content):
        content["environments"]["default"]["packages"][this_platform()].append({"pypi": "./mine"})
        content["packages"].append({"pypi": "./mine", "name": "mine", "requires_dist": ["greeting"]})

    edit_lock(newest, add)
    check_lock(*read(newest))
    (source / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\ndependencies = ['scipy>1']\n")
    project, locked = read(newest)
    assert first_mismatch(project, locked) == "package `mine` asks for `scipy>1`, which is not locked"


def test_no_lock_file_says_what_to_run(newest):
    newest.with_name("pixi.lock").unlink()
    with pytest.raises(ConfigError, match=r"there is no .*pixi.lock.*run `pixi lock` in"):
        read(newest)


def test_a_damaged_lock_file_is_refused(newest):
    newest.with_name("pixi.lock").write_text("version: 7\nenvironments: [")
    with pytest.raises(ConfigError, match=r"cannot read .*pixi.lock"):
        read(newest)


def test_a_lock_file_of_the_future_is_refused(newest):
    edit_lock(newest, lambda content: content.update(version=99))
    with pytest.raises(ConfigError, match=r"cannot read .*pixi.lock"):
        read(newest)


def test_a_platform_without_packages_lists_those_that_there_are(newest):
    with pytest.raises(ConfigError) as error:
        read(newest, platform="linux-aarch64")
    (problem,) = error.value.problems
    assert "no packages of `default` for the platform `linux-aarch64`; it has `linux-64`" in problem.message
    assert "pixi workspace platform add linux-aarch64" in problem.hint


def test_an_environment_that_was_never_locked_says_what_to_run(newest):
    edit(newest, "[dependencies]", "[environments]\nfit = []\n[dependencies]")
    with pytest.raises(ConfigError, match=r"has no environment `fit`.*run `pixi lock`"):
        read(newest, "fit")


def test_a_misspelt_environment_has_a_suggestion(newest):
    with pytest.raises(ConfigError) as error:
        read(newest, "defualt")
    assert error.value.problems[0].suggestions == ("default",)
