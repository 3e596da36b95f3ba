"""A draft of a profile loads as it is; what it holds of real batch systems is tested on them."""

from __future__ import annotations

import pytest

from fasthep_parsl import registry
from fasthep_parsl.blocks.survey import Survey
from fasthep_parsl.driver.site_checks import draft
from fasthep_parsl.driver.site_checks.sample import sample_site
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import NodeGroup

GROUPS = (
    NodeGroup("std", 40, 64, 250_000, walltime=43_200.0, default=True),
    NodeGroup(
        "no", 4, 32, 500_000, 4, walltime=90_061.0, whole_nodes=True, options={"gpu_type": "a100"}
    ),  # a name that YAML takes for false
)


def found_on(strategy, *rest):
    """Return a survey as the machine of a batch system would give it."""
    return Survey(strategy, registry.load("strategies", strategy).discovery, *rest)


@pytest.mark.parametrize(
    "found",
    [
        Survey(),
        found_on("slurm", GROUPS, "sinfo"),
        found_on("slurm", (), "sinfo", "sinfo: error: no\nsuch thing"),
        found_on("htcondor", (NodeGroup("", 3, 8, 800), NodeGroup("", 1, 16, 262_144, 2)), "condor_status"),
        found_on("htcondor", tuple(NodeGroup("", 1, n + 1, 4096) for n in range(30)), "condor_status"),
        found_on("pbs"),
        found_on("lsf"),
        found_on("grid_engine"),
    ],
    ids=lambda found: f"{found.strategy or 'none'}-{len(found.groups)}",
)
def test_a_draft_is_a_site_that_checks_clean(found, tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "survey_machine", lambda: found)
    path = draft.write_profile("mine", tmp_path, draft.draft_profile())
    sampled = sample_site(str(path))
    assert [check for check in sampled.checks if not check.ok] == []
    assert sampled.site.strategy.kind == (found.strategy or "local")
    expected = min(len(found.groups), draft.MOST_GROUPS) or 1
    assert len(sampled.pools) == expected


def test_what_a_queue_has_is_in_the_draft(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "survey_machine", lambda: found_on("slurm", GROUPS, "sinfo"))
    sampled = sample_site(str(draft.write_profile("mine", tmp_path, draft.draft_profile())))
    std, no = sampled.largest
    assert (std.block.cpus, std.block.memory, std.block.walltime) == (64, (250_000 >> 10) << 30, 43_200)
    assert (no.name, no.block.gpus, no.block.whole_nodes, no.block.walltime) == ("no", 4, True, 90_061)
    assert "--gpus-per-node=a100:" in sampled.scripts["no"][0].text


def test_no_file_is_overwritten_and_names_are_names(tmp_path):
    draft.write_profile("mine", tmp_path, "strategy: local\n")
    for name, words in (
        ("mine", "exists"),
        ("_mine", "not a valid name"),
        ("a/b", "not a valid name"),
        ("", "not a valid name"),
    ):
        with pytest.raises(ConfigError, match=words):
            draft.write_profile(name, tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
