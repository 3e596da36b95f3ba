"""Pools, places and options on which strategies are tried."""

from __future__ import annotations

import kind_examples
from fasthep_parsl import registry
from fasthep_parsl.interfaces import BlockLocation
from fasthep_parsl.plan import PlanBlock, PlanContainer, PlanPool
from fasthep_parsl.strategies.node import node_script

GIB = 1 << 30

OPTIONS = {
    "slurm": {
        "account": "m1234",
        "constraint": "cpu&nvme",
        "licenses": ["scratch", "cvmfs"],
        "gpu_type": "a100",
        "exclude": "bad1",
        "directives": ["--mail-type=FAIL", "#SBATCH --module=cvmfs"],
        "srun_options": "--cpu-bind=none",
    },
    "htcondor": {
        "walltime_attribute": "+JobFlavour",
        "walltime_values": {"espresso": "20m", "workday": "8h", "nextweek": "7d"},
        "requirements": 'OpSysAndVer == "AlmaLinux9" || OpSysAndVer == "RedHat9"',
        "accounting_group": "group_u_CMS.u_zh",
        "project": "Higgs",
        "container_image": "osdf:///ospool/ap20/data/me/analysis.sif",
        "directives": ["+SendCredential = True", "want_graceful_removal = True"],
    },
    "pbs": {
        "account": "datascience",
        "filesystems": "home:eagle",
        "select_options": "system=polaris",
        "launch_options": ["--depth=64", "--cpu-bind depth"],
        "directives": "-k doe",
    },
    "lsf": {"project": "HEP101", "select": "type==X86_64", "directives": "-alloc_flags smt4"},
    "grid_engine": {"project": "P_cms", "memory_resource": "h_vmem", "resources": "os=el9", "directives": "-notify"},
    "kubernetes": {
        "image": "ghcr.io/fast-hep/fasthep-parsl:1.0",
        "namespace": "cms",
        "volumes": {"analysis-home": "/home/me"},
        "secrets": {"proxy": "/etc/proxy"},
        "image_pull_secrets": "ghcr",
        "service_account": "workers",
        "user_id": 1000,
        "group_id": 1000,
    },
    **kind_examples.given("strategies"),
}
"""Strategy → options as a site would give them."""


def pool(name="cpu", worker_cpus=2, *, shared=True, scratch="", worker_init=(), gpus=0, container=None, **block):
    """Return a pool as the compiler shapes it; `block` changes fields of its block."""
    if gpus:
        block["gpus"] = gpus
    usual = {"workers_per_node": 4, "cpus": 8, "memory": 16 * GIB, "walltime": 2 * 3600.0, "queue": "short"}
    return PlanPool(
        name=name,
        workers=4,
        cpus=worker_cpus,
        shared=shared,
        scratch=scratch,
        worker_init=worker_init,
        gpus=min(gpus, 1),
        container=container,
        block=PlanBlock(**{**usual, **block}),
    )


FOLDER = "/home/me/my analysis/run/log/cpu"
CASES = {
    "one shared node": (pool(), BlockLocation(FOLDER, "dimuon.cpu.0", 0)),
    "four whole nodes": (
        pool(nodes=4, whole_nodes=True, workers_per_node=64, cpus=128, memory=250 * GIB, walltime=86_400.0),
        BlockLocation(FOLDER, "dimuon.cpu.1", 1),
    ),
    "GPUs and disk": (
        pool("gpu", gpus=4, disk=20 * GIB, walltime=1200.5, queue="gpu"),
        BlockLocation(FOLDER, "dimuon.gpu.12", 12),
    ),
    "away from two nodes, queue without a name": (
        pool(queue=""),
        BlockLocation("/home/me/run", "dimuon.cpu.3", 3, ("n1.site.org", "n2")),
    ),
    "without shared files": (
        pool(shared=False),
        BlockLocation(
            "/home/me/run", "dimuon.cpu.4", 4, (), ("osdf:///ospool/me/env.tar",), ("/home/me/keys/client.key_secret",)
        ),
    ),
}


def batch_strategies():
    """Return the names of all strategies whose workers are jobs."""
    return [name for name in registry.names("strategies") if registry.load("strategies", name).batch]


def cases(name):
    """Return (title, pool, place) of all cases that a strategy can do."""
    strategy = registry.load("strategies", name)
    found = [(title, p, place) for title, (p, place) in CASES.items() if strategy.several_nodes or p.block.nodes == 1]
    return [case for case in found if case[1].shared or strategy.brings_files]


def script(name, p, place, **options):
    """Render a submit file."""
    return registry.load("strategies", name)(**{**OPTIONS[name], **options}).script(p, place)


IMAGE, UNPACKED = "docker://ghcr.io/fast-hep/analysis:1.0", "/cvmfs/unpacked.cern.ch/ghcr.io/fast-hep/analysis:1.0"


def in_container(runtime, image=IMAGE, *bind, **changes):
    """Return a pool whose workers run in a container."""
    return pool(container=PlanContainer(image=image, runtime=runtime, bind=bind), **changes)


def container_scripts():
    """Yield (title, text) of what is submitted for pools in containers, and of the scripts of their nodes."""
    here = BlockLocation(FOLDER, "dimuon.cpu.0", 0)
    far = CASES["without shared files"][1]
    none = {"container_image": None, "directives": ()}
    submitted = {
        "htcondor, registry": ("htcondor", in_container("site"), here, none),
        "htcondor, CVMFS, without shared files": ("htcondor", in_container("site", UNPACKED, shared=False), far, none),
        "htcondor, an attribute of the site": (
            "htcondor", in_container("site"), here, {**none, "image_attribute": "+SingularityImage"},
        ),
        "htcondor, apptainer": ("htcondor", in_container("apptainer"), here, none),
        "slurm, OCI bundle": ("slurm", in_container("site", "/images/analysis"), here, {"oci_bundles": True}),
        "slurm, OCI bundle on two nodes": (
            "slurm", in_container("site", "/images/analysis", nodes=2), here, {"oci_bundles": True},
        ),
        "slurm, apptainer": ("slurm", in_container("apptainer"), here, {}),
        "kubernetes": ("kubernetes", in_container("site"), here, {"image": None}),
        "pbs": ("pbs", in_container("apptainer"), here, {}),
    }  # fmt: skip
    for title, (strategy, p, place, options) in submitted.items():
        made = script(strategy, p, place, **options)
        yield f"{title}: {made.name}", made.text
    nodes = {
        "the site starts it": in_container("site"),
        "apptainer": in_container("apptainer", UNPACKED, "/cvmfs", "/data:/inside:ro", worker_init=("module load x",)),
        "singularity, GPUs": in_container("singularity", gpus=4, shared=False),
        "podman": in_container("podman", IMAGE, "/data"),
        "docker, GPUs": in_container("docker", IMAGE, "/data:ro", gpus=4),
    }
    for title, p in nodes.items():
        yield f"node.sh, {title}", node_script(p, ["python3", "-P", "-m", "x", "--addresses=login1"], "/home/me/my run")
