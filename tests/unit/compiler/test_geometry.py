"""Blocks of a pool on the queues of a site: what fits, how it is cut, and what it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.compiler.geometry import shape
from fasthep_parsl.compiler.queue_choice import Refusal
from fasthep_parsl.errors import on_command_line
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.workflow.facility import Queue, Scaling

GB = 10**9
HOUR = 3600.0
SHARED = {"node": {"cpus": 32, "memory": "128GB"}, "walltime": "2d"}
WHOLE = {"node": {"cpus": 128, "memory": "512GB"}, "walltime": "24h", "whole_nodes": True}
GPU = {"node": {"cpus": 64, "memory": "256GB", "gpus": 4}, "walltime": "24h"}


def shaped(workers, queues, scaling=(), queue=None, resource_class="", workers_per_gpu=1, **resource):
    pool = Pool("p", workers, Resource(**resource), resource_class, queue, workers_per_gpu)
    made = {name: Queue.model_validate(content) for name, content in queues.items()}
    return shape(pool, made, Scaling.model_validate(dict(scaling)))


def one(workers, queue, scaling=(), **resource):
    """Return the pool on a site with a single queue `q`."""
    found = shaped(workers, {"q": queue}, scaling, **resource)
    assert found.refusal is None, found.refusal
    return found


@pytest.mark.parametrize(
    ("workers", "queue", "resource", "expected"),
    [  # expected: blocks, nodes, workers per node, cpus, memory in GB, gpus of a node
        (1, SHARED, {}, (1, 1, 1, 1, 2, 0)),
        (8, SHARED, {}, (1, 1, 8, 8, 16, 0)),
        (10, SHARED, {}, (2, 1, 5, 5, 10, 0)),  # balanced, not 8 and 2
        (16, SHARED, {}, (2, 1, 8, 8, 16, 0)),
        (5, SHARED, {"cpus": 4}, (3, 1, 2, 8, 4, 0)),
        (2, SHARED, {"cpus": 12}, (2, 1, 1, 12, 2, 0)),  # more than a slot: one worker per job
        (4, SHARED, {"memory": "40GB"}, (2, 1, 2, 2, 80, 0)),  # memory of the node is full with three
        (4, {**SHARED, "slot": 2}, {}, (2, 1, 2, 2, 4, 0)),
        (4, {**SHARED, "slot": 64}, {}, (1, 1, 4, 4, 8, 0)),
        (100, {**SHARED, "slot": 64}, {}, (4, 1, 25, 25, 50, 0)),  # never more than a node has
        (8, {"slot": 4}, {}, (2, 1, 4, 4, 8, 0)),  # nothing is known of the nodes
        (2, {"memory_per_cpu": "2GB"}, {"memory": "8GB"}, (1, 1, 2, 8, 16, 0)),  # memory costs cores
        (4, {"memory_per_cpu": "2GB"}, {"memory": "8GB"}, (2, 1, 2, 8, 16, 0)),
        (4, {"memory_per_cpu": "3GB"}, {"memory": "2GB"}, (1, 1, 4, 4, 8, 0)),
        (6, GPU, {"gpus": 1, "memory": "20GB"}, (2, 1, 3, 3, 60, 3)),
        (2, GPU, {"gpus": 2, "cpus": 8}, (2, 1, 1, 8, 2, 2)),
        (128, WHOLE, {}, (1, 1, 128, 128, 512, 0)),
        (200, WHOLE, {}, (2, 1, 100, 128, 512, 0)),
        (8, WHOLE, {"memory": "200GB"}, (4, 1, 2, 128, 512, 0)),
        (8, {**GPU, "whole_nodes": True}, {"gpus": 1}, (2, 1, 4, 64, 256, 4)),
        (3, {"whole_nodes": True}, {"cpus": 4}, (2, 1, 2, 8, 4, 0)),  # whole nodes, of unknown size
    ],
)
def test_workers_become_blocks(workers, queue, resource, expected):
    found = one(workers, queue, **resource)
    pool, block = found.pool, found.pool.block
    assert (pool.blocks, block.nodes, block.workers_per_node, block.cpus, block.memory // GB, block.gpus) == expected
    assert not found.warnings
    assert pool.workers == workers
    assert pool.workers_per_block == block.nodes * block.workers_per_node
    assert block.queue == "q"


@pytest.mark.parametrize(
    ("workers", "queue", "sharing", "resource", "expected"),
    [  # expected: blocks, workers per node, gpus of a node
        (2, GPU, 2, {"gpus": 1}, (1, 2, 1)),
        (8, GPU, 2, {"gpus": 1}, (1, 8, 4)),
        (3, GPU, 2, {"gpus": 1}, (1, 3, 2)),
        (10, GPU, 4, {"gpus": 1}, (2, 5, 2)),  # a slot is full before the GPUs are
        (8, GPU, 2, {"gpus": 2}, (2, 4, 4)),
        (16, {**GPU, "whole_nodes": True}, 4, {"gpus": 1}, (1, 16, 4)),
        (20, {**GPU, "whole_nodes": True}, 4, {"gpus": 1}, (2, 10, 4)),
    ],
)
def test_workers_that_share_need_fewer_gpus(workers, queue, sharing, resource, expected):
    found = one(workers, queue, workers_per_gpu=sharing, **resource)
    block = found.pool.block
    assert (found.pool.blocks, block.workers_per_node, block.gpus) == expected
    assert (found.pool.gpus, found.pool.workers_per_gpu) == (resource["gpus"], sharing)
    what = "GPU" if resource["gpus"] == 1 else "group of 2 GPUs"
    assert f"up to {sharing} workers share a {what}; each sees all its memory" in block.why


@pytest.mark.parametrize(
    ("workers", "queue", "scaling", "expected", "warning"),
    [  # expected: workers, blocks, nodes, workers per node
        (512, {**WHOLE, "max_blocks": 2, "max_nodes": 4}, {}, (512, 2, 2, 128), ""),
        (600, {**WHOLE, "max_blocks": 2, "max_nodes": 4}, {}, (600, 2, 3, 100), ""),
        (512, {**WHOLE, "max_blocks": 2}, {}, (256, 2, 1, 128), "pool `p`: 512 → 256 workers (queue `q` allows 2 jobs of 128 workers)"),
        (5000, {**WHOLE, "max_blocks": 2, "max_nodes": 4}, {}, (1024, 2, 4, 128), "pool `p`: 5000 → 1024 workers (queue `q` allows 2 jobs of 512 workers)"),
        (40, SHARED, {"max_blocks": 2}, (40, 2, 1, 20), ""),  # larger slots first
        (100, SHARED, {"max_blocks": 2}, (64, 2, 1, 32), "pool `p`: 100 → 64 workers (`scaling.max_blocks` allows 2 jobs of 32 workers)"),
        (100, {**SHARED, "max_blocks": 1}, {"max_blocks": 2}, (32, 1, 1, 32), "pool `p`: 100 → 32 workers (queue `q` allows 1 job of 32 workers)"),
        (100, {**SHARED, "max_nodes": 2}, {"max_blocks": 2}, (100, 2, 2, 25), ""),
        (100, {}, {"max_blocks": 3}, (24, 3, 1, 8), "pool `p`: 100 → 24 workers (`scaling.max_blocks` allows 3 jobs of 8 workers)"),
        (5, {**WHOLE, "min_nodes": 10}, {}, (5, 1, 10, 1), "pool `p`: 10 nodes for 5 workers (queue `q` has no jobs of fewer nodes)"),
        (2560, {**WHOLE, "min_nodes": 10}, {}, (2560, 2, 10, 128), ""),
        (3000, {**WHOLE, "min_nodes": 10}, {}, (3000, 3, 10, 100), ""),
    ],
)  # fmt: skip
def test_few_jobs_become_larger_ones_and_then_fewer_workers(workers, queue, scaling, expected, warning):
    found = one(workers, queue, scaling)
    pool = found.pool
    assert (pool.workers, pool.blocks, pool.block.nodes, pool.block.workers_per_node) == expected
    assert found.warnings == ((f"{warning}",) if warning else ())


@pytest.mark.parametrize(
    ("queue", "scaling", "workers", "blocks"),
    [
        (SHARED, {}, 16, 2),
        (SHARED, {"max_blocks": 5}, 40, 5),
        ({**SHARED, "max_blocks": 1}, {}, 8, 1),
        (WHOLE, {}, 256, 2),
        ({**WHOLE, "min_nodes": 2}, {"max_blocks": 1}, 256, 1),
        ({}, {}, 16, 2),
    ],
)
def test_auto_fills_two_jobs_or_as_many_as_there_may_be(queue, scaling, workers, blocks):
    found = one(None, queue, scaling)
    assert (found.pool.workers, found.pool.blocks) == (workers, blocks)
    assert not found.warnings
    assert any(text.startswith("workers `auto`: as many as fit into ") for text in found.pool.block.why)


@pytest.mark.parametrize(
    ("queue", "asked", "walltime", "why"),
    [
        (SHARED, "2h", 2 * HOUR, "walltime 2h: requested by the pool; queue `q` allows 2d"),
        ({}, "2h", 2 * HOUR, "walltime 2h: requested by the pool"),
        ({**SHARED, "default_walltime": "8h"}, None, 8 * HOUR, "walltime 8h: the default of queue `q`; queue `q` allows 2d"),
        (SHARED, None, 4 * HOUR, "walltime 4h: the default; queue `q` allows 2d"),
        ({"walltime": "30m"}, None, HOUR / 2, "walltime 30m: the most that queue `q` allows"),
        ({"walltime": "30m", "default_walltime": "1h"}, None, HOUR / 2, "walltime 30m: the most that queue `q` allows"),
        ({}, None, 4 * HOUR, "walltime 4h: the default"),
    ],
)  # fmt: skip
def test_a_block_lives_as_long_as_asked(queue, asked, walltime, why):
    block = one(1, queue, walltime=asked).pool.block
    assert block.walltime == walltime
    assert block.why[-1] == why


@pytest.mark.parametrize(
    ("resource", "named", "queue"),
    [
        ({}, None, "cpu"),
        ({}, "gpu", "gpu"),
        ({"gpus": 1}, None, "gpu"),
        ({"memory": "200GB"}, None, "fat"),  # before `gpu`, which stands above it
        ({"cpus": 64, "memory": "200GB"}, None, "gpu"),  # a GPU is left alone, but there is no other node
        ({"walltime": "3d"}, None, "long"),
    ],
)
def test_the_first_queue_that_fits_is_taken(resource, named, queue):
    fat = {"node": {"cpus": 16, "memory": "1TB"}, "walltime": "1d"}
    queues = {"gpu": GPU, "cpu": SHARED, "fat": fat, "long": {**SHARED, "walltime": "7d"}}
    block = shaped(1, queues, queue=named, **resource).pool.block
    assert block.queue == queue
    assert ("and has no GPUs" in block.why[0]) == (queue in ("cpu", "fat", "long") and not resource.get("walltime"))
    assert ("set by the pool" in block.why[0]) == bool(named)


def test_a_site_without_queues_limits_nothing():
    found = shaped(2, {}, cpus=500, memory="4TB", gpus=9, walltime="30d")
    block = found.pool.block
    assert (block.queue, block.cpus, block.gpus, block.walltime) == ("", 500, 9, 30 * 24 * HOUR)
    assert block.why[0] == "the site describes no queues, so its nodes are unknown"


def test_how_a_block_came_to_be_is_said():
    assert one(8, SHARED, walltime="2h").pool.block.why == (
        "queue `q` (32 cpus, 128 GB of memory): the only one",
        "8 workers per job: 8 × 1 cpu fill a slot of 8 cpus",
        "at most 1 job: 8 workers",
        "walltime 2h: requested by the pool; queue `q` allows 2d",
    )
    assert one(600, {**WHOLE, "max_blocks": 2, "max_nodes": 4}).pool.block.why == (
        "queue `q` (128 cpus, 512 GB of memory): the only one",
        "queue `q` allows 2 jobs, so they are larger",
        "100 workers per node: distributed evenly; 128 would fit",
        "at most 2 jobs of 3 nodes: 600 workers",
        "walltime 4h: the default; queue `q` allows 1d",
    )
    said = one(2, {"memory_per_cpu": "2GB"}, memory="8GB").pool.block.why
    assert "8 cpus for 16 GB: one cpu comes with 2 GB of memory" in said
    said = one(8, WHOLE, memory="200GB").pool.block.why
    assert "2 workers per node: 2 × 200 GB of memory fill a whole node of 512 GB of memory" in said
    said = one(2, SHARED, cpus=12).pool.block.why
    assert "1 worker per job: it needs more than a slot of 8 cpus" in said
    assert "20 workers per job: more than a slot of 8 cpus, because the number of jobs is limited" in one(
        40, SHARED, {"max_blocks": 2}
    ).pool.block.why  # fmt: skip


SITE = {"cpu": SHARED, "gpu": GPU, "debug": {**SHARED, "walltime": "30m"}}


@pytest.mark.parametrize(
    ("wanted", "code", "key", "message", "hint"),
    [
        ({"cpus": 100}, "E144", "resources.cpus",
         "no node here has 100 cpus, which the pool asks for per worker",
         "at most 64 cpus per worker; a node has: `cpu` 32 cpus, 128 GB of memory; `gpu` 64 cpus"),
        ({"memory": "1TB"}, "E144", "resources.memory",
         "no node here has 1 TB of memory, which the pool asks for per worker", "at most 256 GB of memory"),
        ({"gpus": 8}, "E144", "resources.gpus",
         "no node here has 8 GPUs, which the pool asks for per worker", "at most 4 GPUs per worker"),
        ({"cpus": 64, "queue": "cpu"}, "E144", "resources.cpus",
         "queue `cpu` has no node with 64 cpus", "at most 32 cpus per worker; queue `gpu` has such nodes"),
        ({"gpus": 1, "queue": "cpu"}, "E144", "resources.gpus",
         "queue `cpu` has no node with a GPU, the pool asks for 1 per worker", "queue `gpu` has such nodes"),
        ({"cpus": 60, "memory": "400GB", "queue": "cpu"}, "E144", "resources.cpus", "queue `cpu` has no node with 60", ""),
        ({"walltime": "5d"}, "E144", "resources.walltime",
         "queue `cpu` allows 2d of walltime, the pool asks for 5d", "at most 2d: `--set pools.p.walltime=2d`"),
        ({"walltime": "5d", "resource_class": "big"}, "E144", "resources.walltime", "the pool asks for 5d",
         "`--set resources.big.walltime=2d`"),
        ({"walltime": "1h", "queue": "debug"}, "E144", "resources.walltime",
         "queue `debug` allows 30m of walltime, the pool asks for 1h",
         "queue `cpu` allows it; ask for at most 30m"),
        ({"queue": "cpuu"}, "E148", "queue", "the site has no queue `cpuu`", "did you mean `cpu`?"),
        ({"queue": "night"}, "E148", "queue", "the site has no queue `night`", "queues: cpu, debug, gpu"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_would(wanted, code, key, message, hint):
    found = shaped(1, SITE, **wanted)
    assert found.pool is None
    assert isinstance(found.refusal, Refusal)
    assert (found.refusal.code, ".".join(found.refusal.key)) == (code, key)
    assert message in found.refusal.reason
    assert hint in on_command_line(found.refusal.hint)


def test_quantities_that_no_node_has_together():
    queues = {"wide": {"node": {"cpus": 64, "memory": "64GB"}}, "fat": {"node": {"cpus": 8, "memory": "1TB"}}}
    refusal = shaped(1, queues, cpus=32, memory="500GB").refusal
    assert refusal.key == ("resources",)
    assert refusal.reason.startswith("no node here has 32 cpus, 500 GB of memory together")
    assert str(refusal.hint) == "a node has: `wide` 64 cpus, 64 GB of memory; `fat` 8 cpus, 1 TB of memory"


def test_a_site_without_gpus_is_no_mistake_of_the_pool():
    refusal = shaped(1, {"cpu": SHARED}, gpus=1).refusal
    assert refusal.code == "E141"
    assert refusal.reason == "no node here has a GPU, the pool asks for 1 per worker"


def test_memory_that_costs_more_cores_than_a_node_has_is_refused():
    queues = {"q": {"node": {"cpus": 16, "memory": "256GB"}, "memory_per_cpu": "4GB"}}
    assert shaped(1, queues, memory="64GB").pool.block.cpus == 16
    refusal = shaped(1, queues, memory="65GB").refusal
    assert refusal.key == ("resources", "memory")
    assert "at most 64 GB of memory per worker" in str(refusal.hint)


def test_a_queue_is_asked_for_where_there_are_none():
    refusal = shaped(1, {}, queue="long").refusal
    assert refusal.code == "E148"
    assert str(refusal.hint) == "this site describes no queues; add `execution.queues.long`, or remove `queue`"


def test_scaling_is_carried_and_keeps_no_more_blocks_than_there_are():
    pool = one(8, SHARED, {"min_blocks": 5, "idle": "2m", "max_blocks": 9}).pool
    assert (pool.scaling.min_blocks, pool.scaling.idle, pool.scaling.poll) == (1, 120.0, 30.0)


counts = st.integers(1, 300)
queues = st.fixed_dictionaries(
    {
        "node": st.fixed_dictionaries(
            {},
            optional={
                "cpus": st.integers(1, 256),
                "memory": st.integers(1, 2000).map(lambda n: f"{n}GB"),
                "gpus": st.integers(0, 8),
                "disk": st.integers(1, 4000).map(lambda n: f"{n}GB"),
            },
        ),
        "whole_nodes": st.booleans(),
        "slot": st.integers(1, 64),
        "min_nodes": st.integers(1, 12),
    },
    optional={
        "memory_per_cpu": st.integers(1, 16).map(lambda n: f"{n}GB"),
        "max_nodes": st.integers(1, 40),
        "max_blocks": st.integers(1, 20),
        "walltime": st.integers(60, 10**6),
        "default_walltime": st.integers(60, 10**6),
    },
)
resources = st.fixed_dictionaries(
    {"cpus": st.integers(1, 64), "memory": st.integers(1, 200).map(lambda n: f"{n}GB"), "gpus": st.integers(0, 4)},
    optional={"disk": st.integers(1, 400).map(lambda n: f"{n}GB"), "walltime": st.integers(60, 10**6)},
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    workers=st.none() | counts,
    resource=resources,
    site=st.dictionaries(st.sampled_from("abc"), queues, max_size=3),
    most=st.none() | st.integers(1, 10),
)
def test_nothing_is_larger_than_a_node_and_all_workers_have_a_place(workers, resource, site, most):
    found = shaped(workers, site, {"max_blocks": most} if most else {}, **resource)
    if found.pool is None:
        assert found.refusal.reason
        assert str(found.refusal.hint)
        assert site
        return
    pool, block = found.pool, found.pool.block
    assert pool.workers_per_block == block.nodes * block.workers_per_node
    assert pool.workers_per_block * pool.blocks >= pool.workers
    if workers is not None:
        assert pool.workers == workers or (pool.workers < workers and found.warnings)
    assert most is None or pool.blocks <= most
    count = block.workers_per_node
    assert block.cpus >= count * pool.cpus
    assert block.memory >= count * pool.memory
    assert block.gpus >= count * pool.gpus
    if not site:
        return
    queue = Queue.model_validate(site[block.queue])
    assert block.cpus <= (queue.node.cpus or block.cpus)
    assert block.memory <= (queue.node.memory or block.memory)
    assert block.gpus <= queue.node.gpus
    assert (block.disk or 0) <= (queue.node.disk or block.disk or 0)
    assert block.walltime <= (queue.walltime or block.walltime)
    assert queue.min_nodes <= block.nodes <= max(queue.max_nodes or 1, queue.min_nodes)
    assert queue.max_blocks is None or pool.blocks <= queue.max_blocks
    if queue.memory_per_cpu and not queue.whole_nodes:
        assert block.memory <= block.cpus * queue.memory_per_cpu
