"""What the Python of an unpacked environment checks on a node, and how conda's environments are activated."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fasthep_parsl.packing import node_verification
from fasthep_parsl.packing.node_verification import VerificationError, activation, main, verify, wrong_versions

PYTHON = "{}.{}.{}".format(*sys.version_info)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder that the running Python takes for its own."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "lib")])
    monkeypatch.setattr(node_verification, "distributions", list)
    (tmp_path / ".fasthep-parsl").mkdir()
    return tmp_path


def write(root, **changes):
    manifest = {"name": "my env", "python": PYTHON, "packages": {}, **changes}
    (root / ".fasthep-parsl" / "manifest.json").write_text(json.dumps(manifest))


def test_an_environment_as_it_was_packed(root):
    write(root)
    assert main([str(root)]) == 0
    assert (root / ".fasthep-parsl" / "activate.sh").read_text() == ""


def test_another_python(root, capsys):
    write(root, python="3.1.4")
    assert main([str(root)]) == 1
    assert capsys.readouterr().err == f"its Python is {PYTHON}, 3.1.4 was packed\n"
    assert not (root / ".fasthep-parsl" / "activate.sh").exists()


@pytest.mark.parametrize("name", ["prefix", "base_prefix"])
def test_a_python_that_uses_another_installation(root, monkeypatch, name):
    write(root)
    monkeypatch.setattr(sys, name, "/usr")
    with pytest.raises(VerificationError, match="its Python uses the installation in `/usr`"):
        verify(root)


def test_modules_from_elsewhere(root, monkeypatch):
    write(root)
    monkeypatch.setattr(sys, "path", [str(root / "lib"), "/home/me/checkout"])
    with pytest.raises(VerificationError, match="imports modules from `/home/me/checkout`, which is not part of it"):
        verify(root)


def test_a_folder_behind_a_link_is_its_own(root, monkeypatch, tmp_path_factory):
    write(root)
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(root)
    assert verify(link)["python"] == PYTHON


def test_versions():
    packed = {"parsl": version("parsl"), "typing-extensions": "0.1", "no-such-thing": "1"}
    there = version("typing-extensions")
    assert wrong_versions(packed) == [
        "no-such-thing is missing, 1 was packed", f"typing-extensions is {there}, 0.1 was packed",
    ]  # fmt: skip


def test_a_message_names_some_packages(root):
    write(root, packages=dict.fromkeys("abcde", "1"))
    with pytest.raises(VerificationError, match=r"^a is missing, 1 was packed; b .*; c is .* and 2 more$"):
        verify(root)


def test_a_package_whose_modules_are_gone(root, monkeypatch):
    monkeypatch.setattr(node_verification, "wrong_versions", lambda _: [])
    monkeypatch.setattr(node_verification, "NEEDED", ("json", "no_such_package"))
    write(root, packages={"json": "1"})
    assert verify(root)["packages"]
    write(root, packages={"no-such-package": "1"})
    with pytest.raises(VerificationError, match="its Python finds no package `no_such_package`"):
        verify(root)


def test_conda_is_activated_as_conda_does_it(tmp_path):
    root = tmp_path / "it's a [b] é"
    for folder in ("conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"):
        (root / folder).mkdir(parents=True)
    (root / "etc/conda/activate.d/b.sh").write_text('ORDER="$ORDER b"; export GDAL="$CONDA_PREFIX/share/$A"')
    (root / "etc/conda/activate.d/a'x.sh").write_text('ORDER="$ORDER a"')
    (root / "etc/conda/activate.d/c.fish").write_text("exit 5")
    (root / "etc/conda/env_vars.d/p.json").write_text(json.dumps({"A": "it's $A", "B": 5, "bad; name": "x"}))
    (root / "etc/conda/env_vars.d/q.json").write_text("no JSON")
    (root / "conda-meta" / "state").write_text(json.dumps({"version": 1, "env_vars": {"B": "state"}}))
    lines = activation(root, "my env")
    script = "\n".join([*lines, 'printf "%s\\n" "$CONDA_PREFIX" "$CONDA_DEFAULT_ENV" "$A" "$B" "$GDAL" "$ORDER"'])
    env = {"FASTHEP_PARSL_PREFIX": str(root)}
    done = subprocess.run(
        ["/bin/bash", "-eu", "-c", f"ORDER=; {script}"], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(root), "my env", "it's $A", "state", f"{root}/share/it's $A", " a b"]


def test_the_text_alone_runs_in_an_isolated_python(tmp_path):
    text = Path(node_verification.__file__).read_text()
    (tmp_path / ".fasthep-parsl").mkdir()
    write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"its Python uses the installation in `{sys.base_prefix}`\n")
