"""Validate the parameters of a stage. The compiler and the workers do it in the same way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, create_model

from fasthep_parsl.interfaces import FileLookup, Op
from fasthep_parsl.interfaces.file_parameters import LOOKUP, has_files, written


def validate_params(
    op: Op, params: Mapping[str, Any], bound: Collection[str] = (), *, files: FileLookup | None = None
) -> BaseModel:
    """Return the parameters of a stage as its op's model.

    Parameters
    ----------
    op : Op
        The op.
    params : mapping
        The parameters as written.
    bound : collection of str
        Parameters that are products of other stages; None in the result.
    files : FileLookup, optional
        Finds the files that parameters name. The worker does not need the original files.

    Raises
    ------
    pydantic.ValidationError
        The other parameters are wrong.
    """
    given = {key: value for key, value in params.items() if key not in bound}
    context = {LOOKUP: files}
    if has_files(op.params):
        given = written(given)
    if not bound:
        return op.params.model_validate(given, context=context)
    unbound: dict[str, Any] = dict.fromkeys(bound, (Any, None))
    return create_model(op.params.__name__, __base__=op.params, **unbound).model_validate(given, context=context)
