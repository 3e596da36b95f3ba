"""Which branches make a good first histogram: names that physicists use, one value or list per event, numbers."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fasthep_parsl.interfaces import TEXT, Branch

COLLECTIONS = ("muon", "mu", "electron", "ele", "jet", "tau", "photon", "fatjet")
QUANTITIES = (("pt",), ("mass", "m"), ("met", "ht", "energy", "e", "et"), ("px", "py", "pz", "eta", "phi"))
"""Names of quantities, the best first."""
DULL = {
    "run",
    "lumi",
    "luminosityblock",
    "event",
    "eventnumber",
    "runnumber",
    "entry",
    "index",
    "idx",
    "id",
    "weight",
    "charge",
    "q",
}
"""Names of branches whose histogram says little."""
UNITS = {"pt": "GeV", "mass": "GeV", "phi": "rad"}
"""Unit of a quantity in NanoAOD."""
NANOAOD = {"run", "luminosityBlock", "event"}
SIMULATED = ("genWeight", "Generator_weight", "GenPart_pt", "nGenPart")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A branch that can be filled into a histogram.

    Attributes
    ----------
    branch : str
        Its name in the file.
    field : str
        Its name in expressions.
    info : Branch
        Its structure and type.
    """

    branch: str
    field: str
    info: Branch

    @property
    def is_text(self) -> bool:
        """Whether its values are text."""
        return self.info.dtype == TEXT

    @property
    def is_bool(self) -> bool:
        """Whether its values are true or false."""
        return self.info.dtype == "bool"

    @property
    def renamed(self) -> bool:
        """Whether its name cannot be one in an expression."""
        return self.branch != self.field

    @property
    def quantity(self) -> str:
        """Last part of its name without digits, in lower case: ``pt``."""
        return re.split(r"[_.\s/-]", self.branch)[-1].strip("0123456789").lower()


def candidates(branches: Mapping[str, Branch]) -> list[Candidate]:
    """Return the branches that can be used, the best for a histogram first.

    A name that is not valid in an expression gets another one.
    """
    taken = {name for name in branches if is_plain(name)}
    found = []
    for name, info in branches.items():
        if info.problem:
            continue
        field = name if is_plain(name) else _free(clean(name), taken)
        taken.add(field)
        found.append(Candidate(name, field, info))
    nano = is_nanoaod(branches)
    return sorted(found, key=lambda item: _rank(item, nano))


def is_nanoaod(branches: Iterable[str]) -> bool:
    """Return whether branches have the names of NanoAOD."""
    return set(branches) >= NANOAOD


def is_plain(name: str) -> bool:
    """Return whether a branch can be named in an expression as it is."""
    parts = name.split(".")
    return bool(_PLAIN.fullmatch(name)) and parts[0] != "dataset" and not any(map(keyword.iskeyword, parts))


def clean(name: str) -> str:
    """Return a name that is valid in expressions, as an id and as the name of an axis."""
    found = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:60] or "x"
    return found if found[0].isalpha() and not keyword.iskeyword(found) and found != "dataset" else f"x_{found}"


def _free(name: str, taken: set[str]) -> str:
    return next(new for new in (name, *(f"{name}_{number}" for number in range(2, 100_000))) if new not in taken)


def _rank(item: Candidate, nano: bool) -> tuple[int, ...]:
    head = re.split(r"[_.]", item.branch)[0].lower()
    collection = COLLECTIONS.index(head) if head in COLLECTIONS else len(COLLECTIONS)
    quantity = next((n for n, names in enumerate(QUANTITIES) if item.quantity in names), len(QUANTITIES))
    kind = 3 if item.is_text else 2 if item.is_bool else 0 if item.info.dtype.startswith("float") else 1
    dull = (
        item.branch.lower() in DULL or item.quantity in DULL or (nano and re.match(r"n[A-Z]", item.branch) is not None)
    )
    depth = max(len(item.info.shape) - 1, 0)
    first = (collection, quantity) if nano else (quantity, collection)
    return (kind > 1, depth, dull, *first, kind)
