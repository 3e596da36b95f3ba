"""What histograms of several datasets must have in common, so that they can be added."""

from __future__ import annotations

from collections.abc import Hashable

from pydantic import BaseModel

from fasthep_parsl.ops.axes import Axis


def booking_of(params: BaseModel) -> dict[str, Hashable]:
    """Return parameter → its part that decides about axes, bins and storage; empty if the op fills no histogram.

    Parameters
    ----------
    params : BaseModel
        Validated parameters of a stage.
    """
    axes = getattr(params, "axes", None)
    if not isinstance(axes, list | tuple) or not all(isinstance(axis, Axis) for axis in axes):
        return {}
    booked = tuple((axis.name, axis.kind, axis.bins.model_dump_json() if axis.bins else "") for axis in axes)
    return {"axes": booked, "storage": getattr(params, "storage", None)}
