"""What a node runs before its workers, run for real with a stub in place of the worker pool."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from fasthep_parsl.interfaces import PREFIX
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.node import HERE, node_script
from strategy_cases import pool

pytestmark = pytest.mark.integration

FOLDERS = ["plain", "a b", 'it\'s "$HOME" `x` \\ é']
STUB = """\
printf '%s\\n' "$@" >"$(dirname "$0")/words"
env >"$(dirname "$0")/env"
pwd >"$(dirname "$0")/pwd"
"""


class Node:
    """A folder with ``node.sh`` and a stub that writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "stub").write_text(STUB)

    def run(self, p, words=(), *, block=3, env=(), cwd="/", run_dir=""):
        (self.folder / "node.sh").write_text(node_script(p, ["bash", str(self.folder / "stub"), *words], run_dir))
        command = ["/bin/bash", str(self.folder / "node.sh"), str(block)]
        return subprocess.run(command, env=dict(env), cwd=cwd, capture_output=True, text=True, check=False, timeout=100)

    def read(self, name):
        return (self.folder / name).read_text().splitlines()

    def env(self):
        return dict(line.split("=", 1) for line in self.read("env") if "=" in line)

    @property
    def started(self):
        return (self.folder / "words").exists()


@pytest.fixture(params=FOLDERS)
def any_node(request, tmp_path):
    return Node(tmp_path / request.param)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "block")


def test_the_command_gets_its_words_and_the_block(any_node):
    words = ["--x=a b", "it's", '"$HOME"', "", "*", "é"]
    done = any_node.run(pool(worker_init=("true",)), words, block=12)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert any_node.read("words") == [*words, "--block_id=12"]
    assert any_node.env()["FASTHEP_PARSL_FOLDER"] == str(any_node.folder)


def test_it_says_on_which_node_it_runs(any_node):
    any_node.run(pool(), env={"SLURMD_NODENAME": "c1"})
    any_node.run(pool(), env={"FASTHEP_PARSL_NODE": "pod-host"})
    any_node.run(pool())
    assert any_node.read("block.3.node") == ["c1", "pod-host", os.uname().nodename]


def test_htcondor_says_its_name_in_a_file(node, tmp_path):
    (tmp_path / "ad").write_text('MachineMaxVacateTime = 5\nMachine = "n1.site.org"\nName = "slot1@n1.site.org"\n')
    node.run(pool(), env={"_CONDOR_MACHINE_AD": str(tmp_path / "ad")})
    assert node.read("block.3.node") == ["n1.site.org"]


def test_a_folder_that_cannot_be_written_does_no_harm(node, tmp_path):
    (node.folder / "block.3.node").mkdir()  # also true for root
    done = node.run(pool())
    assert (done.returncode, done.stderr) == (0, "")
    assert node.started


def test_path_home_and_user_are_there_when_the_job_has_none(node):
    node.run(pool())
    found = node.env()
    assert "/usr/bin" in found["PATH"].split(":")
    assert found["HOME"] == str(Path("~" + found["USER"]).expanduser())
    given = {"PATH": "/opt/x:/usr/bin:/bin", "HOME": "/somewhere", "USER": "me"}
    node.run(pool(), env=given)
    assert {key: node.env()[key] for key in given} == given
    node.run(pool(), env={"PATH": "/opt/x"})
    assert node.env()["PATH"].startswith("/opt/x:")


def test_cores_and_threads(node):
    node.run(pool(worker_cpus=2, workers_per_node=4, worker_init=("export MKL_NUM_THREADS=1",)))
    found = node.env()
    assert found["PARSL_CORES"] == "8"
    assert [found[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")] == ["2", "2", "1"]
    assert found["NUMEXPR_MAX_THREADS"] == "2"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("false", 1, "false"),
        ("exit 4", 4, "exit 4"),
        ("exit 0", 1, "exit 0"),
        ("source /nowhere/activate", 1, "source /nowhere/activate"),
        ("setup() { return 7; }\nsetup", 7, ""),
        ("export A=1\nls /nowhere\nexport B=2", 2, "ls /nowhere"),
        ("value=$(exit 9)", 9, "value="),
        ("no_such_command --x", 127, "no_such_command --x"),
        ("true | (exit 5)", 5, ""),
        ("if true; then", 2, ""),
    ],
)
def test_a_failing_worker_init_ends_the_block_and_says_where(node, line, code, said):
    done = node.run(pool(worker_init=("export FIRST=1", line, "export LAST=1")), env={"SLURMD_NODENAME": "c1"})
    assert done.returncode == code
    assert not node.started
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fasthep-parsl: block 3 on node c1: worker_init ended with code")
    assert said in last


HARMLESS = [
    "# a comment only",
    "true # and a comment \\",
    "false || true",
    "if false; then\n  echo never\nfi",
    "[ -e /nowhere ] && echo never",
    "step() { false; true; }\nstep",
    "source SETUP",
    "! true",
    "while false; do true; done",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_looks_like_a_failure_goes_on(node, tmp_path, line):
    setup = tmp_path / "setup.sh"
    setup.write_text("false\nls /nowhere 2>/dev/null\nx=$(exit 3)\nunset NOTHING\nexport SEEN=$UNKNOWN\ntrue\n")
    done = node.run(pool(worker_init=(line.replace("SETUP", shlex.quote(str(setup))), "export LAST=1")))
    assert (done.returncode, done.stderr) == (0, "")
    assert node.env()["LAST"] == "1"


def test_what_worker_init_sets_reaches_the_workers(node, tmp_path):
    (tmp_path / "activate").write_text("export TOOL=yes\nset -u\n")
    lines = (f"source {tmp_path}/activate", "set -e", "export COUNT=$((1 + 1))", "cd /usr")
    done = node.run(pool(worker_init=lines))
    assert (done.returncode, done.stderr) == (0, "")
    found = node.env()
    assert (found["TOOL"], found["COUNT"]) == ("yes", "2")
    assert node.read("pwd") == ["/usr"]


def test_setup_scripts_see_no_arguments_and_may_use_any_name(node, tmp_path):
    (tmp_path / "setup").write_text(
        "export COUNT=$#\nblock=9 folder=9 node=9 code=9 scratch=9\nsay() { :; }\nset -- 7 8\n"
    )
    done = node.run(pool(worker_init=(f"source {tmp_path}/setup",)), ["a"])
    assert (done.returncode, done.stderr) == (0, "")
    assert node.read("words") == ["a", "--block_id=3"]
    assert node.env()["COUNT"] == "0"


def test_a_temporary_folder_of_another_machine_is_forgotten(node, tmp_path):
    node.run(pool(), env={"TMPDIR": "/tmp/of-the-login-node"})
    assert "TMPDIR" not in node.env()
    node.run(pool(), env={"TMPDIR": str(tmp_path)})
    assert node.env()["TMPDIR"] == str(tmp_path)


def test_scratch_is_made_and_entered(node, tmp_path):
    done = node.run(pool(scratch="$BASE/my $(echo own)"), env={"BASE": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert node.read("pwd") == [str(tmp_path / "my own")]
    node.run(pool(scratch="~/x"), env={"HOME": str(tmp_path)})
    assert node.read("pwd") == [str(tmp_path / "x")]


@pytest.mark.parametrize("scratch", ["$UNKNOWN", "/proc/nothing", '"; exit 9; "', "$(exit 3)"])
def test_scratch_that_cannot_be_used_is_a_warning(node, tmp_path, scratch):
    (tmp_path / "usual").mkdir()
    done = node.run(pool(scratch=scratch), cwd=str(tmp_path / "usual"))
    if scratch.startswith('"'):  # a strange name, but a name
        assert (tmp_path / "usual" / scratch).is_dir()
        return
    assert done.returncode == 0
    assert node.read("pwd") == [str(tmp_path / "usual")]
    assert "fasthep-parsl: block 3 on node" in done.stderr
    assert f"warning: scratch folder {scratch}" in done.stderr


def test_the_worker_pool_is_the_process_that_the_batch_system_knows(node):
    p = pool(worker_init=("export SHELL_ID=$$",))
    (node.folder / "node.sh").write_text(node_script(p, ["bash", "-c", '[ "$SHELL_ID" = "$$" ]', "x"]))
    done = subprocess.run(["/bin/bash", str(node.folder / "node.sh"), "1"], check=False, timeout=100)
    assert done.returncode == 0


def test_a_pool_without_blocks_has_no_script():
    with pytest.raises(ValueError, match="no block"):
        node_script(PlanPool(name="local", workers=1), ["x"])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_command_may_name_what_was_brought_with_the_script(tmp_path, name):
    node = Node(tmp_path / name)
    done = node.run(pool(shared=False), [f"--keys={HERE}/keys", f"{HERE}", "$HOME", "a b", ""])
    assert (done.returncode, done.stderr) == (0, "")
    assert node.read("words") == [f"--keys={node.folder}/keys", str(node.folder), "$HOME", "a b", "", "--block_id=3"]


def test_the_python_may_be_in_a_folder_that_the_setup_chooses(node, tmp_path):
    (tmp_path / "a $b" / "bin").mkdir(parents=True)
    (tmp_path / "a $b" / "bin" / "python").symlink_to("/bin/bash")
    line = f"export FASTHEP_PARSL_PREFIX={shlex.quote(str(tmp_path / 'a $b'))}"
    for lines, fails in (((line,), False), (("export X=1",), True), (("FASTHEP_PARSL_PREFIX=",), True)):
        text = node_script(pool(worker_init=lines), [f"{PREFIX}/bin/python", "-c", 'echo "$BASH"', f"{PREFIX}/bin"])
        (node.folder / "node.sh").write_text(text)
        done = subprocess.run(
            ["/bin/bash", str(node.folder / "node.sh"), "1"], capture_output=True, text=True, check=False
        )
        assert bool(done.returncode) == fails, done.stderr
        assert ("FASTHEP_PARSL_PREFIX: was not set by the environment" in done.stderr) == fails


# --- files and secrets of the worker setup ------------------------------------------------------------------------


def setup_pool(*, shared, **more):
    lines = ('export SEEN="$FASTHEP_PARSL_FILES/pack:$FASTHEP_PARSL_SECRETS/token"',)
    return pool(shared=shared, worker_init=lines).model_copy(update={"files": ("pack",), "secrets": ("token",), **more})


def test_where_the_run_directory_is_seen_they_are_used_in_place(node):
    run_dir = 'it\'s "$HOME" `x` é'
    done = node.run(setup_pool(shared=True), run_dir=run_dir)
    assert done.returncode == 0, done.stderr
    assert node.env()["SEEN"] == f"{run_dir}/setup/pack:{run_dir}/secrets/token"


def test_elsewhere_they_are_beside_the_script_and_secrets_are_private(any_node):
    for name in ("pack", "token"):
        (any_node.folder / name).write_text(name)
        (any_node.folder / name).chmod(0o644)
    done = any_node.run(setup_pool(shared=False))
    assert done.returncode == 0, done.stderr
    secret = any_node.folder / "secrets" / "token"
    assert any_node.env()["SEEN"] == f"{any_node.folder}/pack:{secret}"
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("token", 0o600)
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert not (any_node.folder / "token").exists()


def test_a_secret_that_did_not_come_ends_the_block(node):
    done = node.run(setup_pool(shared=False))
    assert done.returncode == 1
    assert "the secrets of the worker setup cannot be put into" in done.stderr
    assert not node.started


def test_a_pool_without_them_has_no_variables(node):
    node.run(pool(shared=False))
    assert not [name for name in node.env() if name in {"FASTHEP_PARSL_FILES", "FASTHEP_PARSL_SECRETS"}]
