"""What all environments share: shell lines before their own, and the versions in other installations."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from pydantic import ValidationError

from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.environments.installed import installed_versions
from fasthep_parsl.environments.shared_prefix import SharedPrefix
from fasthep_parsl.setup_folder import SetupFolder


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("module load gcc", ("module load gcc",)),
        (["a", "b # why"], ("a", "b # why")),
        ("if true; then\n  a\nfi\n", ("if true; then\n  a\nfi",)),
        ([], ()),
        (None, ()),
    ],
)
def test_setup_is_a_list_a_text_or_nothing(written, lines):
    assert EnvironmentModel(setup=written).setup == lines


@pytest.mark.parametrize("written", [{"a": 1}, [["a"]], ["a\x00b"], [""], True])
def test_other_setups_are_refused(written):
    with pytest.raises(ValidationError):
        EnvironmentModel(setup=written)


def test_aliases_work_in_setup_and_nowhere_else(tmp_path):
    (tmp_path / "cmsset.sh").write_text("alias cmsenv='export RELEASE=CMSSW_14'\nalias rm='false'\n")
    lines = EnvironmentModel(setup=[f"source {tmp_path}/cmsset.sh", "cmsenv"]).setup_lines
    script = "\n".join((*lines, "touch x && rm x", 'echo "$RELEASE"'))
    for command in (["bash", "-c", script], ["bash", "/dev/stdin"]):
        done = subprocess.run(command, input=script, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "CMSSW_14\n"
    assert EnvironmentModel().setup_lines == ()


def installation(prefix: Path, python: str = "3.11", packages=()) -> Path:
    """Make a folder that looks like an installation of Python."""
    site = prefix / "lib" / f"python{python}" / "site-packages"
    site.mkdir(parents=True)
    for name in packages:
        (site / name).mkdir()
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").write_text("#!/bin/sh\n")
    return prefix


def test_versions_are_read_from_names(tmp_path):
    names = [
        "numpy-2.1.0.dist-info",
        "Fasthep_Parsl-0.1.0.dist-info",
        "old.name-1.0-py3.11.egg-info",
        "x-1!2.0+g1.dist-info",
    ]
    prefix = installation(tmp_path / "env", packages=[*names, "numpy", "~umpy-1.0", "__pycache__"])
    assert installed_versions(prefix) == {
        "numpy": "2.1.0", "fasthep-parsl": "0.1.0", "old-name": "1.0", "x": "1!2.0+g1", "python": "3.11",
    }  # fmt: skip
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.9\n")
    assert installed_versions(prefix)["python"] == "3.11.9"
    (prefix / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
    assert installed_versions(prefix) is None


def test_versions_of_conda_and_of_places_that_do_not_say(tmp_path):
    prefix = installation(tmp_path / "conda", "3.12")
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "python-3.12.4-h194c7f8_0_cpython.json").write_text("{}")
    (prefix / "conda-meta" / "python-dateutil-2.9.json").write_text("{}")
    assert installed_versions(prefix) == {"python": "3.12.4"}
    (prefix / "lib" / "python3.13" / "site-packages").mkdir(parents=True)
    assert installed_versions(prefix) is None
    assert installed_versions(tmp_path) is None


def test_the_versions_here_are_those_that_python_reports():
    found = installed_versions(Path(sys.prefix))
    if found is None:
        pytest.skip("this Python sees packages of another installation")
    assert found["numpy"] == version("numpy")
    assert found["python"].startswith("{}.{}".format(*sys.version_info))


def test_a_shared_prefix_says_its_versions_unless_a_view_may_change_them(tmp_path):
    prefix = str(installation(tmp_path / "env", packages=["numpy-2.1.0.dist-info"]))
    folder = SetupFolder(tmp_path / "run")
    assert SharedPrefix(prefix=prefix).prepare(folder) == {"numpy": "2.1.0", "python": "3.11"}
    assert SharedPrefix(prefix=prefix, setup="source /view/setup.sh").prepare(folder) is None
    assert SharedPrefix().prepare(folder) is None
