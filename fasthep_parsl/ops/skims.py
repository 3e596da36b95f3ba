"""What `hep.write` has read to write its files: events and sums of generator weights before any selection."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.plan import SumMethod


class SkimBlock(BaseModel):
    """Input that is skimmed together, and the files with what is left of it.

    Attributes
    ----------
    files : tuple of str
        Paths in the manifest; empty if the input had no events.
    events : int
        Events of the input before any selection; -1 if unknown.
    weight : float or None
        Sum of their generator weights; None if it is not known, or if only a part of the block was processed.
    square : float or None
        Sum of the squared weights, if known.
    """

    model_config = ConfigDict(frozen=True)

    files: tuple[str, ...] = ()
    events: int = -1
    weight: float | None = None
    square: float | None = None


class SkimmedDataset(BaseModel):
    """A dataset that was skimmed.

    Attributes
    ----------
    dataset : str
        Its name.
    method, source : str
        Where the sums come from.
    events : int
        Events before any selection, of all blocks; -1 if unknown.
    sum_of_weights : float or None
        Sum of generator weights of these events.
    why : str
        Why it is not known.
    blocks : tuple of SkimBlock
        Its parts.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    method: SumMethod
    source: str = ""
    events: int = -1
    sum_of_weights: float | None = None
    why: str = ""
    blocks: tuple[SkimBlock, ...] = ()


class ListedFile(BaseModel):
    """A file of a manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    dataset: str
    events: int


class SkimManifest(BaseModel):
    """A manifest, as far as a later workflow reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    files: tuple[ListedFile, ...]
    skims: tuple[SkimmedDataset, ...] = ()
    limit: int | None = None
