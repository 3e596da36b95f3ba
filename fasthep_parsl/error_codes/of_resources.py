"""E140–E149, E180–E190: pools, sites, modifiers and the software of workers."""

from __future__ import annotations

from fasthep_parsl.error_codes.meaning import ErrorCode

_STAGE = "analysis:\n  stages:\n    - {id: Selection, op: hep.select, params: {selection: [nMuon >= 2]}"
_LONG_STAGE = (
    "analysis:\n  stages:\n    - id: Selection\n      op: hep.select\n      params: {selection: [nMuon >= 2]}\n"
)
_BIGMEM = (
    "execution:\n  pools:\n    default: {workers: 1}\n    bigmem: {workers: 1, resources: {cpus: 1, memory: 1GB}}\n"
)
_GPU = "execution:\n  pools:\n    default: {workers: 1}\n    gpu: {workers: 1, resources: {gpus: 1}}\n"

RESOURCES: dict[str, ErrorCode] = {
    "E140": ErrorCode(
        "a label matches no pool and no resource class",
        "The label in `execution` of a stage is misspelt, or `execution.pools` has no pool of that name.",
        "how-to/pools-and-labels",
        _STAGE + ", execution: {require: bigmen}}\n" + _BIGMEM,
        _STAGE + ", execution: {require: bigmem}}\n" + _BIGMEM,
    ),
    "E141": ErrorCode(
        "no pool meets the requirements of a stage",
        "The stage requires what this site cannot provide, e.g. a GPU. Choose another site with `--site`, or write"
        " `prefer` instead of `require`.",
        "how-to/pools-and-labels",
        _STAGE + ", execution: {require: gpu}}\n" + _GPU,
        _STAGE + ", execution: {prefer: gpu}}\n" + _GPU,
    ),
    "E142": ErrorCode(
        "the resource class of a pool does not exist",
        "`resources: name` of a pool names a class of `execution.resources`.",
        "how-to/pools-and-labels",
        "execution:\n  pools:\n    default: {workers: 1}\n    second: {workers: 1, resources: smal}\n"
        "  resources: {small: {cpus: 1, memory: 1GB}}\n",
        "execution:\n  pools:\n    default: {workers: 1}\n    second: {workers: 1, resources: small}\n"
        "  resources: {small: {cpus: 1, memory: 1GB}}\n",
    ),
    "E143": ErrorCode(
        "unknown site",
        "The name is misspelt. `fasthep-parsl sites list` lists them. A file of your own is given by its path.",
        "how-to/add-a-site",
        "fasthep-parsl plan analysis.yaml --site lxpluss",
        "fasthep-parsl plan analysis.yaml --site local",
        "command",
    ),
    "E144": ErrorCode(
        "a pool needs a larger node or a longer walltime than the site has",
        "The resources of a pool are per worker. The error names what a node has and the longest walltime.",
        "how-to/batch-system",
    ),
    "E145": ErrorCode(
        "more pools than ports that workers can reach",
        "Each pool needs ports of the submit machine that nodes can connect to (`network.ports`). Use fewer pools.",
        "how-to/add-a-site",
    ),
    "E146": ErrorCode(
        "a setting that the site requires is missing",
        "The site needs what only you know, such as the account or the project that pays. Set it with `--set`, or in a"
        " profile of your own that extends the site.",
        "how-to/add-a-site",
        "fasthep-parsl plan analysis.yaml --site perlmutter_cpu",
        "fasthep-parsl plan analysis.yaml --site perlmutter_cpu --set strategy.account=m1234",
        "command",
    ),
    "E147": ErrorCode(
        "an environment variable of a site profile is not set",
        "The profile contains `${NAME}`. Export the variable, set the key with `--set`, or write `${NAME:-default}`.",
        "how-to/add-a-site",
        'worker_init: "source ${NO_SUCH_VARIABLE}/setup.sh"\n',
        'worker_init: "source ${HOME}/setup.sh"\n',
        "profile",
    ),
    "E148": ErrorCode(
        "the queue of a pool does not exist",
        "The name is misspelt, or the site has other queues. `fasthep-parsl sites show SITE` lists them.",
        "how-to/batch-system",
    ),
    "E149": ErrorCode(
        "workers cannot see the files that they need",
        "The site has no file system that the submit machine and the nodes share. Read files by URL, or choose a"
        " strategy that sends files.",
        "how-to/without-shared-files",
    ),
    "E180": ErrorCode(
        "a modifier needs a GPU, but the pool of its stage has none",
        "Send the stage to a pool with `resources: {gpus: 1}`, or remove the modifier. `on_missing: cpu` lets the stage run"
        " without a GPU.",
        "how-to/use-gpus",
        _LONG_STAGE + "      execution: {modifiers: [{kind: gpu.preload}]}\n",
        _LONG_STAGE + "      execution: {modifiers: [{kind: gpu.preload, on_missing: cpu}]}\n",
    ),
    "E181": ErrorCode(
        "a modifier does not support this op",
        "E.g. `cuda.jit` is for ops with kernels. The page of the modifier names the ops that it supports.",
        "reference/modifiers",
    ),
    "E190": ErrorCode(
        "a packed environment does not exist, is not one, or cannot be written",
        "`fasthep-parsl env show` lists the environments that are packed; `env pack WORKFLOW` packs one.",
        "how-to/pack-an-environment",
        "fasthep-parsl env verify no_such_environment.tar.zst",
        "fasthep-parsl env show",
        "command",
    ),
}
