"""The survey of a machine: which batch system it has, and what nodes that describes."""

from __future__ import annotations

import pytest

from fasthep_parsl.blocks.survey import group_names, survey_machine
from fasthep_parsl.interfaces import NodeGroup
from fasthep_parsl.strategies.htcondor import HTCondor
from fasthep_parsl.strategies.slurm import Slurm

read_sinfo = Slurm.discovery.commands.read_survey
read_condor_status = HTCondor.discovery.commands.read_survey

SINFO = """\
long|up|7-00:00:00|64|250000|(null)|10|NO
cpu*|up|12:00:00|48|190000|(null)|4|NO
cpu*|up|12:00:00|64|250000+|(null)|1|NO
cpu*|up|12:00:00|64|256000|(null)|100|NO
gpu|up|1-12:30:00|32|512000|gpu:a100:4(S:0-1),nvme:1|8|EXCLUSIVE
mixed|up|30:00|32|512000|gpu:a100:2,gpu:v100:1|8|NO
plain|up|infinite|32|512000|gpu:2|8|NO
off|down|1:00:00|32|512000|(null)|8|NO

sinfo: something else
"""


def test_partitions_of_slurm():
    found = {group.queue: group for group in read_sinfo(SINFO)}
    assert list(found) == ["cpu", "long", "gpu", "mixed", "plain"]  # the default first, what is down not at all
    assert found["cpu"] == NodeGroup("cpu", 100, 64, 256_000, walltime=43_200.0, default=True)
    assert found["long"].walltime == 7 * 86_400
    gpu = found["gpu"]
    assert (gpu.gpus, gpu.options, gpu.whole_nodes, gpu.walltime) == (4, {"gpu_type": "a100"}, True, 86_400 + 45_000)
    assert (found["mixed"].gpus, found["mixed"].options, found["mixed"].walltime) == (3, {}, 1800)
    assert (found["plain"].gpus, found["plain"].options, found["plain"].walltime) == (2, {}, None)


def test_slots_of_htcondor():
    text = """-- a warning
[
{"Machine": "a", "TotalSlotCpus": 8, "TotalSlotMemory": 32768}
,
{"Machine": "b", "TotalSlotCpus": 4, "TotalSlotMemory": 16384}
,
{"Machine": "b", "TotalSlotCpus": 4, "TotalSlotMemory": 16384}
,
{"Machine": "g", "TotalSlotCpus": 16, "TotalSlotMemory": 65536.0, "TotalSlotGPUs": 2}
]
"""
    found = read_condor_status(text)
    assert found == [NodeGroup("", 2, 8, 32_768), NodeGroup("", 1, 16, 65_536, 2)]
    assert group_names(found) == ["8cpu-32GiB", "16cpu-64GiB-2gpu"]


@pytest.mark.parametrize("text", ["", "no json", "[", "[]"])
def test_an_empty_pool(text):
    assert read_condor_status(text) == []
    assert read_sinfo(text) == []


def test_a_machine_without_a_batch_system(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert survey_machine().strategy == ""


def test_commands_without_a_batch_system_do_not_hide_another_one(tmp_path, monkeypatch):
    """Login nodes may have commands of both, one of them left over."""
    status = 'echo \'[{"Machine": "a", "TotalSlotCpus": 8, "TotalSlotMemory": 32768}]\''
    scripts = dict.fromkeys(("sbatch", "squeue", "scancel", "sinfo"), "echo no controller >&2; exit 1")
    scripts |= dict.fromkeys(("condor_submit", "condor_q", "condor_rm", "condor_status"), status)
    for name, text in scripts.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert survey_machine().strategy == "htcondor"
    (tmp_path / "condor_status").unlink()
    assert (survey_machine().strategy, survey_machine().error) == ("slurm", "no controller")
