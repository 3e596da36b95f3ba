"""Every strategy keeps its contract: a frozen, pure description of how workers are created."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from fasthep_parsl import registry
from fasthep_parsl.interfaces import BlockLocation, CommandResult, Discovery, SchedulerCommands
from fasthep_parsl.sites import list_sites
from strategy_cases import OPTIONS, batch_strategies, cases, pool, script


@pytest.fixture(params=registry.names("strategies"))
def name(request):
    return request.param


@pytest.fixture(params=batch_strategies())
def batch(request):
    return request.param


@pytest.fixture
def strategy(name):
    return registry.load("strategies", name)


def test_it_is_a_frozen_model_with_described_fields(strategy):
    assert issubclass(strategy, BaseModel)
    assert strategy.model_config["frozen"]
    assert strategy.model_config["extra"] == "forbid"
    assert strategy.__doc__
    assert all(field.description for field in strategy.model_fields.values())
    with pytest.raises(ValidationError):
        strategy(surprise=1)


def test_its_options_survive_a_plan_and_have_a_schema(name, strategy):
    made = strategy(**OPTIONS.get(name, {}))
    assert strategy.model_validate_json(made.model_dump_json()) == made
    assert TypeAdapter(strategy).json_schema()["properties"].keys() == strategy.model_fields.keys()


@pytest.mark.integration
def test_asking_starts_nothing_and_imports_no_executor(name):
    code = """
import subprocess, os, sys
def refuse(*args, **kwargs):
    raise AssertionError("a strategy started something")
subprocess.Popen.__init__ = os.system = os.fork = refuse
from fasthep_parsl import registry
import strategy_cases as given
name = sys.argv[1]
registry.load("strategies", name)(**given.OPTIONS.get(name, {}))
for _, pool, place in given.cases(name) if name in given.batch_strategies() else ():
    given.script(name, pool, place)
heavy = {"parsl", "globus_compute_sdk", "awkward", "uproot"} & set(sys.modules)
assert not heavy, heavy
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_script_is_the_same_each_time_and_names_the_block(batch):
    for _, p, place in cases(batch):
        made = script(batch, p, place)
        assert made == script(batch, p, place)
        assert f".{place.block}." in made.name
        assert "/" not in made.name
        assert made.text.endswith("\n")
        other = script(batch, p, dataclasses.replace(place, block=77))
        assert (other.name, other.text) != (made.name, made.text)
        for part in ("node.sh", f"{place.folder}/block.{place.block}"):
            assert part in made.text


def test_a_script_asks_for_what_the_block_has(batch):
    usual = script(batch, pool(), BlockLocation("/f", "j", 1)).text
    changes = {"cpus": 7, "walltime": 30 * 3600.0, "gpus": 3, "memory": 5 << 30}
    for field, value in changes.items():
        assert script(batch, pool(**{field: value}), BlockLocation("/f", "j", 1)).text != usual, field
    several = registry.load("strategies", batch).several_nodes
    if several:
        assert script(batch, pool(nodes=3), BlockLocation("/f", "j", 1)).text != usual
    else:
        with pytest.raises(ValueError, match="one node"):
            script(batch, pool(nodes=3), BlockLocation("/f", "j", 1))


def test_no_text_option_can_add_a_line(batch):
    strategy = registry.load("strategies", batch)
    for field, info in strategy.model_fields.items():
        with pytest.raises(ValidationError):
            strategy(**{**OPTIONS[batch], field: "a\nrm -rf /"})
        if "tuple" in str(info.annotation):
            with pytest.raises(ValidationError):
                strategy(**{**OPTIONS[batch], field: ["--good=1", "x=1\n# bad"]})


def test_bash_reads_its_scripts(batch):
    for title, p, place in cases(batch):
        made = script(batch, p, place)
        if made.name.endswith(".sh"):
            done = subprocess.run(["bash", "-n"], input=made.text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), title
            directives, _, commands = made.text.partition("\n\n")
            assert all(line.startswith("#") for line in directives.splitlines()), title
            *exports, last = commands.splitlines()
            assert all(line.startswith("export ") for line in exports)
            assert last.startswith("exec ")
        elif made.name.endswith(".json"):
            assert json.loads(made.text)["kind"] == "Pod"


def test_its_commands_are_pure_and_name_their_programs(batch):
    commands = registry.load("strategies", batch)(**OPTIONS[batch]).commands()
    assert isinstance(commands, SchedulerCommands)
    assert commands.programs
    assert commands.status(["1"]) == commands.status(["1"])
    assert commands.environment({"PATH": "/bin"}) == {"PATH": "/bin"}
    assert commands.read_survey("") == []
    for message in ("Connection timed out", "no such account"):
        result = CommandResult(1, err=message)
        assert commands.transient(result) == result.transient


def test_it_can_be_discovered(batch):
    strategy = registry.load("strategies", batch)
    assert isinstance(strategy.discovery, Discovery)
    assert set(strategy.discovery.commands.programs) <= set(strategy.discovery.programs)
    assert strategy.discovery.base == "" or strategy.discovery.base in list_sites(bases=True)
    assert strategy.discovery.commands.survey() or strategy.discovery.queues_hint
    others = [registry.load("strategies", name).discovery for name in batch_strategies() if name != batch]
    assert not any(set(other.programs) <= set(strategy.discovery.programs) for other in others)


PACKAGE = Path(registry.__file__).parent
BUILT_IN = [
    name
    for name in registry.names("strategies")
    if registry.load("strategies", name).__module__.startswith("fasthep_parsl.")
]


def test_no_module_but_its_own_names_a_batch_strategy():
    names = set(batch_strategies())
    modules = [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(PACKAGE / "strategies")]
    assert len(modules) > 100
    for path in modules:
        constants = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        found = names.intersection(value for value in constants if isinstance(value, str))
        assert not found, f"{path} names {found}"


@pytest.mark.parametrize("name", BUILT_IN)
def test_import_linter_knows_every_strategy(name):
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    modules = next(item["modules"] for item in settings if item["type"] == "independence")
    assert registry.load("strategies", name).__module__ in modules


@pytest.mark.parametrize(
    "name", [name for name in batch_strategies() if registry.load("strategies", name).brings_files]
)
def test_a_strategy_that_transfers_files_transfers_all_and_encrypts_secrets(name):
    files, secrets = ("/run/plan.json", "/run/setup/pack.tar"), ("/run/secrets/token",)
    place = BlockLocation("/f", "j", 1, files=files, secrets=secrets)
    unseen = pool(shared=False)
    with_all, without = script(name, unseen, place).text, script(name, unseen, BlockLocation("/f", "j", 1)).text
    assert all(path in with_all for path in (*files, *secrets))
    lines = set(with_all.splitlines()) - set(without.splitlines())
    encrypted = [line for line in lines if secrets[0] in line and not any(path in line for path in files)]
    assert encrypted, lines
