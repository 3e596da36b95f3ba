"""Job scripts of a plan: written only to an empty folder."""

from __future__ import annotations

import subprocess

import pytest

from fasthep_parsl.driver.job_scripts import write_scripts
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import PlanBlock, PlanPool


@pytest.fixture
def plan(make_plan):
    block = PlanBlock(memory=10**9, walltime=600.0, queue="cpu")
    pools = [
        PlanPool(name=name, workers=1, provider="slurm", block=block, used=name == "cpu") for name in ("cpu", "idle")
    ]
    return make_plan([(["A"], "cpu", {})], 2).model_copy(update={"pools": tuple(pools)})


def test_each_pool_that_is_used_has_its_scripts(plan, tmp_path):
    written = write_scripts(plan, tmp_path / "new")
    assert [str(path.relative_to(tmp_path)) for path in written] == ["new/cpu/block.0.sh", "new/cpu/node.sh"]
    assert f"exec /bin/bash {tmp_path}/new/cpu/node.sh 0\n" in written[0].read_text()
    for path in written:
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_a_folder_that_holds_something_is_not_touched(plan, tmp_path):
    (tmp_path / "mine").touch()
    for folder, words in ((tmp_path, "is not empty"), (tmp_path / "mine", "is a file")):
        with pytest.raises(ConfigError, match=words):
            write_scripts(plan, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_site_without_a_batch_system_has_no_scripts(make_plan, tmp_path):
    with pytest.raises(ConfigError, match="processes on this machine"):
        write_scripts(make_plan([(["A"], "p", {})], 2), tmp_path)
