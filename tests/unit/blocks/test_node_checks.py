"""Node checks: versions, whether the driver can be reached, which GPUs workers get."""

from __future__ import annotations

import socket
import sys
import time
from importlib.metadata import version

import pytest

from fasthep_parsl.analysis_code.handshake import ExpectedSoftware
from fasthep_parsl.blocks import node_checks
from fasthep_parsl.blocks.node_checks import (
    NodeCheckError,
    assigned_gpus,
    check_node,
    check_software,
    node_check_options,
    refuse_node,
)
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.worker.node_facts import FACTS_VARIABLE, own_facts

PARSL = version("parsl")
PYTHON = "{}.{}".format(*sys.version_info)
FULL = "GPU-4a1b2c3d-0000-1111-2222-333344445555"
SLICE = "MIG-9c0d1e2f-0000-1111-2222-333344445555"


@pytest.fixture
def driver():
    """Somebody who listens; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch):
    for name in node_checks.GPU_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def options(port, addresses="127.0.0.1", **software):
    expected = ExpectedSoftware({"python": PYTHON, "parsl": PARSL, **software}, environment="image")
    return [f"--software={expected.text()}", "--reach", f"--addresses={addresses}", f"--port={port}", "--poll=50"]


def test_who_can_work_becomes_the_worker_pool(driver):
    assert check_node(options(driver)) == ["--addresses=127.0.0.1", f"--port={driver}", "--poll=50"]


def test_options_of_the_worker_pool_pass_whatever_they_are(driver):
    odd = ["--cert_dir=/a b/--python", "--drain_period=None", "--of_what=3", "--cpu-affinity=none"]
    assert check_node([*options(driver), *odd])[-4:] == odd


@pytest.mark.parametrize(
    ("wrong", "assigned"),
    [
        ({"python": "3.2"}, rf"`python` is {PYTHON} \(driver: 3\.2\) \(\S+python\S*, environment `image`\)"),
        ({"parsl": "1999.1.1"}, rf"`parsl` is {PARSL} \(driver: 1999\.1\.1\)"),
    ],
)
def test_other_versions_are_refused_with_both(driver, wrong, assigned):
    with pytest.raises(NodeCheckError, match=assigned):
        check_node(options(driver, **wrong))


def test_one_address_that_answers_is_enough(driver):
    assert check_node(options(driver, "no.such.host.invalid,127.0.0.1"))


def test_an_address_that_cannot_be_reached_is_named_with_the_reason(driver):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # does not listen
        port = silent.getsockname()[1]
        with pytest.raises(NodeCheckError) as failure:
            check_node(options(port, "127.0.0.1,no.such.host.invalid"))
    assigned = str(failure.value)
    assert assigned.startswith(
        f"{socket.gethostname()} cannot reach the driver at 127.0.0.1:{port} (Connection refused), "
    )
    assert f"no.such.host.invalid:{port} (" in assigned


@pytest.mark.parametrize("address", ["a..b", "x" * 300])
def test_what_is_no_address_is_named_too(address):
    with pytest.raises(NodeCheckError, match="cannot reach the driver at "):
        check_node(options(1, address))


def test_a_port_that_is_none_is_named_too():
    with pytest.raises(NodeCheckError, match=r"127\.0\.0\.1:99999 \("):
        check_node(options(99999))


@pytest.mark.slow
def test_addresses_that_are_silent_share_the_time(monkeypatch):
    """A firewall that drops everything: each address gets its part, and all together what is allowed."""
    monkeypatch.setattr(node_checks, "REACH_TIMEOUT", 0.9)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        queued = []
        for _ in range(3):  # silent accepts: once the queue is full, silent is answered
            handle = socket.socket()
            handle.setblocking(False)
            handle.connect_ex(("127.0.0.1", port))
            queued.append(handle)
        began = time.monotonic()
        with pytest.raises(NodeCheckError, match="timed out"):
            check_node(options(port, "127.0.0.1,127.0.0.1,127.0.0.1"))
        assert 0.8 < time.monotonic() - began < 20
        for handle in queued:
            handle.close()


def test_the_facts_are_recorded_for_workers(driver, monkeypatch, tmp_path):
    monkeypatch.setenv(FACTS_VARIABLE, str(tmp_path / "node.json"))
    monkeypatch.setenv("FASTHEP_PARSL_NODE", "n042")
    monkeypatch.setenv("FASTHEP_PARSL_ENVIRONMENT", "5b1c")
    check_node([*options(driver, numpy=version("numpy")), "--block_id=7"])
    facts = own_facts()
    assert (facts.node, facts.block, facts.environment) == ("n042", 7, "5b1c")
    assert facts.software == {"python": PYTHON, "parsl": PARSL, "numpy": version("numpy")}
    assert facts.python.startswith(f"{PYTHON}.")
    assert facts.platform.startswith("linux-")


def test_a_fork_of_the_driver_is_not_compared(driver):
    assert check_software(options(driver, numpy="0.1"), compare=False).software["numpy"] == "0.1"


def test_a_refused_node_is_named(driver, monkeypatch, capsys):
    monkeypatch.setenv("FASTHEP_PARSL_NODE", "n042")
    refuse_node([*options(driver), "--block_id=7"], NodeCheckError("no"))
    assert capsys.readouterr().err == "fasthep-parsl: block 7 on node n042: no\n"


# --- GPUs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assigned", "per_worker", "workers", "devices"),
    [
        ("0", 1, 1, ["0"]),
        ("2,3", 1, 2, ["2", "3"]),
        ("2,3", 2, 1, ["2,3"]),
        ("0,1,2,3", 2, 2, ["0,1", "2,3"]),
        (" 4 , 5 ", 1, 2, ["4", "5"]),
        ("0,1,2,3", 1, 2, ["0", "1"]),  # more than workers need
        ("0,1,2", 2, 2, ["0,1"]),  # enough for one worker only
        (f"{FULL},GPU-b", 1, 2, [FULL, "GPU-b"]),
        (SLICE, 1, 1, [SLICE]),
        ("MIG-GPU-1/7/0,MIG-GPU-1/8/0", 1, 2, ["MIG-GPU-1/7/0", "MIG-GPU-1/8/0"]),
    ],
)
@pytest.mark.parametrize("ours", [False, True])
def test_workers_get_what_the_batch_system_has_assigned(assigned, per_worker, workers, devices, ours):
    assert assigned_gpus({"CUDA_VISIBLE_DEVICES": assigned}, per_worker, workers, ours=ours) == devices


@pytest.mark.parametrize(
    ("assigned", "per_worker", "workers", "sharing", "devices"),
    [
        ("3", 1, 2, 2, ["3", "3"]),
        ("2,3", 1, 4, 2, ["2", "3", "2", "3"]),
        ("2,3", 1, 3, 2, ["2", "3", "2"]),  # in turn: no GPU has two workers more than another
        ("2,3", 1, 2, 2, ["2", "2"]),  # one is enough
        ("0,1,2,3", 2, 3, 2, ["0,1", "2,3", "0,1"]),
        ("5", 1, 4, 2, ["5", "5"]),  # fewer than asked for: fewer workers, not more on each
    ],
)
def test_workers_that_share_have_the_same(assigned, per_worker, workers, sharing, devices):
    given = {"CUDA_VISIBLE_DEVICES": assigned}
    assert assigned_gpus(given, per_worker, workers, ours=False, sharing=sharing) == devices


@pytest.mark.parametrize("name", node_checks.GPU_VARIABLES)
def test_other_makers_have_other_variables(name):
    assert assigned_gpus({"CUDA_VISIBLE_DEVICES": "", name: "6,7"}, 1, 2, ours=False) == ["6", "7"]


def test_without_a_word_whole_nodes_are_counted_and_shared_ones_are_not():
    assert assigned_gpus({}, 2, 2, ours=True) == ["0,1", "2,3"]
    with pytest.raises(
        NodeCheckError, match=r"assigned 0 GPUs, the workers need 4 \(CUDA_VISIBLE_DEVICES is not set\)"
    ):
        assigned_gpus({}, 2, 2, ours=False)


@pytest.mark.parametrize("assigned", ["NoDevFiles", "-1", "10000", "none", "void"])
@pytest.mark.parametrize("ours", [False, True])
def test_a_job_that_was_given_none_has_none(assigned, ours):
    with pytest.raises(
        NodeCheckError, match=rf"assigned 0 GPUs, the workers need 1 \(CUDA_VISIBLE_DEVICES={assigned}\)"
    ):
        assigned_gpus({"CUDA_VISIBLE_DEVICES": assigned}, 1, 1, ours=ours)


def test_too_few_for_a_single_worker():
    with pytest.raises(NodeCheckError, match=r"assigned 1 GPUs, the workers need 2 \(ROCR_VISIBLE_DEVICES=3\)"):
        assigned_gpus({"ROCR_VISIBLE_DEVICES": "3"}, 2, 1, ours=False)


@pytest.mark.parametrize("whole", [False, True])
def test_the_options_of_a_pool_come_back_as_its_devices(driver, monkeypatch, whole):
    block = PlanBlock(memory=1, walltime=60, workers_per_node=2, gpus=4, whole_nodes=whole)
    pool = PlanPool(name="gpu", workers=2, gpus=2, workers_per_block=2, block=block)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    arguments = [*node_check_options(pool), "--addresses=127.0.0.1", f"--port={driver}"]
    assert check_node(arguments)[-3:] == ["--available-accelerators", "4,5", "6,7"]


def test_a_pool_without_gpus_asks_for_none(driver, monkeypatch):
    pool = PlanPool(name="cpu", workers=2, block=PlanBlock(memory=1, walltime=60))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert (
        check_node([*node_check_options(pool), "--addresses=127.0.0.1", f"--port={driver}"])[0]
        == "--addresses=127.0.0.1"
    )
    assert node_check_options(PlanPool(name="cpu", workers=2)) == []
