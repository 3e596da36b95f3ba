"""The nodes in ``run.json``: equal ones in one group, permitted differences, and nodes whose blocks failed."""

from __future__ import annotations

from importlib.metadata import version

from fasthep_parsl.driver.node_tally import NodeTally
from fasthep_parsl.events import BlockChanged, NodeSeen
from fasthep_parsl.plan import Plan, PlanEnvironment, PlanSource

SAME = {"python": "3.11", "parsl": version("parsl"), "numpy": "2.4"}


def tally(**facts):
    plan = Plan(
        name="p",
        chunk_size=1,
        source=PlanSource(),
        stages=(),
        segments=(),
        pools=(),
        software={"numpy": "2.4"},
        **facts,
    )
    return NodeTally(plan)


def seen(node, pool="default", software=SAME, platform="linux-x86_64", **facts):
    return NodeSeen(
        pool=pool, block=0, node=node, python="3.11.9", platform=platform, system="", cpu="", software=software, **facts
    )


def test_equal_nodes_are_one_group():
    found = tally()
    for number in reversed(range(1000)):
        found(seen(f"n{number:04}"))
        found(seen(f"n{number:04}"))
    found(seen("g1", pool="gpu", gpus=({"device": "0", "name": "H200"}, {"device": "1", "name": "H200"})))
    plain, gpu = found.groups()
    assert plain["nodes"] == [f"n{number:04}" for number in range(1000)]
    assert (gpu["nodes"], gpu["pool"], gpu["gpus"]) == (["g1"], "gpu", ["H200"])
    assert plain["software"] == {"parsl": SAME["parsl"], "numpy": "2.4"}
    assert plain["differences"] == []
    assert found.warnings() == []


def test_permitted_differences_are_a_warning():
    found = tally(environment=PlanEnvironment(kind="image", params={"allow": ["numpy"]}))
    found(seen("n1"))
    for number in range(2, 9):
        found(seen(f"n{number}", software={**SAME, "numpy": "2.3"}))
    assert [group["differences"] for group in found.groups()] == [[], ["`numpy` is 2.3 (driver: 2.4)"]]
    assert found.warnings() == [
        "nodes n2, n3, n4, n5, n6 and 2 more: `numpy` is 2.3 (driver: 2.4); permitted by `allow` of the environment"
    ]


def test_different_architectures_are_a_warning():
    found = tally()
    found(seen("n1"))
    found(seen("a1", platform="linux-aarch64"))
    (warning,) = found.warnings()
    assert warning.endswith("(linux-aarch64: node a1; linux-x86_64: node n1)")


def test_nodes_whose_blocks_failed_are_listed_with_the_last_reason():
    found = tally()
    for block, message in enumerate(("first", "last")):
        found(BlockChanged(pool="default", state="failed", block=block, job="1", node="c2", message=message))
    found(BlockChanged(pool="default", state="failed", block=3, job="1", message="never started"))
    found(BlockChanged(pool="default", state="lost", block=4, job="1", node="c1", message="lost"))
    assert found.failed() == [{"node": "c2", "pool": "default", "blocks": 2, "message": "last"}]
