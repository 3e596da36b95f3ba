"""Submit files for HTCondor: what they ask for, and what HTCondor itself says of them."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from fasthep_parsl.interfaces import BlockLocation
from fasthep_parsl.plan import PlanBatchCredential
from fasthep_parsl.strategies.htcondor import HTCondor
from fasthep_parsl.strategies.node import node_script
from services.condor_records import CondorUnavailableError, dry_run
from services.fixtures_condor import unavailable
from strategy_cases import cases, in_container, pool, script

PLACE = BlockLocation("/run", "name", 2)


def lines(p=None, place=PLACE, **options):
    return HTCondor(**options).script(p or pool(), place).text.splitlines()


@pytest.fixture
def read(tmp_path):
    """Return what HTCondor makes of a submit file, which must have no line that it does not use."""

    def ask(text):
        try:
            found = dry_run(text, tmp_path)
        except CondorUnavailableError as error:
            unavailable(str(error))
            raise
        assert not found.problems
        return found

    return ask


FLAVOURS = {"workday": "8h", "espresso": "20m", "nextweek": "7d"}


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(60, "espresso"), (1200, "espresso"), (1201, "workday"), (86_400, "nextweek"), (9e6, "nextweek")],
)
def test_the_shortest_class_that_is_long_enough(seconds, name):
    found = lines(pool(walltime=float(seconds)), walltime_attribute="+JobFlavour", walltime_values=FLAVOURS)
    assert f'+JobFlavour = "{name}"' in found


def test_walltime_in_seconds_or_not_at_all():
    assert "+MaxRuntime = 7200" in lines(walltime_attribute="+MaxRuntime")
    assert not any("7200" in line for line in lines())


def test_nodes_to_avoid_are_added_to_what_the_site_requires():
    place = BlockLocation("/run", "name", 2, ("slot1_3@n1.site.org", "slot1_1@glidein_7@n2", "n1.site.org"))
    away = '(TARGET.Machine =!= "n1.site.org") && (TARGET.Machine =!= "n2")'
    assert f"requirements = {away}" in lines(place=place)
    assert f"requirements = (A || B) && {away}" in lines(place=place, requirements="A || B")
    assert "requirements = (A || B)" in lines(place=place, requirements="A || B", avoid_nodes=False)
    assert not any("requirements" in line for line in lines())


def test_only_what_is_needed_is_asked_for():
    assert not any("gpus" in line or "disk" in line for line in lines())
    found = lines(pool(gpus=2, disk=3 << 30))
    assert "request_gpus = 2" in found
    assert f"request_disk = {3 << 20}" in found
    assert '+queue = "short"' in lines(queue_attribute="+queue")
    assert not any("queue =" in line for line in lines(pool(queue=""), queue_attribute="+queue"))


def test_files_are_brought_where_nothing_is_shared():
    place = BlockLocation("/run", "name", 2, (), ("/run/code", "osdf:///x.tar"), ("/run/key",))
    found = lines(pool(shared=False), place)
    assert "transfer_input_files = /run/node.sh,/run/code,osdf:///x.tar,/run/key" in found
    assert "encrypt_input_files = /run/key" in found
    assert 'arguments = "node.sh 2"' in found
    assert "should_transfer_files = YES" in found
    assert not any("transfer_input_files" in line for line in lines())
    assert not any("encrypt" in line for line in lines(pool(shared=False)))
    found = lines(transfer=True)
    assert "should_transfer_files = YES" in found
    assert 'arguments = "/run/node.sh 2"' in found


def test_htcondor_brings_credentials_that_it_renews():
    asked = [
        PlanBatchCredential(kind="x509"),
        PlanBatchCredential(kind="oauth", name="cms"),
        PlanBatchCredential(kind="oauth", name="osdf"),
    ]
    found = lines(pool().model_copy(update={"batch_credentials": tuple(asked)}))
    assert "use_x509userproxy = True" in found
    assert "use_oauth_services = cms, osdf" in found
    assert not any(line.startswith("x509userproxy") for line in found)
    at = (PlanBatchCredential(kind="x509", name="/home/me/$x/proxy"),)
    assert "x509userproxy = /home/me/$(DOLLAR)x/proxy" in lines(pool().model_copy(update={"batch_credentials": at}))
    assert not any("x509" in line or "oauth" in line for line in lines())


@pytest.mark.parametrize("line", ["queue 100", "+A", "just words", "if true"])
def test_further_lines_are_assignments(line):
    with pytest.raises(ValidationError, match="line of a submit file"):
        HTCondor(directives=[line])


@pytest.mark.condor
def test_htcondor_uses_every_line(read, tmp_path):
    for title, p, place in cases("htcondor"):
        found = read(script("htcondor", p, dataclasses.replace(place, folder=str(tmp_path))).text)
        assert found.value("RequestCpus") == str(p.block.cpus), title
        assert found.value("RequestMemory") == str(p.block.memory >> 20)
        assert found.value("LeaveJobInQueue") == "false"
        assert found.value("JobFlavour") in {'"espresso"', '"workday"'}
        if place.avoid:
            assert '(TARGET.Machine =!= "n1.site.org")' in found.value("Requirements")
    assert read(HTCondor().script(pool(), BlockLocation(str(tmp_path), "x", 1)).text).value("JobUniverse") == "5"


@pytest.mark.condor
def test_later_lines_of_the_site_win(read, tmp_path):
    strategy = HTCondor(directives=["job_lease_duration = 600", "log = /tmp/x.log"])
    found = read(strategy.script(pool(), BlockLocation(str(tmp_path), "x", 1)).text)
    assert found.value("JobLeaseDuration") == "600"
    assert found.value("UserLog") == '"/tmp/x.log"'


@pytest.mark.condor
@pytest.mark.parametrize("name", ["a b", "it's", "q\"q''", "p$HOME$(Cluster)", "back\\slash", "é,x;#y"])
def test_a_run_directory_may_have_any_name(read, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    found = read(HTCondor(queue_attribute="+Which").script(pool(queue=name), BlockLocation(str(folder), name, 1)).text)
    quoted = str(folder).replace('"', '\\"')
    assert found.value("Iwd") == f'"{quoted}"'
    assert found.value("Out") in {f'"{quoted}/block.1.out"', '"block.1.out"'}
    assert found.value("Which") == '"' + name.replace('"', '\\"') + '"'


@pytest.mark.slow
@pytest.mark.condor
@pytest.mark.parametrize("shared", [True, False])
def test_a_job_runs_its_node_script(condor, tmp_path, shared):
    folder = tmp_path / 'it\'s $a "run" directory'
    folder.mkdir()
    (folder / "key").write_text("secret")
    p = pool(shared=shared, cpus=1, memory=64 << 20, scratch="$_CONDOR_SCRATCH_DIR", worker_init=("true",))
    text = 'echo "$@"; cd "$FASTHEP_PARSL_FOLDER"; ls -d key; touch left; [ "$PATH" ] && [ "$HOME" ] && exit 5; echo'
    (folder / "node.sh").write_text(node_script(p, ["bash", "-c", text, "x"]))
    place = BlockLocation(str(folder), "a name", 1, ("slot1_1@cpu1", "cpu1.pool"), (str(folder / "key"),))
    number = condor.submit(HTCondor().script(p, place).text, tmp_path)
    job = condor.wait(number, "completed", timeout=60)
    assert (job.exit_code, job.node) == (5, "cpu2")
    assert (folder / "block.1.out").read_text().splitlines() == ["--block_id=1", "key"]
    assert (folder / "block.1.err").read_text() == ""
    assert (folder / "left").exists() == shared
    if shared:
        assert (folder / "block.1.node").read_text().strip() == job.ad["LastRemoteHost"].rpartition("@")[2]


OPTIONS_OF_IMAGES = [
    ("docker://ghcr.io/me/a:1", {}, {"WantContainer": "true", "ContainerImage": '"docker://ghcr.io/me/a:1"'}),
    ("osdf:///ospool/me/a.sif", {}, {"WantContainer": "true"}),
    ("/cvmfs/unpacked/a", {}, {"ContainerImage": '"/cvmfs/unpacked/a"', "TransferContainer": "false"}),
    ("/cvmfs/unpacked/a", {"image_attribute": "+SingularityImage"}, {"SingularityImage": '"/cvmfs/unpacked/a"'}),
]


@pytest.mark.parametrize(("image", "options", "attributes"), OPTIONS_OF_IMAGES)
@pytest.mark.parametrize("shared", [True, False])
def test_htcondor_starts_the_container_of_a_pool(read, tmp_path, image, options, attributes, shared):
    p = in_container("site", image, shared=shared)
    found = read(HTCondor(**options).script(p, BlockLocation(str(tmp_path), "name", 2)).text)
    assert {name: found.value(name) for name in attributes} == attributes


@pytest.mark.parametrize(("shared", "name"), [(True, '"/shared/my image.sif"'), (False, '"my image.sif"')])
def test_an_image_that_nodes_do_not_see_is_transferred(read, tmp_path, shared, name):
    p = in_container("site", "/shared/my image.sif", shared=shared)
    found = read(HTCondor().script(p, BlockLocation(str(tmp_path), "name", 2)).text)
    assert (found.value("WantContainer"), found.value("ContainerImage")) == ("true", name)
    assert (found.value("TransferContainer") == "false") == shared


def test_a_container_that_the_node_starts_is_not_htcondor_s(read, tmp_path):
    found = read(HTCondor().script(in_container("apptainer"), BlockLocation(str(tmp_path), "name", 2)).text)
    assert found.value("WantContainer") is None
    assert found.value("ShouldTransferFiles") == '"NO"'
