"""From a workflow file to a plan: inputs, partitions, hash, pools, and that looking costs no array library."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fasthep_parsl.compiler.inputs import DEFAULT_CHUNK, choose_chunk
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.machine import Machine


@pytest.fixture
def simple(flow, small_files):
    return flow.write([flow.stage("T", "probe.sum")], [small_files / "a.root", small_files / "b.root"])


def test_the_same_inputs_give_the_same_plan(simple):
    first, again, uncached = simple.compile(), simple.compile(), simple.compile(cache=False)
    assert first == again == uncached
    assert first.hash == again.hash == uncached.hash
    assert Plan.model_validate_json(first.model_dump_json()).hash == first.hash


def test_workers_and_machines_do_not_change_the_hash(simple):
    plan = simple.compile(chunk_size=10)
    other = simple.compile(chunk_size=10, overrides=["execution.pools.default.workers=4"])
    larger = simple.compile(chunk_size=10, machine=Machine(cpus=64, memory=10**12, gpus=4))
    assert other.pool("default").workers != plan.pool("default").workers
    assert plan.hash == other.hash == larger.hash


@pytest.mark.slow
def test_parameters_chunks_inputs_and_code_change_the_hash(flow, simple, small_files):
    hashes = {simple.compile().hash, simple.compile(chunk_size=30).hash}
    hashes.add(flow.write([flow.stage("T", "probe.sum", field="nJet")], [small_files / "a.root"]).compile().hash)
    hashes.add(flow.write([flow.stage("T", "probe.sum")], [small_files / "a.root"]).compile().hash)
    copy = flow.folder / "a.root"
    copy.write_bytes((small_files / "a.root").read_bytes())
    hashes.add(flow.write([flow.stage("T", "probe.sum")], [copy]).compile().hash)
    os.utime(copy, ns=(1, 1))
    hashes.add(flow.compile().hash)
    assert len(hashes) == 6


@pytest.mark.integration
def test_changed_analysis_code_changes_the_hash(simple):
    code = "import sys; from fasthep_parsl import compile_plan; print(compile_plan(sys.argv[1]).hash)"

    def fresh():  # a module is imported once per process
        done = subprocess.run(
            [sys.executable, "-c", code, str(simple.path)], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    before = fresh()
    module = simple.folder / "probe_ops.py"
    module.write_text(module.read_text() + "\n# changed\n")
    assert fresh() != before


@pytest.mark.parametrize(("chunk", "edges"), [(25, (0, 25, 50, 75, 100)), (60, (0, 50, 100)), (1000, (0, 100))])
def test_partitions_begin_at_clusters(simple, chunk, edges):
    plan = simple.compile(chunk_size=chunk)
    assert plan.datasets[0].files[0].edges == edges
    assert plan.entries == 140


def test_chunks_smaller_than_a_cluster_cut_it(simple):
    plan = simple.compile(chunk_size=7)
    a, b = plan.datasets[0].files
    assert set(a.edges) >= {0, 25, 50, 75, 100}
    for file in (a, b):
        assert all(0 < after - before <= 7 for before, after in zip(file.edges, file.edges[1:], strict=False))


def test_a_dataset_without_events_is_a_warning(flow, small_files):
    stages = [flow.stage("T", "probe.sum")]
    files = {"full": [small_files / "a.root"], "none": [small_files / "none.root"]}
    plan = flow.write(stages, datasets=files).compile()
    assert [dataset.entries for dataset in plan.datasets] == [100, 0]
    assert "dataset `none` has no events" in plan.warnings
    plan = flow.write(stages, [small_files / "none.root"]).compile()
    assert plan.entries == 0
    assert any("the input files have no events" in warning for warning in plan.warnings)


def test_all_mistakes_are_shown_at_once_in_order(flow, small_files):
    flow.write(
        [
            flow.stage("T", "probe.sum", field="xx"),
            flow.stage("U", "probe.sum", needs=[], surprise=1),
            {**flow.stage("V", "probe.sum", needs=[]), "execution": {"require": "defualt"}},
        ],
        [small_files / "a.root"],
    )
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    text = str(caught.value)
    assert "unknown field `xx`" in text
    assert "`surprise`" in text
    assert "`defualt`" in text
    lines = [p.where.line for p in caught.value.problems if p.where]
    assert lines == sorted(lines)


def test_a_truncated_file_is_refused_before_the_start(flow, small_files):
    broken = flow.folder / "broken.root"
    broken.write_bytes((small_files / "a.root").read_bytes()[:700])
    with pytest.raises(ConfigError, match=r"broken\.root"):
        flow.write([flow.stage("T", "probe.sum")], [broken]).compile()


def test_aliases_name_branches(flow, small_files):
    plan = flow.write(
        [flow.stage("T", "probe.sum", field="number")],
        [small_files / "a.root"],
        fields={"number": {"stream": "events", "branch": "x"}},
    ).compile()
    assert plan.segments[0].columns == ("number",)
    assert plan.source.aliases == {"number": "x"}


def test_only_aliases_in_use_are_in_the_plan(flow, small_files):
    fields = {"number": {"stream": "events", "branch": "x"}}
    plan = flow.write([flow.stage("T", "probe.sum")], [small_files / "a.root"], fields=fields).compile()
    assert plan.source.aliases == {}


def test_unused_pools_are_marked_and_no_more_workers_than_partitions(simple):
    plan = simple.compile()
    assert plan.partitions == 2
    assert plan.pool("default").used
    assert not plan.pool("other").used
    assert simple.compile(overrides=["execution.pools.default.workers=4"]).pool("default").workers == 2


def test_real_nanoaod_is_planned(flow, real_data):
    path = real_data / "nano_tt_v12.root"
    if not path.exists():
        pytest.skip(f"no {path}")
    stages = [
        {"id": "D", "op": "hep.define", "params": {"variables": [{"name": "ht", "expr": "sum(Jet_pt)"}]}},
        flow.stage("T", "probe.sum", ["D"], field="nMuon"),
    ]
    plan = flow.write(stages, [path]).compile(chunk_size=50)
    assert plan.segments[0].columns == ("Jet_pt", "nMuon")
    assert plan.entries == 200
    assert plan.partitions >= 4


def test_chunks_fit_the_memory():
    assert choose_chunk(10, 10**12) == DEFAULT_CHUNK
    assert choose_chunk(10_000, 10**9) == 10_000  # never absurdly small
    assert 10_000 < choose_chunk(200, 10**9) < DEFAULT_CHUNK


@pytest.mark.parametrize("more", ["", ", nevents: 5"])
def test_a_file_that_cannot_be_read_is_one_mistake(flow, more):
    text = f"""
data: {{datasets: [{{name: far, files: ["root://a[]b//x.root"]{more}}}]}}
sources: {{events: {{tree: Events}}}}
analysis: {{stages: [{{id: Cut, op: hep.select, params: {{selection: ["x > 1"]}}}}]}}
"""
    (flow.folder / "far.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        compile_plan(flow.folder / "far.yaml")
    assert [(item.code, item.key) for item in caught.value.problems] == [("E106", "data.datasets[0].files[0]")]
