"""E100–E116 and warnings: workflow files, their keys and values, plug-ins, and the files and code that they name."""

from __future__ import annotations

from fasthep_parsl.error_codes.meaning import ErrorCode

FILES: dict[str, ErrorCode] = {
    "E100": ErrorCode(
        "a file does not exist or cannot be read",
        "The path of the workflow or of another file is misspelt, or is relative to another folder. Paths on the"
        " command line are relative to the current folder, paths in a workflow to the file that contains them.",
        "reference/cli",
        "fasthep-parsl plan analysys.yaml",
        "fasthep-parsl plan analysis.yaml",
        "command",
    ),
    "E101": ErrorCode(
        "the file is not valid YAML",
        "A bracket or quote is not closed, a line has the wrong indentation, or a value with `: `, `#`, `*` or `[` at"
        " its beginning has no quotes.",
        "reference/workflow",
        "data:\n  datasets: [{name: dy, files: [data/dy_*.root]}\n",
        "data:\n  datasets: [{name: dy, files: [data/dy_*.root]}]\n",
    ),
    "E102": ErrorCode(
        "unknown key",
        "The key is misspelt, or is in the wrong section. The error lists the keys that are allowed there.",
        "reference/workflow",
        "sources:\n  events: {kind: root_tree, treee: Events}\n",
        "sources:\n  events: {kind: root_tree, tree: Events}\n",
    ),
    "E103": ErrorCode(
        "a key is twice in one mapping",
        "Two lines of one mapping have the same key, often after copying a block. YAML would silently use the last one.",
        "reference/workflow",
        "sources:\n  events: {kind: root_tree, tree: Events}\n  events: {kind: root_tree, tree: Runs}\n",
        "sources:\n  events: {kind: root_tree, tree: Events}\n",
    ),
    "E104": ErrorCode(
        "a required key is missing",
        "A stage has no `op`, a dataset no `name`, a site profile no `strategy`, or a whole section is missing.",
        "reference/workflow",
        "analysis:\n  stages:\n    - {id: Selection, params: {selection: [nMuon >= 2]}}\n",
        "analysis:\n  stages:\n    - {id: Selection, op: hep.select, params: {selection: [nMuon >= 2]}}\n",
    ),
    "E105": ErrorCode(
        "a value of the wrong type, or a quantity without a valid unit",
        "A number stands where a text is expected, a text where a list is expected, or a unit is misspelt. Memory is"
        " `4GB`, time is `2h` or `1h30m`, cross-sections are `1.2 nb`.",
        "reference/workflow",
        "execution:\n  pools:\n    default: {workers: 2, resources: {cpus: 1, memory: 4 gigs}}\n",
        "execution:\n  pools:\n    default: {workers: 2, resources: {cpus: 1, memory: 4GB}}\n",
    ),
    "E106": ErrorCode(
        "a value that is not allowed here",
        "A choice is misspelt, a number is out of range, or two keys that exclude each other are both set.",
        "reference/workflow",
        "execution:\n  pools:\n    default: {workers: 0}\n",
        "execution:\n  pools:\n    default: {workers: 1}\n",
    ),
    "E107": ErrorCode(
        "a section of fasthep-flow that this package does not run",
        "The workflow was written for fasthep-flow and uses a part of it that is not supported. Remove the section, or"
        " use what the hint says.",
        "explanation/differences",
        "observers: []\n",
    ),
    "E108": ErrorCode(
        "an included file does not exist, or files include each other",
        "Paths in `include` are relative to the file that contains them.",
        "reference/workflow",
        "include: [no_such_file.yaml]\n",
        "include: []\n",
    ),
    "E109": ErrorCode(
        "`--set` or `--explain` is not valid, or `explain` got no code",
        "The key does not exist, or there is no `=`. Write the path of the key with dots: names for mappings, `[n]` or"
        " the id for lists.",
        "reference/cli",
        "fasthep-parsl plan analysis.yaml --set exec.backend=local",
        "fasthep-parsl plan analysis.yaml --set execution.backend=local",
        "command",
    ),
    "E110": ErrorCode(
        "an op, modifier, strategy, backend, environment, credential or source that is unknown or cannot be imported",
        "The name is misspelt, or the package or module that defines it is not installed or not in `use`."
        " `fasthep-parsl ops list` lists the ops.",
        "how-to/own-code",
        "analysis:\n  stages:\n    - {id: Selection, op: hep.selct, params: {selection: [nMuon >= 2]}}\n",
        "analysis:\n  stages:\n    - {id: Selection, op: hep.select, params: {selection: [nMuon >= 2]}}\n",
    ),
    "E111": ErrorCode(
        "unknown or wrong parameter of an op or another kind",
        "A parameter is set twice, in `params` and in `from`, or the op has no such parameter. `fasthep-parsl ops show OP`"
        " describes all of them.",
        "reference/ops",
        "analysis:\n  stages:\n    - {id: Flow, op: hep.selection.cutflow, params: {selection: {two: [nMuon >= 2]}}}\n"
        "    - id: Selection\n      op: hep.select\n      from: [{node: Flow, port: cutflow, as: table}]\n"
        "      params: {selection: [nMuon >= 2]}\n",
        "analysis:\n  stages:\n    - {id: Flow, op: hep.selection.cutflow, params: {selection: {two: [nMuon >= 2]}}}\n"
        "    - id: Selection\n      op: hep.select\n      params: {selection: [nMuon >= 2]}\n",
    ),
    "E112": ErrorCode(
        "analysis code (`use`) cannot be found or imported, or has changed",
        "The path of a module is wrong, the module has an error or imports a package that is not installed, or it was"
        " edited after the plan was made. Paths are relative to the workflow file.",
        "how-to/own-code",
        "use:\n  modules: [no_such_ops.py]\n",
        "use:\n  modules: []\n",
    ),
    "E113": ErrorCode(
        "a file that an op reads does not exist, cannot be used, or was edited",
        "The path of a file of corrections, of a model or of certified sections is wrong, its content does not fit the"
        " op, or a package that reads it is not installed. Paths are relative to the workflow file.",
        "how-to/files-of-ops",
        "analysis:\n  stages:\n    - {id: Good, op: hep.lumi_mask, params: {file: no_such_file.json}}\n",
        '# golden.json contains {"1": [[1, 100]]}\n'
        "analysis:\n  stages:\n    - {id: Good, op: hep.lumi_mask, params: {file: golden.json}}\n",
    ),
    "E114": ErrorCode(
        "an environment cannot be packed: there is no installation, or the lock file of a pixi project is missing or does not fit",
        "`prefix` does not name the folder of an environment, or pixi.lock is older than its manifest: run `pixi lock`.",
        "how-to/pack-an-environment",
        "execution:\n  environment: {kind: packed-prefix, prefix: /no/such/folder}\n",
        "execution:\n  environment: {kind: shared-prefix}\n",
    ),
    "E115": ErrorCode(
        "a credential is missing, or does not suffice",
        "There is no proxy or token where clients look for it, it has expired or expires too soon, or it lacks the VO or"
        " scope that the site demands. `fasthep-parsl credentials` shows what you have and what to run.",
        "how-to/protected-data",
    ),
    "E116": ErrorCode(
        "a style of plots, or what a style names, does not exist: a base, a dataset, a colour; or two plots have one name",
        "A name in `styles` or `render` is misspelt.",
        "how-to/plots",
        "styles:\n  paper: {use: no_such_style}\n",
        "styles:\n  base: {formats: [png]}\n  paper: {use: base}\n",
    ),
    "W107": ErrorCode(
        "a part of fasthep-flow that has no effect here",
        "The workflow was written for fasthep-flow. The part can stay; results do not depend on it.",
        "explanation/differences",
    ),
    "W108": ErrorCode(
        "`applies_to` of a variation names a dataset or era that does not exist",
        "The name is misspelt, or the dataset was removed. The variation applies to the other names.",
        "how-to/variations",
    ),
}
