"""GPUs of a node, with an ``nvidia-smi`` that works, fails, hangs or is missing."""

from __future__ import annotations

import pytest

from fasthep_parsl.blocks.node_checks import NodeCheckError, check_node
from fasthep_parsl.worker import gpus
from fasthep_parsl.worker.gpus import NoGpuError, own_gpus, query_gpus
from fasthep_parsl.worker.node_facts import FACTS_VARIABLE, own_facts

ONE, TWO = (f"GPU-{letter * 8}-0000-1111-2222-333344445555" for letter in "ab")
LOG = """<?xml version="1.0" ?>
<nvidia_smi_log>
	<driver_version>580.65.06</driver_version>
	<cuda_version>13.0</cuda_version>
	<attached_gpus>2</attached_gpus>
	<gpu id="00000000:01:00.0">
		<product_name>NVIDIA One</product_name>
		<mig_mode><current_mig>Disabled</current_mig></mig_mode>
		<uuid>{one}</uuid>
		<fb_memory_usage>
			<total>1024 MiB</total>
			<used>4 MiB</used>
		</fb_memory_usage>
	</gpu>
	<gpu id="00000000:02:00.0">
		<product_name>NVIDIA Two</product_name>
		<mig_mode><current_mig>{mig}</current_mig></mig_mode>
		<uuid>{two}</uuid>
		<fb_memory_usage>
			<total>2048 MiB</total>
		</fb_memory_usage>
	</gpu>
</nvidia_smi_log>
"""


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a program of this name in front of all others."""

    def write(script):
        path = tmp_path / "bin" / "nvidia-smi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return write


@pytest.fixture
def two_gpus(nvidia_smi, tmp_path):
    (tmp_path / "log.xml").write_text(LOG.format(one=ONE, two=TWO, mig="Disabled"))
    nvidia_smi(f'[ "$*" = "-q -x" ] && cat "{tmp_path}/log.xml"')


@pytest.fixture
def block(tmp_path, monkeypatch):
    """The folder of a block on node g1."""
    monkeypatch.setenv(FACTS_VARIABLE, str(tmp_path / "node.json"))
    monkeypatch.setenv("FASTHEP_PARSL_NODE", "g1")
    for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_names_numbers_and_versions_are_found(two_gpus):
    one, two = query_gpus(["1", ONE[:12]], "g1")
    assert (one.device, one.name, one.memory, one.driver, one.cuda) == ("1", "NVIDIA Two", 2 << 30, "580.65.06", "13.0")
    assert (two.device, two.name, two.uuid, two.node) == (ONE[:12], "NVIDIA One", ONE, "g1")
    assert str(one).startswith("GPU 1 (NVIDIA Two of 2.147 GB, driver 580.65.06, CUDA 13.0, CuPy ")


@pytest.mark.parametrize("device", ["2", "GPU-cccccccc"])
def test_a_gpu_that_the_driver_does_not_have_is_refused_with_those_that_it_has(two_gpus, device):
    with pytest.raises(NoGpuError) as failure:
        query_gpus(["0", device], "g1")
    assert f"g1: GPU {device} is assigned to the workers, but driver 580.65.06 has: 0 NVIDIA One GPU-a" in str(
        failure.value
    )


def test_a_driver_that_does_not_answer_is_refused_in_its_own_words(nvidia_smi):
    nvidia_smi("echo NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.; exit 9")
    with pytest.raises(NoGpuError, match=r"g1: no GPU can be used, `nvidia-smi`: NVIDIA-SMI has failed because"):
        query_gpus(["0"], "g1")


def test_one_that_hangs_is_not_waited_for(nvidia_smi, monkeypatch):
    monkeypatch.setattr(gpus, "TIMEOUT", 0.2)
    nvidia_smi("exec sleep 60")
    assert [(gpu.device, gpu.name, gpu.driver) for gpu in query_gpus(["0"], "g1")] == [("0", "unknown", "unknown")]


def test_without_one_nothing_is_known_and_nothing_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [(gpu.pin, gpu.name, gpu.memory) for gpu in query_gpus(["0", "MIG-1"], "g1")] == [
        ("0", "unknown", 0),
        ("MIG-1", "unknown", 0),
    ]


def test_a_divided_gpu_keeps_the_name_that_the_batch_system_gave(nvidia_smi, tmp_path):
    (tmp_path / "log.xml").write_text(LOG.format(one=ONE, two=TWO, mig="Enabled"))
    nvidia_smi(f'cat "{tmp_path}/log.xml"')
    assert [gpu.pin for gpu in query_gpus(["0", "1", "MIG-x"], "g1")] == [ONE, "1", "MIG-x"]


def test_workers_are_pinned_by_uuid_and_find_what_was_told(two_gpus, block, monkeypatch):
    """Parsl would put all four on GPU 0: it divides numbers by the workers per GPU that it has counted."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    words = check_node(["--gpus", "1", "--of", "4", "--sharing", "2", "--block_id=7"])
    assert words[words.index("--available-accelerators") + 1 :] == [ONE, TWO, ONE, TWO]
    facts = own_facts()
    assert [gpu["device"] for gpu in facts.gpus] == ["0", "1"]
    assert (facts.block, facts.node) == (7, "g1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", TWO)
    assert [gpu.name for gpu in own_gpus()] == ["NVIDIA Two"]


def test_workers_without_a_usable_gpu_do_not_start(nvidia_smi, block, monkeypatch):
    nvidia_smi("echo No devices were found; exit 6")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(NodeCheckError, match="g1: no GPU can be used, `nvidia-smi`: No devices were found"):
        check_node(["--gpus", "1", "--of", "1", "--block_id=0"])
    assert own_gpus() == []
