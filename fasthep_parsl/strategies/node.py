r"""The script that each node of a block runs, the same for all batch systems.

``node.sh <number of the block>`` sets variables that a job may lack (PATH, HOME), enters the scratch folder, runs the
site's and the user's ``worker_init``, and becomes the worker pool. If it can, it appends the batch system's name of the
node to ``block.<number>.node`` next to itself: one line for each node and each start.

If a command of ``worker_init`` fails, the block ends with its exit code. Bash's ``set -e`` would also end it for failures
inside of sourced setup scripts and functions. Many of those (LCG views, ``module``) continue after harmless failures.
So a trap checks only the commands of ``worker_init`` itself. Write a step that may fail as ``step || true``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from fasthep_parsl.interfaces import PREFIX
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.resources.hidden import EXPORT
from fasthep_parsl.setup_folder import FILES_VARIABLE, SECRETS_VARIABLE, setup_variables
from fasthep_parsl.strategies.container_start import ALONE, CLEAN, container_start

HERE = "@folder of node.sh@"
"""Placeholder in a command for the folder of the script, which contains the files that were transferred with it."""

_START = r"""#!/bin/bash
# Starts the workers of one node; $1 is the number of the block.
fasthep_block=$1
set -- # what is sourced below would take our arguments for its own
fasthep_folder=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

# a job may start without PATH and HOME
case ":$PATH:" in *:/usr/bin:*) ;; *) PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin ;; esac
[ -n "$HOME" ] || { unset HOME; HOME=~; }
[ -n "$USER" ] || USER=$(id -un 2>/dev/null)
[ -d "$TMPDIR" ] || unset TMPDIR # that of the machine of submission
export PATH HOME USER

# this node as the batch system calls it; our names begin with fasthep_, so that worker_init does not change them
fasthep_node=${SLURMD_NODENAME:-$FASTHEP_PARSL_NODE}
if [ -z "$fasthep_node" ] && [ -r "$_CONDOR_MACHINE_AD" ]; then
    fasthep_node=$(sed -n 's/^Machine = "\(.*\)"$/\1/p' "$_CONDOR_MACHINE_AD")
fi
[ -n "$fasthep_node" ] || fasthep_node=$(hostname 2>/dev/null || uname -n)
{ echo "$fasthep_node" >>"$fasthep_folder/block.$fasthep_block.node"; } 2>/dev/null

fasthep_say() { echo "fasthep-parsl: block $fasthep_block on node $fasthep_node: $1" >&2; }
"""

_SECRETS = r"""
# secrets came with the job: from here on only this user can read them
fasthep_secrets=$fasthep_folder/secrets
if ! (umask 077 && cd -- "$fasthep_folder" && mkdir -p secrets && chmod 600 %(names)s && mv -f %(names)s secrets/); then
    fasthep_say "the secrets of the worker setup cannot be put into $fasthep_secrets"
    exit 1
fi
"""

_SCRATCH = r"""
fasthep_scratch=%(scratch)s
if [ -z "$fasthep_scratch" ] || ! mkdir -p -- "$fasthep_scratch" || ! cd -- "$fasthep_scratch"; then
    fasthep_say "warning: scratch folder %(shown)s (\"$fasthep_scratch\") cannot be used; working in $PWD"
fi
"""

_INIT = r"""
fasthep_failed() {
    trap - ERR EXIT
    fasthep_say "worker_init ended with code $1 at: $2"
    exit "$(($1 ? $1 : 1))"
}
# only commands that stand here: scripts and functions that they call may go on after a failure
fasthep_depth=${#BASH_SOURCE[@]}
trap 'fasthep_code=$?; [ ${#BASH_SOURCE[@]} -gt $fasthep_depth ] || fasthep_failed $fasthep_code "$BASH_COMMAND"' ERR
trap 'fasthep_failed $? "$BASH_COMMAND"' EXIT
%(lines)s

trap - ERR EXIT
set +eu
"""


def node_script(pool: PlanPool, command: Sequence[str], run_dir: str = "") -> str:
    """Return the text of ``node.sh``. Pure.

    Parameters
    ----------
    pool : PlanPool
        A pool whose `block` is set.
    command : sequence of str
        The worker pool's command line. The script appends ``--block_id=<number>``.
    run_dir : str
        The run directory, for pools that see it and have files or secrets.

    Returns
    -------
    str
        A bash script with one argument, the number of the block. It exports PARSL_CORES (the cores of all workers of a
        node), the number of threads of common libraries (the cores of a worker), and FASTHEP_PARSL_FOLDER (its folder,
        with the files that were transferred). FASTHEP_PARSL_FILES and FASTHEP_PARSL_SECRETS are the folders of the
        pool's files and secrets, if it has any. ``worker_init`` can change the variables. In a pool without GPUs, it
        cannot make GPUs visible.

    Raises
    ------
    ValueError
        The pool has no block.
    """
    if pool.block is None:
        raise ValueError(f"pool `{pool.name}` has no block")
    exports = {
        "FASTHEP_PARSL_FOLDER": '"$fasthep_folder"',
        "FASTHEP_PARSL_NODE": '"$fasthep_node"',
        "PARSL_CORES": str(pool.block.workers_per_node * pool.cpus),
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(pool.cpus)),
        "NUMEXPR_MAX_THREADS": str(pool.cpus),
    }
    if pool.files or pool.secrets:
        exports |= _setup_folders(pool, run_dir)
    parts = [_START]
    if pool.secrets and not pool.shared:
        parts.append(_SECRETS % {"names": shlex.join(pool.secrets)})
    parts.append("".join(f"export {name}={value}\n" for name, value in exports.items()))
    if pool.scratch:
        parts.append(_SCRATCH % {"scratch": _expanded(pool.scratch), "shown": _shown(pool.scratch)})
    program = [quoted_program(command[0]), *map(_quoted, command[1:]), '--block_id="$fasthep_block"']
    folders = ['"$fasthep_folder"', *([shlex.quote(run_dir)] if pool.shared and run_dir else [])]
    return "".join([*parts, start_text(pool, " ".join(program), folders)])


def start_text(pool: PlanPool, program: str, folders: Sequence[str]) -> str:
    """Return the end of a script: it runs the pool's ``worker_init``, then becomes the program. Pure.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    program : str
        Command line of the worker pool, quoted for bash.
    folders : sequence of str
        Folders that workers need if they run in a container, quoted for bash.

    Returns
    -------
    str
        Bash, which calls ``fasthep_say`` with messages.
    """
    parts = []
    wrapped = pool.container is not None and pool.container.runtime != "site"  # this script runs outside
    if pool.container is not None:
        parts += [ALONE, CLEAN] if wrapped else [ALONE]
    if pool.worker_init:
        parts.append(_INIT % {"lines": "\n".join(pool.worker_init)})
    if not pool.gpus:
        parts.append(f"\n# workers of this pool have no GPUs, whatever the node has\n{EXPORT}\n")
    parts.append(container_start(pool, program, folders) if wrapped else f"\nexec {program}\n")
    return "".join(parts)


def _setup_folders(pool: PlanPool, run_dir: str) -> dict[str, str]:
    """Return the variables that name the folders of the worker setup's files and secrets, with their values in bash."""
    if pool.shared:
        return {name: shlex.quote(folder) for name, folder in setup_variables(run_dir).items()}
    return {FILES_VARIABLE: '"$fasthep_folder"', SECRETS_VARIABLE: '"$fasthep_folder/secrets"'}


def quoted_program(program: str) -> str:
    """Return the Python of a pool, quoted for bash. If it begins with `PREFIX`, that must be set on the node."""
    rest = program.removeprefix(PREFIX)
    if rest == program:
        return shlex.quote(program)
    return f'"${{{PREFIX[1:]}:?was not set by the environment}}"{shlex.quote(rest) if rest else ""}'


def _quoted(argument: str) -> str:
    """Return an argument, quoted for bash, with `HERE` expanded."""
    return '"$fasthep_folder"'.join(shlex.quote(part) if part else "" for part in argument.split(HERE)) or "''"


def _expanded(text: str) -> str:
    """Return text in double quotes. The node's shell expands ``~``, variables and ``$(…)`` in it."""
    home = re.sub(r"^~(?=/|$)", "$HOME", text)
    return '"' + re.sub(r'(["`\\])', r"\\\1", home) + '"'


def _shown(text: str) -> str:
    """Return text for a message in double quotes, without expansions."""
    return re.sub(r'(["`\\$])', r"\\\1", text)
