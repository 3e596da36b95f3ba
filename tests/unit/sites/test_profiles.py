"""The profiles that come with the package: complete, documented, and good for a submit file."""

import re
from pathlib import Path

import pytest

from fasthep_parsl import registry
from fasthep_parsl.compiler.geometry import shape
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import BlockLocation
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.sites import list_sites, load_site, missing_requirements, strategy_options
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.layers import expand
from fasthep_parsl.workflow.yamldoc import Document

REPOSITORY = Path(__file__).parents[3]
PROFILES = REPOSITORY / "site_profiles"
PAGES = REPOSITORY / "docs" / "reference" / "sites"
NAMES = sorted(path.stem for path in PROFILES.glob("[!_]*.yaml"))
BATCH = [name for name in NAMES if name != "local"]
DOCUMENTED = {"alps", "aurora", "desy_naf", "frontier", "ospool", "polaris", "stampede3"}
"""All their numbers were read in the site's own current documents."""

ACCOUNT = "strategy: {account: m1234}"
PREFIX = "environment: {prefix: /usr/local}"
PYTHON = "environment: {python: /usr/local/bin/python3}"
FILLED = {
    "alps": ACCOUNT,
    "aurora": ACCOUNT,
    "bristol_dice": f"shared_filesystem: true\n{PREFIX}",
    "delta": ACCOUNT,
    "expanse": ACCOUNT,
    "fnal_lpc": "strategy: {singularity_image: /cvmfs/unpacked.cern.ch/image}\n" + PYTHON,
    "frontier": ACCOUNT,
    "kubernetes": "strategy: {image: i:1, namespace: n, volumes: {claim: /runs}}\n"
    f"{PYTHON}\nnetwork: {{address: driver.org}}",
    "ospool": f"strategy: {{project: P, container_image: 'osdf:///i.sif'}}\n{PYTHON}\nnetwork: {{address: ap.org}}",
    "perlmutter_cpu": ACCOUNT,
    "perlmutter_gpu": ACCOUNT,
    "polaris": ACCOUNT,
}
"""What a user writes in a file of their own."""


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def table(name: str) -> list[tuple[str, str, str]]:
    """Value, source and status of each row of the page's table."""
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", page(name), re.MULTILINE)
    return [row for row in rows if row[0] not in {"value", "---"}]


@pytest.fixture
def filled(tmp_path):
    """Return the site of a user's file that extends a profile and fills it in."""

    def make(name):
        path = tmp_path / f"my_{name}.yaml"
        path.write_text(f"extends: {name}\n{FILLED.get(name, '')}\n")
        return load_site(path)

    return make


def execution_of(site) -> tuple[Execution, Document]:
    document, problems = expand(site.execution_layer, {layer.root.layer for layer in site.layers})
    assert not problems
    return Execution.model_validate(document.data), document


def test_the_promised_sites_are_there():
    assert set(NAMES) >= {"local", "lxplus", "fnal_lpc", "desy_naf", "bristol_dice", "ospool", "generic_htcondor",
                          "perlmutter_cpu", "perlmutter_gpu", "frontier", "polaris", "aurora", "stampede3", "delta",
                          "expanse", "alps", "generic_slurm", "kubernetes"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_what_people_should_know(name):
    meta = load_site(name).meta
    assert meta.contact
    assert meta.docs_url.startswith("https://")
    expected = "verified" if name == "local" else "documented" if name in DOCUMENTED else "unverified"
    assert meta.status == expected
    assert bool(meta.verified_on) == (name == "local")


@pytest.mark.parametrize("name", ["_slurm", "_htcondor", "_pbspro"])
def test_bases_are_for_extending_only(name):
    assert (PROFILES / f"{name}.yaml").is_file()
    assert name not in list_sites()
    with pytest.raises(ConfigError, match="base"):
        load_site(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_asks_for_is_all_that_is_missing(name, filled):
    site = load_site(name)
    missing = {problem.key for problem in missing_requirements(site, site.execution_layer, ())}
    assert missing == {".".join(item.path) for item in site.requires}
    assert all(len(item.help) > 10 for item in site.requires)
    done = filled(name)
    assert not missing_requirements(done, done.execution_layer, ())


@pytest.mark.parametrize("name", BATCH)
def test_each_queue_gives_a_submit_file(name, filled):
    execution, document = execution_of(filled(name))
    options, problems = strategy_options(execution, document, ())
    assert not problems
    strategy = registry.load("strategies", execution.strategy.kind)
    for queue in execution.queues or (None,):
        pool = Pool("default", workers=3, resource=Resource(), queue=queue)
        planned = shape(pool, execution.queues, execution.scaling).pool
        planned = planned.model_copy(update={"shared": execution.shared_filesystem})
        text = strategy(**options[queue or ""]).script(planned, BlockLocation("/runs/r/blocks", "r.default", 0)).text
        assert "/runs/r/blocks" in text
        if queue is not None and execution.strategy.kind != "htcondor":
            assert queue in text


@pytest.mark.parametrize("name", BATCH)
def test_the_software_of_workers_is_said(name, filled):
    execution, _ = execution_of(filled(name))
    assert registry.load("environments", execution.environment.kind).model_validate(execution.environment.params)


@pytest.mark.parametrize("name", BATCH)
def test_it_asks_for_gpus_where_queues_have_them(name, filled):
    execution, _ = execution_of(filled(name))
    for queue, said in execution.queues.items():
        pool = Pool("gpu", workers=1, resource=Resource(gpus=1), queue=queue)
        planned = shape(pool, execution.queues, execution.scaling).pool
        assert (planned is not None) == bool(said.node.gpus)


def test_lxplus_has_one_port():
    execution, _ = execution_of(load_site("lxplus"))
    assert execution.network.ports == (8786, 8786)


@pytest.mark.parametrize(
    ("seconds", "flavour"),
    [(1200, "espresso"), (1201, "microcentury"), (8 * 3600, "workday"), (86400, "tomorrow"), (7 * 86400, "nextweek")],
)
def test_a_walltime_becomes_the_shortest_flavour_that_is_enough(seconds, flavour, filled):
    execution, document = execution_of(filled("lxplus"))
    pool = shape(Pool("p", 1, Resource(walltime=seconds)), execution.queues, execution.scaling).pool
    options, _ = strategy_options(execution, document, ())
    text = registry.load("strategies", "htcondor")(**options["batch"]).script(pool, BlockLocation("/r", "j", 0)).text
    assert f'+JobFlavour = "{flavour}"' in text


# --- pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_has_a_page(name):
    text = page(name)
    assert re.search(rf"^{name}$", (PAGES / "index.md").read_text(), re.MULTILINE)
    assert re.search(rf"--site (my_)?{name}\n", text)
    for item in load_site(name).requires:
        assert item.path[-1] in text.split("## Run")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_names_each_queue_and_each_number(name):
    data = load_site(name).layers[-1].data  # as written
    rows = " ".join(value for value, _, _ in table(name))
    wanted = {str(item) for item in data.get("strategy", {}).get("walltime_values", {}).values()}
    wanted |= {str(value) for value in data.get("scaling", {}).values()}
    wanted |= {str(value) for key, value in data.get("network", {}).items() if key in {"interface", "ports"}}
    for queue, said in data.get("queues", {}).items():
        assert f"`{queue}`" in page(name)
        numbers = {**said, **said.get("node", {})}
        wanted |= {str(value) for value in numbers.values() if not isinstance(value, dict | bool)}
    missing = [text for text in sorted(wanted) if not re.search(rf"(?<![\w.]){re.escape(text)}(?![\w])", rows)]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_each_value_has_a_source_and_a_status(name):
    for value, source, status in table(name):
        assert status in {"read", "derived", "**unverified**", "ours"}
        assert (status == "ours") == (source == "this profile")
        if status in {"read", "derived"}:
            assert "https://" in source
        if name in DOCUMENTED and status in {"derived", "**unverified**"}:  # no numbers
            assert value.startswith(("interface ", "no "))
