"""``examples``: what is copied can be planned with the demo data that it names."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from fasthep_parsl.cli.main import invoke

CONFIGS = Path(__file__).parents[3] / "configs"


def test_the_list_says_what_each_example_is(capsys):
    assert invoke(["examples"]) == 0
    shown = capsys.readouterr().out
    assert "dimuon         Z → μμ: select good muons" in shown
    assert all(path.stem in shown for path in CONFIGS.glob("*.yaml"))


def test_a_copy_can_be_planned_as_the_output_says(tmp_path, demo_data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["examples", "mine"]) == 0
    steps = [line.strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert steps == ["cd mine", "fasthep-parsl demo-data demo/data", "fasthep-parsl run configs/dimuon.yaml"]
    names = {path.name for path in CONFIGS.iterdir() if path.suffix in (".py", ".yaml")}
    assert {path.name for path in (tmp_path / "mine" / "configs").iterdir()} == names
    shutil.copytree(demo_data, tmp_path / "mine" / "demo" / "data")
    monkeypatch.chdir(tmp_path / "mine")
    for name in ("dimuon", "heterogeneous"):
        assert invoke(["plan", f"configs/{name}.yaml", "--json"]) == 0


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "dimuon.yaml").write_text("mine")
    assert invoke(["examples", str(tmp_path)]) == 2
    assert "[E168]" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "configs").iterdir()] == ["dimuon.yaml"]
    assert (tmp_path / "configs" / "dimuon.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["purelib", "stdlib"])
def test_an_installation_is_not_written_to(name, capsys):
    folder = Path(sysconfig.get_path(name)) / "no_such_package"
    assert invoke(["examples", str(folder)]) == 2
    assert "is part of the Python installation" in capsys.readouterr().err
    assert not folder.exists()


def test_an_example_without_its_data_says_how_to_write_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["examples", "."]) == 0
    for name, command in (("dimuon", "demo-data demo/data`"), ("agc", "demo-data demo/agc --like agc`")):
        assert invoke(["plan", f"configs/{name}.yaml"]) == 2
        assert f"write demo data: `fasthep-parsl {command}" in capsys.readouterr().err
