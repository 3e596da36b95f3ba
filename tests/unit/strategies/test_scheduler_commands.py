"""Scheduler commands read the output of batch systems: of Slurm and HTCondor as recorded, of others as documented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fasthep_parsl import registry
from fasthep_parsl.blocks.job_control import read_status
from fasthep_parsl.interfaces import CommandResult, Job
from fasthep_parsl.strategies.htcondor.commands import read_log

ALL = ("slurm", "htcondor", "pbs", "lsf", "grid_engine", "kubernetes")


def commands(kind, **options):
    needed = {"image": "some/image"} if kind == "kubernetes" else {}
    return registry.load("strategies", kind)(**needed, **options).commands()


def read(kind, out, *jobs, err="", code=0):
    return commands(kind).read_status(CommandResult(code, out, err), jobs)


# --- ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "output", "job"),
    [
        ("slurm", "12\n", "12"),
        ("slurm", "12;perlmutter\n", "12"),
        ("slurm", "Your project has 3 hours left\n12\n", "12"),
        ("slurm", "12\nlua: see https://docs.site/12\n", "12"),
        ("slurm", "Submitted batch job twelve\n", ""),
        ("htcondor", "1.0 - 1.0\n", "1.0"),
        ("htcondor", "WARNING: the line '+x' was unused\n17.0 - 17.0\n", "17.0"),
        ("pbs", "1234.polaris-pbs-01.hsn.cm.polaris.alcf.anl.gov\n", "1234.polaris-pbs-01.hsn.cm.polaris.alcf.anl.gov"),
        ("lsf", "Job <4711> is submitted to default queue <batch>.\n", "4711"),
        ("grid_engine", "4711\n", "4711"),
        ("grid_engine", "warning: your quota is low\n4711.1-3:1\n", "4711"),
        ("kubernetes", "pod/fasthep-cpu-0-x7z\n", "fasthep-cpu-0-x7z"),
        *((kind, text, "") for kind in ALL for text in ("", "\n", "no idea", "\x00\ufffd")),
    ],
)
def test_the_id_of_a_submitted_job(kind, output, job):
    assert commands(kind).job_id(output) == job


# --- states ----------------------------------------------------------------------------------------------

SQUEUE = """\
3|CANCELLED|c1|None
2|FAILED|c1|NonZeroExitCode
4|PENDING||JobHeldUser
9|PENDING||PartitionConfig
10|PENDING||PartitionTimeLimit
1|RUNNING|c1|None
5|RUNNING|c[1-2]|None
77|RUNNING|c2|None
"""


def test_slurm():
    assert read("slurm", SQUEUE, *(str(n) for n in range(1, 11)), "999999") == {
        "1": Job("1", "running", "c1", "None"),
        "2": Job("2", "ended", "c1", "failed (NonZeroExitCode)"),
        "3": Job("3", "ended", "c1", "cancelled"),
        "4": Job("4", "held", "", "JobHeldUser"),
        "5": Job("5", "running", "c1", "None"),
        "9": Job("9", "pending", "", "PartitionConfig"),
        "10": Job("10", "held", "", "PartitionTimeLimit"),
    }


@pytest.mark.parametrize(
    ("state", "reason", "means", "words"),
    [
        ("CONFIGURING", "None", "pending", "None"),
        ("COMPLETING", "None", "running", "None"),
        ("REQUEUE_HOLD", "JobHoldMaxRequeue", "held", "JobHoldMaxRequeue"),
        ("SPECIAL_EXIT", "None", "held", "None"),
        ("PENDING", "launch failed requeued held", "held", "launch failed requeued held"),
        ("PENDING", "launch_failed_requeued_held", "held", "launch_failed_requeued_held"),
        ("PENDING", "QOSMaxWallDurationPerJobLimit", "held", "QOSMaxWallDurationPerJobLimit"),
        ("PENDING", "QOSMaxJobsPerUserLimit", "pending", "QOSMaxJobsPerUserLimit"),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:c1", "pending", "ReqNodeNotAvail, UnavailableNodes:c1"),
        ("NODE_FAIL", "None", "ended", "node fail"),
        ("TIMEOUT", "TimeLimit", "ended", "timeout (TimeLimit)"),
        ("OUT_OF_MEMORY", "OutOfMemory", "ended", "out of memory (OutOfMemory)"),
        ("PREEMPTED", "None", "ended", "preempted"),
        ("COMPLETED", "None", "ended", "completed"),
    ],
)
def test_states_of_slurm(state, reason, means, words):
    assert read("slurm", f"1|{state}|c1|{reason}\n", "1") == {"1": Job("1", means, "c1", words)}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("c1", "c1"), ("c[1-3,7],m1", "c1"), ("nid[001234-001237]", "nid001234"), ("a1,b2", "a1"), ("", "")],
)
def test_the_first_node_of_a_slurm_job(nodes, first):
    assert read("slurm", f"1|RUNNING|{nodes}|None", "1") == {"1": Job("1", "running", first, "None")}


def test_slurm_forgets_jobs_and_can_be_away():
    assert read("slurm", "", "999999", err="slurm_load_jobs error: Invalid job id specified\n", code=1) == {}
    away = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
    assert read("slurm", "", "1", err=away, code=1) is None


def test_slurm_of_several_clusters():
    options = {"clusters": "escori"}
    assert "--clusters=escori" in commands("slurm", **options).status(["1"])
    assert commands("slurm", **options).cancel(["1"]) == [["scancel", "--clusters=escori", "1"]]
    said = commands("slurm", **options).read_status(CommandResult(0, "CLUSTER: escori\n1|RUNNING|c1|None\n"), ["1"])
    assert said == {"1": Job("1", "running", "c1", "None")}


def test_partitions_can_be_checked_and_qualities_of_service_not():
    assert commands("slurm").queue_check("cpu")[-1] == "--partition=cpu"
    assert commands("slurm", queue_option="qos").queue_check("regular") == []


def test_variables_of_the_surrounding_slurm_job_do_not_reach_new_jobs():
    gone = {"SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "SQUEUE_STATES", "SQUEUE_PARTITION"}
    kept = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "SBATCH_ACCOUNT", "SLURMLIKE", "PATH", "HOME"}
    assert commands("slurm").environment(dict.fromkeys(gone | kept, "x")).keys() == kept
    assert commands("htcondor").environment({"SLURM_JOB_ID": "1"}) == {"SLURM_JOB_ID": "1"}


def test_pods_are_looked_for_in_the_namespace_of_their_manifest():
    assert "--namespace=default" in commands("kubernetes").status(["a"])
    assert "--namespace=cms" in commands("kubernetes", namespace="cms").status(["a"])


CONDOR_Q = """[
{
  "ClusterId": 1,
  "JobStatus": 2,
  "ProcId": 0,
  "RemoteHost": "slot1_1@cpu2.pool"
}
,
{
  "ClusterId": 3,
  "JobStatus": 1,
  "ProcId": 0
}
,
{
  "ClusterId": 5,
  "HoldReason": "via condor_hold (by user cloudsdk)",
  "JobStatus": 5,
  "LastRemoteHost": "slot1_3@cpu2.pool",
  "ProcId": 0
}
,
{
  "ClusterId": 6,
  "JobStatus": 1,
  "LastRejMatchReason": "no match found ",
  "ProcId": 0
}
]
"""


def test_htcondor():
    assert read("htcondor", CONDOR_Q, "1.0", "2.0", "3.0", "5.0", "6.0") == {
        "1.0": Job("1.0", "running", "cpu2.pool"),
        "3.0": Job("3.0", "pending"),
        "5.0": Job("5.0", "held", "cpu2.pool", "via condor_hold (by user cloudsdk)"),
        "6.0": Job("6.0", "pending", "", "no match found; for details: `condor_q -better-analyze`"),
    }
    assert read("htcondor", "", "9999.0") == {}
    away = "\n-- Failed to fetch ads from: <127.0.0.1:35439> : submit.pool\nCEDAR:6001:Failed to connect to <…>\n"
    assert read("htcondor", "", "1.0", err=away, code=1) is None


@pytest.mark.parametrize(
    ("status", "means"),
    [(1, "pending"), (2, "running"), (3, "ended"), (4, "ended"), (6, "running"), (7, "pending"), (99, "pending")],
)
def test_states_of_htcondor(status, means):
    said = json.dumps([{"ClusterId": 1, "ProcId": 0, "JobStatus": status}])
    assert read("htcondor", said, "1.0")["1.0"].state == means


# recorded, shortened where "…" stands
SUBMITTED = "000 (002.000.000) 2026-11-22 17:31:24 Job submitted from host: <127.0.0.1:35439?addrs=…>\n...\n"
EXECUTING = (
    "001 (002.000.000) 2026-11-22 17:31:25 Job executing on host: <127.0.0.1:33353?addrs=…>\n"
    '\tSlotName: slot1_1@cpu1.pool\n\tCondorScratchDir = "/…/cpu1/execute/dir_4235"\n\tCpus = 1\n...\n'
    "006 (002.000.000) 2026-11-22 17:31:25 Image size of job updated: 1250\n\t5  -  MemoryUsage of job (MB)\n...\n"
)
TERMINATED = (
    "005 (002.000.000) 2026-11-22 17:31:25 Job terminated.\n\t(1) Normal termination (return value 3)\n"
    "\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage\n\n"
    "\tJob terminated of its own accord at 2026-11-22T17:31:25Z with exit-code 3.\n...\n"
)
EVICTED = "004 (002.000.000) 2026-11-22 17:31:33 Job was evicted.\n\t(0) CPU times\n\t\tUsr 0 00:00:00…\n...\n"
HELD = "012 (002.000.000) 2026-11-22 17:31:32 Job was held.\n\tvia condor_hold (by user u)\n\tCode 1 Subcode 0\n...\n"
ABORTED = "009 (002.000.000) 2026-11-22 17:31:36 Job was aborted.\n\tvia condor_rm (by user u)\n...\n"


@pytest.mark.parametrize(
    ("events", "job"),
    [
        ("", None),
        ("rubbish\n...\n", None),
        (SUBMITTED, Job("2.0", "pending")),
        (SUBMITTED + EXECUTING, Job("2.0", "pending", "cpu1.pool")),
        (
            SUBMITTED + EXECUTING + TERMINATED,
            Job("2.0", "ended", "cpu1.pool", "ended: (1) Normal termination (return value 3)"),
        ),
        (SUBMITTED + EXECUTING + EVICTED, Job("2.0", "pending", "cpu1.pool", "evicted: (0) CPU times")),
        (SUBMITTED + EXECUTING + EVICTED + EXECUTING, Job("2.0", "pending", "cpu1.pool")),
        (
            SUBMITTED + EXECUTING + EVICTED + HELD,
            Job("2.0", "pending", "cpu1.pool", "held: via condor_hold (by user u)"),
        ),
        (
            SUBMITTED + EXECUTING + EVICTED + HELD + ABORTED,
            Job("2.0", "ended", "cpu1.pool", "removed: via condor_rm (by user u)"),
        ),
        ((SUBMITTED + EXECUTING + TERMINATED)[:-60], Job("2.0", "ended", "cpu1.pool", "ended: (1) Normal termination (return value 3)")),
    ],
)  # fmt: skip
def test_the_event_log_of_htcondor(events, job):
    assert read_log(events) == job


def test_only_htcondor_writes_about_the_end_of_a_block(tmp_path):
    (tmp_path / "block.7.log").write_bytes((SUBMITTED + EXECUTING + ABORTED).encode() + b"\xff\n")
    for kind in ALL:
        assert commands(kind).post_mortem(tmp_path, 6) is None
        assert (commands(kind).post_mortem(tmp_path, 7) is not None) == (kind == "htcondor")


PBS_JOBS = {
    "Jobs": {
        "1.pbs": {"job_state": "R", "exec_host": "x3001c0s1b0n0/0*32+x3001c0s1b1n0/0*32", "comment": "Job run at …"},
        "2.pbs": {"job_state": "Q", "comment": "Not Running: Insufficient amount of resource"},
        "3.pbs": {"job_state": "H"},
        "4.pbs": {"job_state": "F", "exec_host": "n7/1", "Exit_status": 271},
        "5.pbs": {"job_state": "E", "exec_host": "n7/1"},
    }
}


def test_pbs():
    assert read("pbs", json.dumps(PBS_JOBS), "1.pbs", "2.pbs", "3.pbs", "4.pbs", "5.pbs") == {
        "1.pbs": Job("1.pbs", "running", "x3001c0s1b0n0", "Job run at …"),
        "2.pbs": Job("2.pbs", "pending", "", "Not Running: Insufficient amount of resource"),
        "3.pbs": Job("3.pbs", "held"),
        "4.pbs": Job("4.pbs", "ended", "n7", "exit code 271"),
        "5.pbs": Job("5.pbs", "running", "n7"),
    }
    assert read("pbs", "", "9.pbs", err="qstat: Unknown Job Id 9.pbs\n", code=153) == {}
    assert read("pbs", "", "9.pbs", err="qstat: cannot connect to server pbs (errno=15010)\n", code=1) is None


def test_lsf():
    said = (
        "1|RUN|42*h41n08:42*h41n09|-\n2|PEND|-|-\n3|PSUSP|-|-\n"
        "4|EXIT|n7|TERM_RUNLIMIT: job killed after reaching LSF run time limit\n5|DONE|n7|-\n"
    )
    assert read("lsf", said, "1", "2", "3", "4", "5") == {
        "1": Job("1", "running", "h41n08"),
        "2": Job("2", "pending"),
        "3": Job("3", "held"),
        "4": Job("4", "ended", "n7", "TERM_RUNLIMIT: job killed after reaching LSF run time limit"),
        "5": Job("5", "ended", "n7"),
    }
    assert read("lsf", "1|RUN|n1|-\n", "1", "9", err="Job <9> is not found\n", code=255) == {
        "1": Job("1", "running", "n1")
    }
    assert read("lsf", "", "1", err="LSF is down. Please wait ...\n", code=255) is None


QSTAT = """\
job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
      1 0.55500 fasthep-cp me           r     11/22/2026 17:31:25 all.q@node7.site.org               8
      2 0.00000 fasthep-cp me           qw    11/22/2026 17:31:25                                    8
      3 0.00000 fasthep-cp me           hqw   11/22/2026 17:31:25                                    8
      4 0.00000 fasthep-cp me           Eqw   11/22/2026 17:31:25                                    8
      5 0.55500 fasthep-cp me           dr    11/22/2026 17:31:25 all.q@node7.site.org               8
"""


def test_grid_engine():
    assert read("grid_engine", QSTAT, "1", "2", "3", "4", "5", "6") == {
        "1": Job("1", "running", "node7.site.org", "state r"),
        "2": Job("2", "pending", "", "state qw"),
        "3": Job("3", "held", "", "state hqw"),
        "4": Job("4", "held", "", "state Eqw"),
        "5": Job("5", "running", "node7.site.org", "state dr"),
    }
    assert read("grid_engine", "", "1") == {}
    assert read("grid_engine", "", "1", err="error: commlib error: got select error", code=1) is None


def pod(name, phase, **status):
    return {"metadata": {"name": name}, "spec": {"nodeName": "node-1"}, "status": {"phase": phase, **status}}


def waiting(reason):
    return [{"name": "block", "state": {"waiting": {"reason": reason, "message": "no such image"}}}]


def test_kubernetes():
    pods = [
        pod("a", "Running", containerStatuses=[{"state": {"running": {}}}]),
        pod("b", "Pending", containerStatuses=waiting("ImagePullBackOff")),
        pod("c", "Pending", containerStatuses=waiting("ContainerCreating")),
        pod("d", "Failed", reason="Evicted", message="The node was low on resource: memory."),
        pod("e", "Succeeded"),
    ]
    said = read("kubernetes", json.dumps({"kind": "List", "items": pods}), *"abcdef")
    assert {name: (job.state, job.reason) for name, job in said.items()} == {
        "a": ("running", ""),
        "b": ("held", "ImagePullBackOff: no such image"),
        "c": ("pending", ""),
        "d": ("ended", "Evicted"),
        "e": ("ended", ""),
    }
    assert read("kubernetes", json.dumps(pods[0]), "a") == {"a": Job("a", "running", "node-1")}
    assert read("kubernetes", "", "a") == {}
    assert read("kubernetes", "", "a", err="Unable to connect to the server", code=1) is None


RUBBISH = [
    "", "\n\n", "|||", "1|||", "1|RUNNING", "[", "[]", "{}", "null", "3", '"x"', "[1, null, []]", '{"Jobs": 3}',
    '{"Jobs": {"1": null}}', '{"Jobs": {"1": {"job_state": 7, "exec_host": null}}}', '{"items": null}', '{"items": [3]}',
    '{"items": [{"metadata": null}]}', '{"items": [{"metadata": {"name": "1"}, "status": {"containerStatuses": null}}]}',
    '[{"ClusterId": 1, "ProcId": 0, "JobStatus": "x", "RemoteHost": 3}]', '[{"ClusterId": 1, "ProcId": 0, "JobStatus": []}]',
    "1 2 3 4 5 6 7 8", "job 1 is not here [today]", "\ufffd\x00|\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_nonsense_is_never_an_error(kind):
    for said in RUBBISH:
        for answer in (CommandResult(0, said), CommandResult(1, said), CommandResult(1, said, said)):
            found = read_status(commands(kind), answer, ["1", "1.0"])
            assert found is None or all(isinstance(job, Job) for job in found.values())
            assert commands(kind).already_ended(answer) in {True, False}
            assert isinstance(commands(kind).job_id(said), str)


# --- removal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said", "gone"),
    [
        ("slurm", "scancel: error: Kill job error on job id 3: Invalid job id specified\n", True),
        ("slurm", "scancel: error: Kill job error on job id 1: Unable to contact slurm controller (…)\n", False),
        ("htcondor", "\nJob 2.0 not found\n", True),
        ("htcondor", "Job 2.0 not found\nJob 6.0 not found\n", True),
        ("htcondor", "DCSchedd::actOnJobs:6001:Failed to connect to schedd\nNo result found for job 1.0\n", False),
        ("htcondor", "Job 2.0 not found\nPermission denied to remove job 3.0\n", False),
        ("pbs", "qdel: Unknown Job Id 12.pbs\n", True),
        ("pbs", "qdel: Job has finished 12.pbs\n", True),
        ("pbs", "qdel: cannot connect to server pbs (errno=15010)\n", False),
        ("lsf", "Job <4711>: Job has already finished\nJob <4712>: No matching job found\n", True),
        ("lsf", "LSF is down. Please wait ...\n", False),
        ("grid_engine", 'denied: job "4711" does not exist\n', True),
        ("grid_engine", "error: commlib error: got select error (Connection refused)\n", False),
        ("kubernetes", "Unable to connect to the server: dial tcp: i/o timeout\n", False),
        *((kind, "", False) for kind in ALL),
    ],
)
def test_jobs_that_have_ended_need_not_be_removed(kind, said, gone):
    """At the end of a run such an answer must not count as jobs left behind."""
    assert commands(kind).already_ended(CommandResult(1, err=said)) is gone


@pytest.mark.parametrize("kind", ALL)
def test_commands_are_of_the_programs_that_are_named(kind):
    made = commands(kind)
    programs = {*made.programs, "sinfo", "qconf", "bqueues", "/bin/sh"}
    lines = [made.submit(Path("/x y/block.0.sh")), made.status(["1", "2"]), *made.cancel(["1", "2"])]
    lines += [words for words in (made.queue_check("long"), made.trial(Path("/x/b"))) if words]
    for words in lines:
        assert words[0] in programs
        assert all(isinstance(word, str) and word for word in words)
    assert all({"1", "2"} <= set(words) for words in made.cancel(["1", "2"]))
