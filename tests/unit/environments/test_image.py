"""Environment ``image``: the Python of workers need not be on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.environments.image import Image
from fasthep_parsl.setup_folder import SetupFolder


def test_it_is_found_by_name():
    assert registry.load("environments", "image") is Image


def test_workers_use_a_python_that_is_not_here():
    image = Image(python="/not here/bin/python3.12")
    setup = image.worker_setup()
    assert setup.python == "/not here/bin/python3.12"
    assert setup.worker_init == ("export PATH='/not here/bin':\"$PATH\"",)
    image.prepare(SetupFolder(Path("run")))


@pytest.mark.parametrize("python", ["", "python3", "./python3", "/usr/bin/", "/a\nb", None, 3])
def test_only_whole_paths_are_taken(python):
    with pytest.raises(ValidationError, match="expected an absolute path of a program"):
        Image(python=python)
