"""Defaults take the type that their branch has in the files that have it, or are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fasthep_parsl.compiler.defaults import MisfitError, typed_default
from fasthep_parsl.plan import PlanDefault
from fasthep_parsl.sources.columns import constant


@pytest.mark.parametrize(
    ("value", "dtypes", "kept", "dtype"),
    [
        (0, ["bool"], False, "bool"),
        (1.0, ["bool"], True, "bool"),
        (False, ["uint8"], 0, "uint8"),
        (255, ["uint8"], 255, "uint8"),
        (256, ["uint8"], 256, "int64"),
        (-1, ["uint32"], -1, "int64"),
        (-1, ["int16"], -1, "int16"),
        (3.0, ["int16"], 3, "int16"),
        (2**63, ["uint64"], 2**63, "uint64"),
        (1, ["bool", "uint8"], 1, "uint8"),
        (1, ["int32", "uint8"], 1, "int64"),
        (1, ["float32"], 1.0, "float32"),
        ("1e-3", ["float64"], 0.001, "float64"),
        (0.1, ["float32"], 0.1, "float32"),
        (16777217, ["float32"], 16777217.0, "float64"),
        (1e300, ["float32"], 1e300, "float64"),
        (1, ["float32", "int32"], 1.0, "float64"),
        (math.nan, ["float32"], "nan", "float32"),
        (-math.inf, [], "-inf", "float64"),
        ("none", ["text"], "none", "text"),
        ("none", [], "none", "text"),
        (True, [], True, "bool"),
        (1, [], 1, "int64"),
        (1.0, [], 1.0, "float64"),
    ],
)
def test_the_type_of_the_branch(value, dtypes, kept, dtype):
    found = typed_default(value, dtypes)
    assert (found.value, type(found.value), found.dtype) == (kept, type(kept), dtype)
    assert PlanDefault.model_validate_json(found.model_dump_json()) == found
    column = constant(found.value, found.dtype, 3)
    assert len(column) == 3
    if dtype == "text":
        assert column.to_list() == [value] * 3
    else:
        assert column.dtype == dtype
        assert np.array_equal(column, np.full(3, float(value), dtype), equal_nan=column.dtype.kind == "f")


@pytest.mark.parametrize(
    ("value", "dtypes", "words"),
    [
        (2, ["bool"], "true or false"),
        (0.5, ["bool"], "true or false"),
        (0.5, ["int32"], "whole numbers"),
        (math.nan, ["int32"], "whole numbers"),
        (10**30, ["int32"], "whole numbers of type int32"),
        ("none", ["float32"], "numbers"),
        (0, ["text"], "texts"),
    ],
)
def test_what_the_branch_could_not_have_is_refused(value, dtypes, words):
    with pytest.raises(MisfitError, match=words):
        typed_default(value, dtypes)
