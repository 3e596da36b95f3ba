"""Submit scripts for Slurm: what they ask for, and what Slurm itself says of them."""

from __future__ import annotations

import subprocess

import pytest

from fasthep_parsl.interfaces import BlockLocation
from fasthep_parsl.strategies.node import node_script
from fasthep_parsl.strategies.slurm import Slurm
from strategy_cases import GIB, pool

PLACE = BlockLocation("/run", "name", 2, ("c1", "c2"))


def lines(p=None, place=PLACE, **options):
    return Slurm(**options).script(p or pool(), place).text.splitlines()


def test_names_of_queues_are_partitions_or_qos():
    assert "#SBATCH --partition=short" in lines()
    found = lines(queue_option="qos", partition="main")
    assert "#SBATCH --qos=short" in found
    assert "#SBATCH --partition=main" in found
    assert not any("qos" in line or "partition" in line for line in lines(pool(queue="")))


def test_nodes_to_avoid():
    assert "#SBATCH --exclude=c0,c1,c2" in lines(exclude=["c0", "c1"])
    assert "#SBATCH --exclude=c0" in lines(exclude=["c0"], avoid_nodes=False)
    assert not any("exclude" in line for line in lines(avoid_nodes=False))


def test_gpus_as_the_site_wants_them():
    p = pool(gpus=4)
    assert "#SBATCH --gpus-per-node=4" in lines(p)
    assert "#SBATCH --gres=gpu:a100:4" in lines(p, gpu_option="gres", gpu_type="a100")
    assert not any("gpu" in line for line in lines(p, gpu_option="none"))
    assert not any("gpu" in line for line in lines(gpu_option="gres"))


def test_memory_may_be_left_out_and_nodes_are_shared_unless_said():
    assert "#SBATCH --mem=16384M" in lines()
    assert not any("--mem" in line for line in lines(memory=False))
    assert "#SBATCH --exclusive" not in lines()
    assert "#SBATCH --exclusive" in lines(pool(whole_nodes=True))


def test_directives_come_before_the_first_command():
    found = lines(directives=["-C nvme", "#SBATCH --mail-type=FAIL", "# why"])
    end = found.index("")
    assert {"#SBATCH -C nvme", "#SBATCH --mail-type=FAIL", "# why"} <= set(found[:end])
    assert found[end + 1 :] == ["exec /bin/bash /run/node.sh 2"]


SITES = [
    (pool(queue="cpu", memory=GIB, walltime=90.5), {}),
    (pool(queue="", nodes=2, memory=GIB), {"directives": ["--comment='a b'"]}),
    (pool(queue="gpu", gpus=1, memory=GIB), {}),
    (pool(queue="gpu", gpus=2, cpus=4, memory=GIB), {"gpu_option": "gres"}),
    (pool(queue="highmem", memory=64 * GIB, whole_nodes=True), {}),
    (pool(queue="cpu", cpus=1), {"memory": False, "exclude": "m1"}),
]


@pytest.mark.slurm
@pytest.mark.parametrize("number", range(len(SITES)))
def test_sbatch_accepts_them(slurm, tmp_path, number):
    p, options = SITES[number]
    script = Slurm(**options).script(
        p, BlockLocation(str(tmp_path), "it's a name", 1, ("c2",) if p.block.nodes == 1 else ())
    )
    path = tmp_path / script.name
    path.write_text(script.text)
    done = subprocess.run(["sbatch", "--test-only", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.parametrize("name", ["plain", "a b", "it's", 'q"q', "p%j%%x", "h#a$b\\c%j", "é,x"])
def test_a_run_directory_may_have_any_name(slurm, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    p = pool(queue="cpu", nodes=2, cpus=1, memory=64 << 20, worker_init=("true",))
    script = Slurm().script(p, BlockLocation(str(folder), name, 1))
    (folder / script.name).write_text(script.text)
    (folder / "node.sh").write_text(node_script(p, ["echo", name]))
    done = subprocess.run(["sbatch", "--wait", str(folder / script.name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "block.1.out").read_text().splitlines() == [f"{name} --block_id=1"] * 2
    assert (folder / "block.1.err").read_text() == ""
    assert sorted((folder / "block.1.node").read_text().split()) == ["c1", "c2"]
