"""One name means one thing: public classes have unique names, and modules share a name only if they share a subject."""

import ast
from collections import defaultdict
from pathlib import Path

import fasthep_parsl

PACKAGE = Path(fasthep_parsl.__file__).parent
SHARED_MODULE_NAMES = {
    "backends": "the kinds, and their contract",
    "base": "the common base of the classes of a package",
    "blocks": "how blocks run, and what the command line shows of them",
    "columns": "columns as sources read them, and operations on them",
    "commands": "what runs scheduler commands, and those of HTCondor",
    "credentials": "the kinds, those of a workflow, and the command `credentials`",
    "declare": "the decorators @op and @kernel",
    "gpu": "what needs a GPU, in ops and in diagnostics",
    "inputs": "the input files: found by the compiler, recorded in the plan",
    "joins": "sources that are read together: in the workflow, in the plan",
    "local": "backend and strategy of this name",
    "model": "the model of what the package is named after",
    "modifiers": "the kinds, their contract, and their use by compiler and worker",
    "normalisation": "luminosity, cross-sections and sums of weights: planned, and applied",
    "ops": "the kinds, their contract, and the command `ops`",
    "outputs": "output files of stages: checked by the compiler, compared by the driver",
    "parameter_files": "files that parameters name: found by compiler, in the plan, copied by driver, verified by worker",
    "plan": "the plan, and the command `plan`",
    "pools": "the pools of a workflow, and those of a plan",
    "probe": "the task of `sites check --live`, on both sides",
    "products": "what ops produce, and how workers merge it",
    "regions": "regions: as written, and as the compiler makes copies for them",
    "report": "the report of each modifier",
    "sites": "the package, and the command `sites`",
    "skims": "what `hep.write` has read: written to manifests, and read from them",
    "sources": "the kinds, their contract, and the section of the workflow",
    "store": "what keeps large values under a name: products on workers, archives in the cache",
    "stages": "the stages: checked by the compiler, recorded in the plan",
    "styles": "styles of plots: as written, checked, and planned",
    "templates": "templates for fit tools: as written, checked, planned, and filled",
    "worker_setups": "worker setups: combined by the compiler, prepared by the driver",
    "write": "what writes files: `hep.write`, results, demo data",
}
"""Name → the common subject of the modules and packages that share it."""


def test_no_public_class_name_is_defined_twice():
    found = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert len(found) > 100
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_modules_that_share_a_name_share_a_subject():
    """A new name in this list is a decision: rename the module, or write down what both are about."""
    found = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        found[name].append(str(path.relative_to(PACKAGE)))
    shared = {name: places for name, places in found.items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in SHARED_MODULE_NAMES} == {}
    assert len(shared) > 10, "the search finds what it looks for"
