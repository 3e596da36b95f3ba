"""Environment ``shared-prefix``: what workers are told, and what is refused."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.environments.shared_prefix import SharedPrefix
from fasthep_parsl.errors import SiteError
from fasthep_parsl.setup_folder import SetupFolder


def test_it_is_found_by_name():
    assert registry.load("environments", "shared-prefix") is SharedPrefix


def test_workers_use_the_driver_s_python_by_default():
    setup = SharedPrefix().worker_setup()
    assert setup.python == sys.executable
    assert setup.worker_init == (f'export PATH={shlex.quote(sys.prefix + "/bin")}:"$PATH"',)
    SharedPrefix().prepare(SetupFolder(Path("run")))


def test_another_prefix_is_taken_as_it_is(tmp_path):
    prefix = tmp_path / "my $env"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").write_text("#!/bin/sh\n")
    (prefix / "bin" / "tool").write_text("#!/bin/sh\necho found\n")
    (prefix / "bin" / "tool").chmod(0o755)
    environment = SharedPrefix(prefix=f"{prefix}/")
    setup = environment.worker_setup()
    assert setup.python == f"{prefix}/bin/python"
    script = "\n".join(["set -eu", *setup.worker_init, "tool", "true"])
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "found\n"
    environment.prepare(SetupFolder(Path("run")))


def test_a_prefix_without_python_is_refused_before_the_run(tmp_path):
    with pytest.raises(SiteError, match=f"`{tmp_path}/bin/python` does not exist"):
        SharedPrefix(prefix=str(tmp_path)).prepare(SetupFolder(Path("run")))


@pytest.mark.parametrize("prefix", ["", "env", "./env", "~/env", "/a\nb", 3, None, "Current"])
def test_only_absolute_folders_are_taken(prefix):
    with pytest.raises(ValidationError, match="expected an absolute path of a folder"):
        SharedPrefix(prefix=prefix)
