"""The start of workers in a container: programs with the names of runtimes check their options, then run the command here.

Real containers are started in `integration/test_containers.py`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from fasthep_parsl.interfaces import PREFIX
from fasthep_parsl.strategies.container_start import container_start
from fasthep_parsl.strategies.node import node_script
from strategy_cases import IMAGE, UNPACKED, container_scripts, in_container, pool

FAKE = """\
#!/bin/bash
# A stand-in for a container runtime: writes down its options and runs what follows the image with its own variables only.
here=$(dirname "$0")
printf '%s\\n' "$(basename "$0")" "$@" >"$here/words"
env | sort >"$here/outside"
variables=(PATH="$PATH")
while [ $# -gt 0 ]; do
    case $1 in
    --env) case $2 in *=*) variables+=("$2") ;; *) variables+=("$2=${!2}") ;; esac; shift 2 ;;
    --bind | --volume | --pwd | --workdir | --user | --group-add | --gpus | --device) shift 2 ;;
    -* | run | exec) shift ;;
    *) shift; break ;;
    esac
done
exec env -i "${variables[@]}" "$@"
"""


class Node:
    """A node with stand-ins for some programs."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.programs = folder / "programs"
        self.block = folder / "run" / "log" / "a block"
        self.run_dir = folder / "run"
        self.block.mkdir(parents=True)
        self.programs.mkdir()
        for name in programs:
            (self.programs / name).write_text(FAKE)
            (self.programs / name).chmod(0o755)

    def run(self, p, command=("env",), **env):
        (self.block / "node.sh").write_text(node_script(p, command, str(self.run_dir)))
        return subprocess.run(
            ["/bin/bash", str(self.block / "node.sh"), "7"],
            env={"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": "/home/me", **env},
            cwd=self.block, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def words(self):
        return (self.programs / "words").read_text().splitlines()

    @property
    def outside(self):
        return dict(line.split("=", 1) for line in (self.programs / "outside").read_text().splitlines() if "=" in line)

    def values(self, option):
        words = self.words
        return [words[at + 1] for at, word in enumerate(words) if word == option]


BASH = ("bash", "-c", 'env; echo "words: $*"')


@pytest.mark.parametrize(("runtime", "there"), [("apptainer", "singularity"), ("singularity", "apptainer")])
def test_either_name_of_apptainer_will_do(tmp_path, runtime, there):
    node = Node(tmp_path, there)
    done = node.run(in_container(runtime))
    assert done.returncode != 127, done.stderr
    assert node.words[:3] == [there, "exec", "--pwd"]
    node = Node(tmp_path / "both", "apptainer", "singularity")
    node.run(in_container(runtime))
    assert node.words[0] == runtime


def test_apptainer_sees_the_folders_of_the_block_and_of_the_user(tmp_path):
    node = Node(tmp_path, "apptainer")
    scratch = tmp_path / "scratch folder"
    scratch.mkdir()
    p = in_container("apptainer", UNPACKED, "/cvmfs", "/data:/in:ro")
    done = node.run(p, BASH, TMPDIR=str(scratch), _CONDOR_SCRATCH_DIR="/nowhere")
    assert done.returncode == 0, done.stderr
    assert node.values("--bind") == [
        str(node.block), str(node.run_dir), str(node.block), str(scratch), "/cvmfs", "/data:/in:ro",
    ]  # fmt: skip
    assert node.values("--pwd") == [str(node.block)]
    assert node.words[-5:] == [UNPACKED, *BASH, "--block_id=7"]
    assert "--nv" not in node.words
    node.run(in_container("apptainer", gpus=4), BASH)
    assert ("--nv" in node.words) != ("--rocm" in node.words)


def test_variables_of_the_submit_side_stay_outside_and_those_of_the_node_come_in(tmp_path):
    node = Node(tmp_path, "apptainer")
    p = in_container("apptainer", worker_init=("export MINE='a b'", "export PYTHONPATH=/mine"))
    assert node.run(p, BASH, PYTHONPATH="/submit", PYTHONHOME="/submit").returncode == 0
    assert node.outside["PYTHONPATH"] == "/mine"  # wanted, by somebody who knows the image
    assert "PYTHONHOME" not in node.outside
    assert node.outside["PYTHONNOUSERSITE"] == "1"
    node.run(in_container("apptainer"), BASH, PYTHONPATH="/submit")
    assert "PYTHONPATH" not in node.outside


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_podman_and_docker_get_the_variables_by_name(tmp_path, runtime):
    node = Node(tmp_path, runtime)
    p = in_container(
        runtime, IMAGE, "/data:ro", "/a:/b", worker_init=("export MINE='a\nb'", "export LD_LIBRARY_PATH=/x")
    )
    done = node.run(p, BASH, FASTHEP_PARSL_LIFELINE="5")
    assert done.returncode == 0, done.stderr
    inside = done.stdout
    assert "MINE=a\nb" in inside
    assert "OMP_NUM_THREADS=2" in inside
    assert f"FASTHEP_PARSL_FOLDER={node.block}" in inside
    assert "HOME=/tmp" in inside
    assert "LD_LIBRARY_PATH" not in inside
    assert "LIFELINE" not in inside
    assert not [word for word in node.words if "a b" in word and "MINE" in word]
    assert node.values("--volume")[-2:] == ["/data:/data:ro", "/a:/b"]
    assert f"{node.block}:{node.block}" in node.values("--volume")
    assert node.words[-5:] == [IMAGE.removeprefix("docker://"), *BASH, "--block_id=7"]
    assert {"--rm", "--network=host", "--entrypoint="} <= set(node.words)
    if runtime == "docker":
        assert node.values("--user") == [f"{os.getuid()}:{os.getgid()}"]


@pytest.mark.parametrize(("runtime", "named"), [("apptainer", "apptainer or singularity"), ("docker", "docker")])
def test_a_node_without_the_program_says_so(tmp_path, runtime, named):
    node = Node(tmp_path)
    for program in ("dirname", "bash", "hostname", "uname", "id"):
        (node.programs / program).symlink_to(f"/usr/bin/{program}")
    text = node_script(in_container(runtime), ["x"], str(node.run_dir))
    (node.block / "node.sh").write_text(text.replace("/usr/local/bin:/usr/bin:/bin", "/none"))
    env = {"PATH": f"{node.programs}", "SLURMD_NODENAME": "c1"}
    done = subprocess.run(
        ["/bin/bash", str(node.block / "node.sh"), "7"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert done.stderr.splitlines()[-1] == (
        f"fasthep-parsl: block 7 on node c1: the container cannot be started: there is no {named} on PATH"
    )


def test_a_folder_that_a_runtime_would_misread_is_refused(tmp_path):
    node = Node(tmp_path / "a:b", "apptainer")
    node.programs = tmp_path  # PATH cannot have such a folder either
    (tmp_path / "apptainer").write_text(FAKE)
    (tmp_path / "apptainer").chmod(0o755)
    done = node.run(in_container("apptainer"))
    assert done.returncode == 1
    assert "cannot be mounted in the container: its name has a colon or a comma" in done.stderr


def test_only_pools_in_containers_that_nodes_start_have_this_start():
    for p in (pool(), in_container("site")):
        with pytest.raises(ValueError, match="has no container"):
            container_start(p, "x", [])


def test_all_scripts_are_bash(tmp_path):
    for title, text in container_scripts():
        if title.endswith((".sub", ".json")):
            continue
        done = subprocess.run(["/bin/bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), title


def test_a_prefix_of_the_setup_can_be_in_a_container(tmp_path):
    node = Node(tmp_path, "apptainer")
    p = in_container("apptainer", worker_init=(f"export FASTHEP_PARSL_PREFIX={shlex.quote('/usr')}",))
    done = node.run(p, (f"{PREFIX}/bin/env",))
    assert node.words[-2:] == ["/usr/bin/env", "--block_id=7"], done.stderr
