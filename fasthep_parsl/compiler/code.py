"""Find the analysis code and data files that a workflow uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.analysis_code.closure import sha256
from fasthep_parsl.analysis_code.modules import describe, modules_next_to
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.plan import PlanCode, PlanModule
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import KeyPath, problem


@dataclass(frozen=True)
class Code:
    """Analysis code and data files of a workflow.

    Attributes
    ----------
    modules : tuple of PlanModule
        Analysis code, with the data files next to it.
    files : tuple of PlanCode
        Data files in other folders.
    """

    modules: tuple[PlanModule, ...] = ()
    files: tuple[PlanCode, ...] = ()


def find_code(loaded: LoadedWorkflow) -> Checked[Code]:
    """Find the files of ``use``, relative to the file that names them."""
    data, problems = _find_data(loaded)
    paths, found = _find_modules(loaded)
    problems += found
    folders = list(dict.fromkeys(path.parent for path in paths.values()))
    modules: list[PlanModule] = []
    for index, path in paths.items():
        try:
            module = describe(path, [file for file in data if file.is_relative_to(path.parent)])
        except OSError as error:
            key: KeyPath = ("use", "modules", index)
            problems.append(problem(loaded.document, key, "E112", f"cannot read `{path}`: {error.strerror}"))
            continue
        number = sum(known.name.partition("__")[0] == module.name for known in modules)
        name = f"{module.name}__{number + 1}" if number else module.name
        folder = str(folders.index(path.parent) + 1) if len(folders) > 1 else ""
        modules.append(module.model_copy(update={"name": name, "folder": folder}))
    problems += _ambiguous(loaded, modules)
    elsewhere = [file for file in data if not any(file.is_relative_to(folder) for folder in folders)]
    files = tuple(PlanCode(name=str(file), sha256=sha256(file.read_bytes())) for file in elsewhere)
    return Checked(Code(tuple(modules), files), tuple(problems))


def _base(loaded: LoadedWorkflow, key: KeyPath) -> Path:
    where = loaded.document.marks.value(key)
    return Path(where.file).parent if where is not None and where.file else loaded.path.parent


def _find_modules(loaded: LoadedWorkflow) -> tuple[dict[int, Path], list[Problem]]:
    found: dict[int, Path] = {}
    problems: list[Problem] = []
    for index, name in enumerate(loaded.workflow.use.modules):
        key: KeyPath = ("use", "modules", index)
        path = (_base(loaded, key) / name).resolve()
        if not path.is_file():
            around = [item.name for item in path.parent.glob("*.py")] if path.parent.is_dir() else []
            hint = suggest(path.name, around, what="modules in its folder")
            message = f"no analysis module `{name}`"
            problems.append(problem(loaded.document, key, "E112", message, hint, name=name))
        elif path.suffix != ".py" or not path.stem.isidentifier():
            message = f"`{name}` is not the name of a Python module"
            problems.append(problem(loaded.document, key, "E112", message, "rename it, for example `my_ops.py`"))
        elif path not in found.values():
            found[index] = path
    return found, problems


def _find_data(loaded: LoadedWorkflow) -> tuple[list[Path], list[Problem]]:
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for index, name in enumerate(loaded.workflow.use.files):
        key: KeyPath = ("use", "files", index)
        path = (_base(loaded, key) / name).resolve()
        if path.is_dir():
            found |= dict.fromkeys(sorted(file for file in path.rglob("*") if file.is_file()))
        elif path.is_file():
            found[path] = None
        else:
            around = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = suggest(path.name, around, what="files in its folder")
            problems.append(problem(loaded.document, key, "E100", f"no file `{name}`", hint, name=name))
    return list(found), problems


def _ambiguous(loaded: LoadedWorkflow, modules: Sequence[PlanModule]) -> list[Problem]:
    """Refuse two different files with the same module name."""
    known: dict[str, tuple[Path, str]] = {}
    problems = []
    for module in modules:
        path = Path(module.path)
        own = next(file.sha256 for file in module.files if file.name == path.name)
        for name, (file, content) in {module.name: (path, own), **modules_next_to(module, path.parent)}.items():
            before = known.setdefault(name, (file, content))
            if before[1] != content:
                message = f"two files have the module name `{name}`: {before[0]} and {file}"
                index = loaded.workflow.use.modules.index(
                    next(n for n in loaded.workflow.use.modules if Path(n).name == path.name)
                )
                key: KeyPath = ("use", "modules", index)
                problems.append(problem(loaded.document, key, "E112", message, "rename one of them"))
    return problems
