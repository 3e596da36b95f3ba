"""ROOT files: open one, find the tree by name and choose the reader by its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import InputFileError, OpenInput
from fasthep_parsl.sources.branches import listed
from fasthep_parsl.sources.root_ntuple import NTUPLES, NTupleFile
from fasthep_parsl.sources.root_tree import TREES, TreeFile
from fasthep_parsl.storage import SCHEMES, is_remote, local_path

CLASSES = (*TREES, *NTUPLES)
"""Classes of ROOT objects that contain events and can be read."""


def open_tree(path: str, tree: str) -> OpenInput:
    """Open a TTree or an RNTuple in a ROOT file, local or remote.

    Parameters
    ----------
    path : str
        The file.
    tree : str
        Name of the tree with its folders. ``name;2`` is cycle 2, else the newest cycle is read.

    Raises
    ------
    InputFileError
        The file cannot be read, or has no such tree.
    """
    file = open_root(path)
    try:
        return tree_in(file, path, tree)
    except Exception:
        file.close()
        raise


def open_beside(opened: Any, tree: str) -> OpenInput:
    """Open another tree of a ROOT file that `open_tree` has opened. It is closed with the first.

    Raises
    ------
    InputFileError
        The file has no such tree.
    """
    return tree_in(opened.directory, opened.path, tree)


def tree_in(file: Any, path: str, tree: str) -> OpenInput:
    """Return a TTree or an RNTuple of a file that `open_root` has opened. It is closed with the file.

    Raises
    ------
    InputFileError
        The file has no such tree, or it cannot be read.
    """
    tree = tree.strip("/")
    key = _key(file, path, tree)
    found = _read(key, path, tree)
    section = f"{_plain_name(tree)};{int(key.fCycle)}"
    reader = NTupleFile if str(key.fClassName) in NTUPLES else TreeFile
    return reader(path, file, found, section)


def _plain_name(tree: str) -> str:
    """Return the name of a tree with its folders, without cycles: the same for all spellings."""
    return "/".join(part.partition(";")[0] for part in tree.split("/") if part)


def open_root(path: str) -> Any:
    """Open a ROOT file, local or remote, without a look at its objects.

    Raises
    ------
    InputFileError
        The file cannot be read.
    """
    import uproot

    place = local_path(path)
    local = "://" not in place
    size = Path(place).stat().st_size if local and Path(place).is_file() else -1
    if size == 0:
        raise InputFileError(path, "the file is empty (0 bytes)", "was it written to the end?", cause="corrupt")
    if size > 0:
        _check_magic(path, Path(place))
    try:
        file = uproot.open({place: None}, array_cache=None, **_handler(place))  # a colon may be in its name
    except InputFileError:
        raise
    except FileNotFoundError:
        raise InputFileError(path, "no such file", cause="not_found") from None
    except PermissionError:
        hint = "check its permissions with `ls -l`"
        raise InputFileError(path, "you may not read it", hint, cause="not_permitted") from None
    except Exception as error:
        message = f"not a readable ROOT file: {summary_of(error)}"
        raise InputFileError(path, message, "is it truncated?", cause="corrupt") from error
    size = file.file.source.num_bytes if is_remote(place) else size
    if 0 <= size < file.file.fEND:
        file.close()
        message = f"the file is truncated: it has {size:,} of {file.file.fEND:,} bytes"
        raise InputFileError(path, message, "copy it again", cause="corrupt")
    return file


def _check_magic(path: str, place: Path) -> None:
    """Refuse a local file that does not begin as a ROOT file does. Files that cannot be opened are left to uproot."""
    try:
        with place.open("rb") as file:
            begin = file.read(4)
    except OSError:
        return
    if begin == b"PAR1":
        raise InputFileError(path, "this is a Parquet file", "write `kind: parquet` in `sources`", cause="corrupt")
    if begin != b"root":
        raise InputFileError(path, "not a ROOT file: it does not begin with `root`", cause="corrupt")


def _handler(path: str) -> dict[str, Any]:
    """Return the options of uproot for a local or a remote file; it knows some more kinds of places itself."""
    import fsspec
    import uproot

    if "://" not in path:
        return {"handler": uproot.MemmapSource}
    if is_remote(path):
        from fasthep_parsl.sources.root_remote import RemoteSource

        return {"handler": RemoteSource}
    scheme = path.partition("://")[0]
    if scheme not in fsspec.available_protocols():
        raise InputFileError(path, f"`{scheme}://` is not supported", suggest(scheme, SCHEMES, what="supported"))
    return {}


def _key(file: Any, path: str, tree: str) -> Any:
    """Return the key of a tree."""
    import uproot

    try:
        key = file.key(tree)
    except uproot.exceptions.KeyInFileError:
        hint = _cycles(file, tree) or suggest(tree, _trees(file), what="trees")
        raise InputFileError(path, f"no tree `{tree}`", hint, key="tree") from None
    except InputFileError:
        raise
    except Exception as error:
        raise _unreadable(path, tree, error) from error
    kind = str(key.fClassName)
    if kind in CLASSES:
        return key
    if kind in ("TDirectory", "TDirectoryFile"):
        folder = tree.partition(";")[0].strip("/")
        inside = [found for found in _trees(file) if found.startswith(f"{folder}/")]
        hint = f"name the tree, too: {listed(inside)}" if inside else "there is no tree in it"
        raise InputFileError(path, f"`{tree}` is a folder, not a tree", hint, key="tree")
    message = f"`{tree}` is a {kind}, not a TTree or RNTuple"
    raise InputFileError(path, message, suggest(tree, _trees(file), what="trees"), key="tree")


def _read(key: Any, path: str, tree: str) -> Any:
    try:
        return key.get()
    except InputFileError:
        raise
    except Exception as error:
        raise _unreadable(path, tree, error) from error


def _unreadable(path: str, tree: str, error: Exception) -> InputFileError:
    message = f"tree `{tree}` cannot be read: {summary_of(error)}"
    return InputFileError(path, message, "is the file truncated, or written by a very old ROOT?", "tree", "corrupt")


def _cycles(file: Any, tree: str) -> str:
    """Return the hint for a cycle that does not exist; empty if there is no tree of this name."""
    name = _plain_name(tree)
    found = sorted(int(key.rpartition(";")[2]) for key in _trees_with_cycles(file) if _plain_name(key) == name)
    if ";" not in tree.rpartition("/")[2] or not found:
        return ""
    listed = " and ".join(map(str, found))
    return f"`{name}` has the cycle{'s' if len(found) > 1 else ''} {listed}; without one, the newest is read"


def _trees(file: Any) -> list[str]:
    """Return the names of all trees in the folders that uproot can read."""
    return list(dict.fromkeys(name.split(";")[0] for name in _trees_with_cycles(file)))


def _trees_with_cycles(file: Any) -> list[str]:
    return [name for name, kind in classes_in(file).items() if kind in CLASSES]


def classes_in(file: Any) -> dict[str, str]:
    """Return name with cycle → class, for the objects in all folders that uproot can read."""
    try:
        return dict(file.classnames())
    except Exception:  # noqa: BLE001  (a folder that uproot cannot read)
        return dict(file.classnames(recursive=False))
