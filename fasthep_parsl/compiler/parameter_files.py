"""Find the files that parameters name, relative to the file that names them, and hash them."""

from __future__ import annotations

import glob
from contextlib import suppress
from pathlib import Path

from fasthep_parsl.analysis_code.data_files import UnusableFileError, describe_file, describe_folder
from fasthep_parsl.interfaces import ParamPath
from fasthep_parsl.names import harmful
from fasthep_parsl.plan import FileUse, PlanParameterFile
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.datasets import near_names
from fasthep_parsl.workflow.layers import expand_text
from fasthep_parsl.workflow.locations import local_path
from fasthep_parsl.workflow.yamldoc import Document, KeyPath


class FileFinder:
    """Finds the files that parameters name. Each file is read once.

    Parameters
    ----------
    document : Document
        The workflow.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self._known: dict[tuple[Path, str, bool], PlanParameterFile] = {}

    def describe(self, path: Path, name: str, *, folder: bool) -> PlanParameterFile:
        """Return what a file or folder contains; see `describe_file` and `describe_folder`."""
        key = (path, name, folder)
        if key not in self._known:
            self._known[key] = (describe_folder if folder else describe_file)(path, name)
        return self._known[key]


class StageFiles:
    """The files that the parameters of one stage name: a `FileLookup` that remembers what it has found.

    Parameters
    ----------
    finder : FileFinder
        Finds them.
    stage : str
        Id of the stage.
    base : tuple
        Key path of its parameters in the workflow.
    """

    def __init__(self, finder: FileFinder, stage: str, base: KeyPath) -> None:
        self._finder, self._stage, self._base = finder, stage, base
        self._found: dict[tuple[ParamPath, str], PlanParameterFile] = {}
        self._apart = False

    def tell_apart(self) -> None:
        """Let a parameter name several files: it contains facts of datasets."""
        self._apart = True

    def __call__(self, path: ParamPath, text: str, *, folder: bool) -> Path:
        """Return the file or folder that `text` names. Raise a `wrong_value` if it cannot be used."""
        try:
            file = self._place(text, (*self._base, *path), folder=folder)
            planned = self._finder.describe(file, file.name, folder=folder)
        except UnusableFileError as error:
            raise _wrong(f"`{text}` {error.message}", error.hint) from None
        except OSError as error:
            raise _wrong(f"cannot read `{error.filename or text}`: {error.strerror}") from None
        use = FileUse(stage=self._stage, key=path, text=text if self._apart else "")
        self._found[path, use.text] = planned.model_copy(update={"uses": (use,)})
        return file

    @property
    def found(self) -> tuple[PlanParameterFile, ...]:
        """The files, one for each parameter, or several if it contains facts of datasets."""
        return tuple(self._found.values())

    def _place(self, text: str, key: KeyPath, *, folder: bool) -> Path:
        """Return the path of a file or folder that exists."""
        noun = "folder" if folder else "file"
        local = local_path(_expanded(text, key))
        if local is None:
            hint = f"download it and give the path of the {noun}, so that its content is in the plan"
            raise _wrong(f"`{text}` is a URL: its content can change without notice", hint)
        file = Path() if harmful(local) else absolute_path(local, self._finder.document.folder_of(key))
        if not file.name or harmful(str(file)):
            raise _wrong(f"`{ascii(text)[1:-1]}` cannot name a {noun} for workers", "copy or rename it")
        if file.exists():
            if file.is_dir() == folder:
                return file
            found, needed = ("folder", "InputFolder") if file.is_dir() else ("file", "InputFile")
            raise _wrong(f"`{text}` is a {found}, not a {noun}", f"the op would need the type `{needed}`")
        if glob.has_magic(local):
            raise _wrong(f"`{text}` is a pattern: a parameter names one {noun}", f"give the path of the {noun}")
        near = near_names(file.parent, file.name, folders=folder)
        raise wrong_value(f"no such {noun}: `{text}`", near, code="E113", name=file.name)


def _expanded(text: str, key: KeyPath) -> str:
    """Return `text` with environment variables."""
    found = expand_text(text, key)
    if isinstance(found, str):
        return found
    raise wrong_value(found.message, found.hint, code=found.code, name=found.name)


def absolute_path(text: str, folder: Path) -> Path:
    """Return an absolute path. Links are followed in its folder, but its own name is kept."""
    wanted = Path(text)
    with suppress(RuntimeError):  # no such user: `~name` is the name of a folder
        wanted = wanted.expanduser()
    full = folder / wanted
    return full.resolve() if full.name == ".." else full.parent.resolve() / full.name


def _wrong(message: str, hint: str = "") -> Exception:
    return wrong_value(message, hint, code="E113")
