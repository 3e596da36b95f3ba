"""Sources: input formats. What a workflow configures, what a header contains, how columns are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from fasthep_parsl.errors import FastHepError, Hint
from fasthep_parsl.interfaces.ops import Shape

TEXT = "text"
"""`Branch.dtype` of text; numbers have the name of their numpy type."""


InputFault = Literal["", "not_authenticated", "not_permitted", "not_found", "unreachable", "stalled", "corrupt"]
"""Why a file cannot be used, by the server's code; empty if none of these, such as a missing branch.

``not_authenticated``: the server knows no credential of ours. ``not_permitted``: it knows us, and refuses this path.
``unreachable``: no answer, or one that says "later". ``stalled``: the server stopped answering in the middle of a read.
``corrupt``: the content is damaged.
"""


class InputFileError(FastHepError):
    """An input file cannot be used.

    Parameters
    ----------
    path : str
        The file.
    message : str
        What is wrong.
    hint : str or Suggestion
        What to do.
    key : str
        Field of the source that is wrong if all files fail in this way (``tree``, or ``kind``), empty if none is.
    cause : str
        What went wrong, as programs read it; see `InputFault`.
    """

    def __init__(self, path: str, message: str, hint: Hint = "", key: str = "", cause: InputFault = "") -> None:
        super().__init__(path, message, hint, key, cause)
        self.path, self.message, self.hint, self.key = path, message, hint, key
        self.cause: InputFault = cause

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class Branch(NamedTuple):
    """A branch of a file, or a member of one.

    Attributes
    ----------
    shape : tuple of str
        A name for each level of lists. Equal names promise equal lengths; ``*`` promises nothing.
    dtype : str
        Type of the values: numpy's name, or `TEXT`.
    problem, hint : str
        Why the branch cannot be a field, and what to do; empty if it can.
    sure : bool
        Whether structure and type are certain. If not, the compiler reads the first event to confirm them.
    """

    shape: Shape = ()
    dtype: str = ""
    problem: str = ""
    hint: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Branches:
    """The branches of a file.

    Attributes
    ----------
    found : mapping
        Name → branch.
    synonyms : mapping
        Other name → name in `found`.
    """

    found: dict[str, Branch] = field(default_factory=dict)
    synonyms: dict[str, str] = field(default_factory=dict)

    def name_of(self, name: str) -> str:
        """Return the name in `found` for `name`, a synonym or a member of one; `name` itself if it is unknown."""
        head, rest = name, ""
        while name not in self.found and head:
            known = self.synonyms.get(head)
            if known is not None:
                return f"{known}.{rest}" if rest else known
            head, _, last = head.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
        return name


class OpenInput(Protocol):
    """An open input file.

    Attributes
    ----------
    path : str
        Path or URL.
    entries : int
        Number of events.
    section : str
        Name of the part that is read, if a file has several (a tree with its cycle); else empty. Two datasets that
        read the same section of a file would count its events twice.
    uuid : str
        Identity of the content that the file states itself; empty if it states none.
    """

    path: str
    entries: int
    section: str
    uuid: str

    def clusters(self) -> list[int]:
        """Return event numbers at which a read may start without reading data of earlier events; with 0 and the end.

        An empty file has no clusters.
        """

    def branches(self) -> Branches:
        """Return all branches, also those that cannot be read. Reads no event."""

    def has(self, column: str) -> bool:
        """Return whether the file has a branch."""

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Return events [start, stop) of `columns`, and of no other columns.

        Flat numbers are numpy arrays, everything else is an awkward array. Lists with equal lengths should share
        their offsets. Arrays stay valid after `close`.

        Raises
        ------
        InputFileError
            A column is missing, or the file is damaged.
        """

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes that reading events [start, stop) takes, by column."""

    def close(self) -> None:
        """Release the file."""


class Source(Protocol):
    """An input format: a frozen pydantic model. Its fields are the keys of ``sources.<name>`` next to ``kind``.

    The model is created when a workflow is checked and again on workers. Creating it opens nothing, and importing its
    module imports no array library and no reader: commands that only list kinds load it, too. If the model has a
    field ``tree``, a dataset may override it with its own ``tree``.
    """

    fork_safe: ClassVar[bool]
    """Whether a process that has read headers may be forked: the readers start no threads. Workers then start faster."""

    def open(self, path: str) -> OpenInput:
        """Open a file and read its header.

        Raises
        ------
        InputFileError
            The file is missing, damaged, or has another format.
        """
