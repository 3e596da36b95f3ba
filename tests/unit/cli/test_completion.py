"""Completion in shells: what is offered, through the protocol of each shell and in a real bash. It imports little."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fasthep_parsl.error_codes import CODES

PROGRAM = Path(sys.executable).with_name("fasthep-parsl")
# typer itself imports pydantic to convert arguments
HEAVY = {"awkward", "hist", "jinja2", "numba", "numpy", "parsl", "rich", "uproot", "yaml"}
SCRIPT = """
import sys
from fasthep_parsl.cli.main import invoke
invoke([])
sys.stdout.flush()
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with runs, and with files that are broken or have odd names."""
    for name in ("run", "old/run_a", "old/run b", "-old", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "plan.json").write_text(
            json.dumps({"stages": [{"id": "Mass"}, {"id": "Pt"}, {"id": "$(id)"}]})
        )
    for name in ("other", "old/empty", "damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged" / "plan.json").write_text("{")
    (tmp_path / "site_profiles").mkdir()
    for name in ("mine", "two words", "$(touch evil)", "*", "`id`", "quo'te", "größe"):
        (tmp_path / "site_profiles" / f"{name}.yaml").write_text("{ broken: [")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complete(shell, line):
    """Return what a shell gets for the last word of a line."""
    count = len(line.split(" ")) - 1
    mine = {"_FASTHEP_PARSL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    words = {"COMP_WORDS": line, "COMP_CWORD": str(count)} if shell == "bash" else {"_TYPER_COMPLETE_ARGS": line}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, env={**os.environ, **mine, **words}, capture_output=True, text=True
    )
    *said, modules = done.stderr.splitlines()
    assert said == [], "a shell would print it into the command line"
    assert not HEAVY & set(modules.split()), HEAVY & set(modules.split())
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("plan w.yaml --site lx", ["lxplus"]),
        ("run w.yaml -s mi", ["mine"]),
        ("sites show gr", ["größe"]),
        ("ops show hep.select", ["hep.select", "hep.select_objects", "hep.selection.cutflow", "hep.selection.flag"]),
        ("plot run --stage ", ["Mass", "Pt"]),
        ("plot run --stage P", ["Pt"]),
        ("plot other --stage ", []),
        ("plot damaged --stage ", []),
        ("cleanup ", ["-old", "damaged", "old/run_a", "run"]),
        ("report old/", ["old/run_a"]),
        ("run w.yaml --outdir ru", ["run"]),
        ("explain e21", ["e210", "e211", "e212", "e213", "e214"]),
        ("explain E102 W", ["W107", "W108"]),
        ("explain ", list(CODES)),
    ],
)
def test_what_is_offered(line, offered, folder):
    assert [item for item in complete("bash", f"fasthep-parsl {line}") if item] == offered


def test_names_that_need_quotes_are_not_offered(folder):
    offered = complete("bash", "fasthep-parsl sites show ")
    assert {"mine", "größe", "lxplus", "local"} <= set(offered)
    assert not [name for name in offered if set(name) & set(" $*`'\"()")]


def test_other_shells_get_the_same(folder):
    assert complete("fish", "fasthep-parsl plan w.yaml --site lx") == ["lxplus"]
    assert complete("zsh", "fasthep-parsl plan w.yaml --site lx") == ["""_arguments '*: :(("lxplus"))'"""]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_a_line(folder):
    """The function that `--show-completion` prints, called as bash does it."""
    script = """
PATH="$1:$PATH"
eval "$(_FASTHEP_PARSL_COMPLETE=source_bash fasthep-parsl)"
complete -p fasthep-parsl
for line in "fasthep-parsl sites show m" "fasthep-parsl plot run --stage M" "fasthep-parsl sites show zz"; do
  read -ra COMP_WORDS <<< "$line"; COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=()
  _fasthep_parsl_completion fasthep-parsl
  echo "${#COMPREPLY[@]} ${COMPREPLY[*]}"
done
ls
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(PROGRAM.parent)], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    declared, *found = done.stdout.splitlines()
    assert declared == "complete -o default -F _fasthep_parsl_completion fasthep-parsl"
    assert found[:3] == ["1 mine", "1 Mass", "0 "]
    assert "evil" not in found
