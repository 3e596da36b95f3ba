"""Machines of the test pool, and their HTCondor configuration."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template


@dataclass(frozen=True)
class Node:
    """A machine that runs jobs. Its resources are declared, not measured.

    Parameters
    ----------
    name : str
        As the batch system's records name it.
    cpus, gpus : int
        How many; the GPUs are simulated: they are assigned, they do not compute.
    memory : int
        MB.
    start : str
        Which jobs it accepts, a ClassAd expression.
    config : str
        More lines of configuration.
    """

    name: str
    cpus: int = 8
    memory: int = 32_768
    gpus: int = 0
    start: str = "True"
    config: str = ""


#: Jobs with GPUs run on ``gpu1``, those above 32 GB on ``himem1``, all others on ``cpu1`` and ``cpu2``.
NODES = (
    Node("cpu1"),
    Node("cpu2"),
    Node("himem1", cpus=16, memory=262_144, start="TARGET.RequestMemory > 32768"),
    Node("gpu1", memory=65_536, gpus=2, start="TARGET.RequestGPUs > 0"),
)

_COMMON = Template("""\
RELEASE_DIR = $prefix/usr
BIN = $$(RELEASE_DIR)/bin
SBIN = $$(RELEASE_DIR)/sbin
LIB = $$(RELEASE_DIR)/lib/condor
LIBEXEC = $$(RELEASE_DIR)/libexec/condor
SHARE = $$(RELEASE_DIR)/share/condor
LOCAL_DIR = $folder
LOG = $$(LOCAL_DIR)/log
SPOOL = $$(LOCAL_DIR)/spool
EXECUTE = $$(LOCAL_DIR)/execute
LOCK = $$(LOCAL_DIR)/lock
RUN = $$(LOCAL_DIR)/run
ETC = $$(LOCAL_DIR)
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
SEC_PASSWORD_DIRECTORY = $$(LOCAL_DIR)/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $$(LOCAL_DIR)/tokens.d

# every machine of the pool is this one, by its loopback address
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:$port
NETWORK_INTERFACE = 127.0.0.1
NETWORK_HOSTNAME = $name
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
NO_DNS = True
DEFAULT_DOMAIN_NAME = pool
USE_SHARED_PORT = False
UID_DOMAIN = pool
TRUST_UID_DOMAIN = True
FILESYSTEM_DOMAIN = $files
SEC_DEFAULT_AUTHENTICATION = PREFERRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
# each machine has a master, and they do not know each other's secret
SEC_USE_FAMILY_SESSION = False
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADMINISTRATOR = *
# delegating fails between builds of Debian; a copy serves as well
DELEGATE_JOB_GSI_CREDENTIALS = False

# answer within a second or two
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
# A schedd that is new to the negotiator and asks it for a cycle while it asks the schedd for jobs: each waits 20 s for
# the other. A cycle every second needs no asking.
SCHEDD_SEND_RESCHEDULE = False
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
JOB_START_DELAY = 0
JOB_START_COUNT = 20
CLAIM_WORKLIFE = 0
UPDATE_INTERVAL = 5
POLLING_INTERVAL = 2
# a machine that died is forgotten after this time
CLASSAD_LIFETIME = 20
PERIODIC_EXPR_INTERVAL = 2
MAX_PERIODIC_EXPR_INTERVAL = 2
SHADOW_QUEUE_UPDATE_INTERVAL = 2
STARTER_INITIAL_UPDATE_INTERVAL = 1
STARTER_UPDATE_INTERVAL = 5
MASTER_BACKOFF_CONSTANT = 1
MASTER_BACKOFF_CEILING = 2
JOB_DEFAULT_REQUESTMEMORY = 128
JOB_DEFAULT_REQUESTDISK = 1024
ENABLE_URL_TRANSFERS = False
MAIL = /bin/true
""")

_WORKER = Template("""\
DAEMON_LIST = MASTER STARTD
NUM_CPUS = $cpus
MEMORY = $memory
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = $start
SUSPEND = False
PREEMPT = False
KILL = False
WANT_SUSPEND = False
WANT_VACATE = False
RANK = 0
RUNBENCHMARKS = False
MaxJobRetirementTime = 0
MachineMaxVacateTime = 5
# the declared memory is not there: nothing may be stopped for it
CGROUP_MEMORY_LIMIT_POLICY = none
BASE_CGROUP =
USE_PID_NAMESPACES = False
DISCARD_SESSION_KEYRING_ON_STARTUP = False
MOUNT_UNDER_SCRATCH =
JAVA =
DOCKER =
SINGULARITY =
""")

_SIMULATED_A100 = 4
_DAEMONS = {
    "central": "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR\n",
    "submit": "DAEMON_LIST = MASTER SCHEDD\n",
}


def machine_config(name: str, node: Node | None, *, prefix: Path, folder: Path, port: int, hides: bool) -> str:
    """Return the configuration of one machine.

    Parameters
    ----------
    name : str
        ``central``, ``submit`` or the name of a node.
    node : Node or None
        The node of that name.
    prefix, folder : Path
        Where HTCondor is and where the machine keeps its state.
    port : int
        Of the collector.
    hides : bool
        Jobs do not see the files of the submit machine.
    """
    files = f"{name}.pool" if hides else "pool"
    text = _COMMON.substitute(prefix=prefix, folder=folder, name=name, port=port, files=files)
    if node is None:
        return text + _DAEMONS[name]
    text += _WORKER.substitute(cpus=node.cpus, memory=node.memory, start=node.start)
    gpus = (
        f"GPU_DISCOVERY_EXTRA = -simulate:{_SIMULATED_A100},{node.gpus}" if node.gpus else "STARTD_DETECT_GPUS = False"
    )
    wrapper = f"USER_JOB_WRAPPER = {folder / 'job_wrapper'}\n" if hides else ""
    return f"{text}{gpus}\n{wrapper}{node.config}\n"


_HIDING = Template("""\
#!/bin/sh
# The job sees each of these folders empty, save its own scratch folder: a mount namespace in which we are root hides
# them, a second user namespace gives the job its user back.
uid=$$(id -u) gid=$$(id -g) scratch=$$_CONDOR_SCRATCH_DIR
exec unshare --user --map-root-user --mount -- /bin/sh -ec '
  uid=$$1 gid=$$2 scratch=$$3 here=$$PWD
  shift 3
  exec 8<"$$scratch"
  for hidden in $hidden; do
    [ ! -d "$$hidden" ] || mount -t tmpfs -o size=1m,mode=755 hidden "$$hidden"
  done
  if [ ! /proc/self/fd/8 -ef "$$scratch" ]; then # it was below one of them
    mkdir -p "$$scratch"
    mount --no-canonicalize --bind /proc/self/fd/8 "$$scratch"
  fi
  exec 8<&-
  cd "$$here"
  exec unshare --user --map-user="$$uid" --map-group="$$gid" -- "$$@"
' hide "$$uid" "$$gid" "$$scratch" "$$@"
""")


def hiding_wrapper(hide: Sequence[Path]) -> str:
    """Return the script that starts every job so that it does not see the folders `hide`."""
    # the list is inside single quotes of the outer shell
    return _HIDING.substitute(hidden=" ".join(shlex.quote(str(folder)) for folder in hide).replace("'", "'\\''"))
