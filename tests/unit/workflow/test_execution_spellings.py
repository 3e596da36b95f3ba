"""`execution.environment` and `staging` as fasthep-flow writes them, in workflows and in site profiles."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.sites import load_site
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.loader import load_workflow

FLOW = {
    "version": "1.0",
    "data": {"datasets": [{"name": "dy", "files": ["dy.root"]}]},
    "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
    "analysis": {"stages": [{"id": "A", "op": "hep.define", "params": {"variables": []}}]},
}


@pytest.fixture(params=["workflow", "site"])
def loaded(request, tmp_path):
    """Write `execution` into a workflow, or into the profile of a site, and load the workflow."""

    def load(execution):
        flow = tmp_path / "flow.yaml"
        if request.param == "workflow":
            flow.write_text(json.dumps({**FLOW, "execution": execution}))  # JSON is YAML
            return load_workflow(flow).workflow.execution
        flow.write_text(json.dumps(FLOW))
        (tmp_path / "here.yaml").write_text(
            json.dumps({"meta": {"description": "x"}, "strategy": "local", **execution})
        )
        return load_workflow(flow, layers=load_site(tmp_path / "here.yaml").layers).workflow.execution

    return load


@pytest.mark.parametrize(
    ("written", "kind", "params"),
    [
        ({"type": "shared-prefix", "prefix": "current"}, "shared-prefix", {"prefix": "current"}),
        ({"type": "shared-prefix", "mode": "shared", "prefix": "/a"}, "shared-prefix", {"prefix": "/a"}),
        ({"type": "packed-pixi"}, "packed-pixi", {}),
        (
            {"type": "packed-pixi", "mode": "self-extracting", "environment": "gpu"},
            "packed-pixi",
            {"environment": "gpu"},
        ),
        ({"type": "packed-pixi", "archive_path": "a/env.sh", "worker_env_dir": "worker-env"}, "packed-pixi", {}),
        ({"type": "packed-pixi", "mode": "prefix", "source": "current"}, "packed-prefix", {}),
        ({"type": "packed-pixi", "mode": "prefix", "format": "gz"}, "packed-prefix", {"format": "gz"}),
        ({"kind": "packed-pixi", "mode": "prefix"}, "packed-prefix", {}),
        ({"kind": "image", "type": "image", "python": "/p"}, "image", {"python": "/p"}),
        ({"type": "container", "image": "a", "setup": ["x"]}, "container", {"image": "a", "setup": ["x"]}),
        ("shared-prefix", "shared-prefix", {}),
    ],
)
def test_environments_mean_the_same(loaded, written, kind, params):
    environment = loaded({"environment": written}).environment
    assert (environment.kind, environment.params) == (kind, params)


def test_empty_sections_are_defaults(loaded):
    execution = loaded({"environment": {}, "staging": {}, "config": {}, "profiles": []})
    assert execution.environment is None
    assert execution.shared_filesystem


@pytest.mark.parametrize(("mode", "shared"), [("shared", True), ("transfer", False)])
def test_staging_says_whether_files_are_shared(loaded, mode, shared):
    assert loaded({"staging": {"mode": mode}}).shared_filesystem is shared
    assert loaded({"staging": {"mode": mode}, "shared_filesystem": shared}).shared_filesystem is shared


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ({"environment": {"type": "image", "kind": "container"}}, "environment.type", "`type` and `kind` differ"),
        ({"environment": {"type": "shared-prefix", "mode": "prefix"}}, "environment.mode", "`mode` of `shared-prefix`"),
        (
            {"environment": {"type": "packed-pixi", "mode": "tar"}},
            "environment.mode",
            "`mode` of `packed-pixi` cannot be",
        ),
        ({"environment": {"type": "packed-pixi", "source": "current"}}, "environment.source", "`source` needs"),
        (
            {"environment": {"type": "packed-pixi", "mode": "prefix", "source": "/a"}},
            "environment.source",
            "`source` is",
        ),
        (
            {"environment": {"type": "packed-pixi", "mode": "prefix", "environment": "a"}},
            "environment.environment",
            "`mode: prefix` packs no environment",
        ),
        ({"staging": {"mode": "copy"}}, "staging", "`staging` is `{mode: shared}`"),
        ({"staging": "shared"}, "staging", "`staging` is `{mode: shared}`"),
        ({"staging": {"mode": "shared", "folder": "/a"}}, "staging", "`staging` is `{mode: shared}`"),
        (
            {"staging": {"mode": "shared"}, "shared_filesystem": False},
            "staging.mode",
            "contradicts `shared_filesystem`",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(loaded, written, key, message):
    with pytest.raises(ConfigError) as failure:
        loaded(written)
    (problem,) = failure.value.problems
    assert (problem.code, problem.key.removeprefix("execution.")) == ("E106", key)
    assert message in problem.message
    assert problem.where is not None


def test_what_is_ignored_in_a_workflow_is_said(tmp_path):
    flow = tmp_path / "flow.yaml"
    environment = {"type": "packed-pixi", "archive_path": "env.sh"}
    flow.write_text(json.dumps({**FLOW, "execution": {"environment": environment}}))
    (warning,) = load_workflow(flow).warnings
    assert (warning.code, warning.key) == ("W107", "execution.environment.archive_path")


def test_sections_that_are_not_empty_are_still_refused(tmp_path):
    flow = tmp_path / "flow.yaml"
    flow.write_text(json.dumps({**FLOW, "execution": {"config": {"workers": 2}, "profiles": ["dask"]}}))
    with pytest.raises(ConfigError) as failure:
        load_workflow(flow)
    assert {item.key for item in failure.value.problems} == {"execution.config", "execution.profiles"}


def test_the_schema_has_them():
    properties = Execution.model_json_schema()["properties"]
    assert {"type": "object", "additionalProperties": True} in properties["environment"]["anyOf"]
    assert properties["staging"]["anyOf"][0]["properties"]["mode"]["enum"] == ["shared", "transfer"]
