r"""The start of a worker pool in a container that a program on the node starts: apptainer, singularity, podman or docker.

What runs before it (`worker_init`) runs on the node itself. Workers get the variables that it exports, except those that
would break the software of the image: PATH, LD_LIBRARY_PATH and HOME are the image's, or those of the runtime. The folder
of the block, the run directory, the working folder and the temporary folder have the same paths in the container.

Options follow the user guides of apptainer (``apptainer exec``), podman (``podman run``) and docker (``docker run``).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from fasthep_parsl.plan import PlanContainer, PlanPool

_NAMES = {
    "apptainer": ("apptainer", "singularity"),
    "singularity": ("singularity", "apptainer"),
    "podman": ("podman",),
    "docker": ("docker",),
}
"""Runtime → programs that start it. Apptainer is a new name of singularity; sites have one of the two, or both."""

ALONE = """
# Python of the image must not see packages in the user's home
export PYTHONNOUSERSITE=1
"""
CLEAN = """
# nor those of the submit side
unset PYTHONPATH PYTHONHOME
"""

_MOUNTS = r"""
fasthep_mounts=()
fasthep_mount() {
    [ -d "$1" ] && [ "$1" != / ] || return 0
    case $1 in
    *[:,]*)
        fasthep_say "$1 cannot be mounted in the container: its name has a colon or a comma"
        exit 1
        ;;
    esac
    fasthep_mounts+=(%(option)s)
}
for fasthep_path in %(folders)s "$PWD" "$TMPDIR" "$_CONDOR_SCRATCH_DIR"; do
    fasthep_mount "$fasthep_path"
done
"""

_PROGRAM = r"""
# the workers run in a container
fasthep_runtime=%(find)s || {
    fasthep_say "the container cannot be started: there is no %(names)s on PATH"
    exit 127
}
"""

_VARIABLES = r"""
fasthep_variables=()
while read -r fasthep_name; do
    case $fasthep_name in
    PATH | LD_LIBRARY_PATH | LD_PRELOAD | HOME | PWD | OLDPWD | SHLVL | HOSTNAME | _ | FASTHEP_PARSL_LIFELINE) ;;
    *) fasthep_variables+=(--env "$fasthep_name") ;; # its value is not on the command line
    esac
done < <(compgen -e)
"""

_APPTAINER_GPUS = r"""
fasthep_gpus=(--nv)
[ ! -e /dev/kfd ] || fasthep_gpus=(--rocm)
"""

_PODMAN_USER = r"""
fasthep_user=()
[ "$(id -u)" = 0 ] || fasthep_user=(--userns=keep-id)
"""

_DOCKER_USER = r"""
fasthep_user=(--user "$(id -u):$(id -g)")
for fasthep_group in $(id -G); do fasthep_user+=(--group-add "$fasthep_group"); done
"""

_RUN = (
    "--rm --network=host --pid=host --ipc=host --security-opt=label=disable --entrypoint= --env HOME=/tmp "
    '"${fasthep_user[@]}" "${fasthep_variables[@]}"'
)
"""Parsl's processes use the network, the process ids and the shared memory of the node. An image may have an entry point."""


def container_start(pool: PlanPool, program: str, folders: Sequence[str]) -> str:
    """Return the end of a script: it becomes the program in the container of `pool`.

    Parameters
    ----------
    pool : PlanPool
        A pool with a container, whose runtime is a program on the node.
    program : str
        Command line in the container, quoted for bash.
    folders : sequence of str
        Folders that the container sees, quoted for bash.

    Raises
    ------
    ValueError
        The pool has no container that a program on the node starts.
    """
    container = pool.container
    if container is None or container.runtime == "site":
        raise ValueError(f"pool `{pool.name}` has no container that its nodes start")
    names = _NAMES[container.runtime]
    find = "$(" + " || ".join(f"command -v {name}" for name in names) + ")"
    option = '--bind "$1"' if "apptainer" in names else '--volume "$1:$1"'
    parts = [
        _PROGRAM % {"find": find, "names": " or ".join(names)},
        _MOUNTS % {"option": option, "folders": " ".join(folders)},
    ]
    parts += _apptainer(pool, container) if "apptainer" in names else _docker(pool, container)
    return "".join([*parts, f" \\\n    {program}\n"])


def _apptainer(pool: PlanPool, container: PlanContainer) -> list[str]:
    words = ['exec "$fasthep_runtime" exec --pwd "$PWD" "${fasthep_mounts[@]}"']
    words += [f"--bind {shlex.quote(folder)}" for folder in container.bind]
    words += ['"${fasthep_gpus[@]}"'] if pool.gpus else []
    return [*([_APPTAINER_GPUS] if pool.gpus else []), "\n", " ".join([*words, shlex.quote(container.image)])]


def _docker(pool: PlanPool, container: PlanContainer) -> list[str]:
    podman = container.runtime == "podman"
    words = [f'exec "$fasthep_runtime" run {_RUN} --workdir "$PWD" "${{fasthep_mounts[@]}}"']
    words += [f"--volume {shlex.quote(_both(folder))}" for folder in container.bind]
    if pool.gpus:
        words.append("--device nvidia.com/gpu=all" if podman else "--gpus all")
    image = shlex.quote(container.image.removeprefix("docker://"))
    return [_VARIABLES, _PODMAN_USER if podman else _DOCKER_USER, "\n", " ".join([*words, image])]


def _both(folder: str) -> str:
    """Return a mount with its target, which docker does not add."""
    source, *rest = folder.split(":")
    return folder if rest and rest[0].startswith("/") else ":".join([source, source, *rest])
