import math
import re
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.errors import OpError
from fasthep_parsl.kernels import CompileTarget, compiling_for, kernel
from fasthep_parsl.kernels import float64 as f8

HERE = Path(__file__).name
TABLE = np.arange(3)


@kernel
def adds_text(i, out):
    x = out[i]
    out[i] = x + "text"


@kernel
def of_two_types(i, out):
    y = 1.0
    if out[i] > 0:
        y = out
    out[i] = y  # 29


@kernel
def misspelt(i, out):
    out[i] = sqrt(out[i])  # noqa: F821


@kernel
def misspelt_attribute(i, out):
    out[i] = math.sqr(out[i])


@kernel
def makes_a_list(i, out):
    x = [out[i]]
    out[i] = x[0]


@kernel
def makes_a_dict(i, out):
    out[i] = {0: 1.0}[i]


@kernel
def names_an_array(i, out):
    out[i] = TABLE[i]


@kernel
def raises(i, out):
    if out[i] < 0:
        raise ValueError
    out[i] = 0.0


@kernel
def appends(i, out):
    out[i] = np.append(out, f8(3))[0]


def helper(x):
    return x.nothing


@kernel
def calls_a_wrong_one(i, out):
    out[i] = helper(out[i])


def lines():
    return Path(__file__).read_text().splitlines()


@pytest.mark.parametrize(
    ("wrong", "line", "reason"),
    [
        (adds_text, 'out[i] = x + "text"', "No implementation of function `add` found .* add\\(float64"),
        (of_two_types, "", "Cannot unify .*float64"),
        (misspelt, "out[i] = sqrt(out[i])  # noqa: F821", "name `sqrt` is not defined"),
        (misspelt_attribute, "out[i] = math.sqr(out[i])", "`math` has no `sqr`: did you mean `sqrt`"),
        (makes_a_list, "x = [out[i]]", "a kernel cannot use a list: a GPU"),
        (makes_a_dict, "out[i] = {0: 1.0}[i]", "a kernel cannot use a dict"),
        (names_an_array, "out[i] = TABLE[i]", "`TABLE` has the type ndarray: .* pass arrays as arguments"),
        (raises, "raise ValueError", "a kernel cannot use `raise`"),
        (calls_a_wrong_one, "return x.nothing", "Unknown attribute 'nothing' of type float64"),
    ],
)
def test_the_message_has_the_line_and_the_reason(wrong, line, reason):
    with compiling_for(CompileTarget("cpu")), pytest.raises(OpError, match=reason) as caught:
        wrong(3, np.ones(3))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 450
    number = int(re.search(rf"{HERE}:(\d+)", message)[1])
    if line:
        assert lines()[number - 1].strip() == line
    assert "kernels" not in message.replace(HERE, "")  # no generated file, no path


def test_a_kernel_needs_a_file():
    names = {}
    exec("def made(i, out):\n    out[i] = 1.0\n", names)
    with pytest.raises(OpError, match="kernel `made` must be defined in a file"):
        kernel(names["made"])(1, np.ones(1))


@kernel
def has_a_default(i, out, scale=1.0):
    out[i] = scale


def test_a_kernel_is_a_plain_function():
    with pytest.raises(OpError, match="positional parameters only"):
        has_a_default(1, np.ones(1))
    nameless = kernel(lambda i, out: None)
    with pytest.raises(OpError, match=r"`def` of its own"):
        nameless(1, np.ones(1))


@kernel
def totals(i, offsets, x, out):
    start, stop = offsets[i], offsets[i + 1]
    total = 0.0
    for a in range(start, stop):
        total += f8(x[a])
    out[i] = total


O, X, OUT = np.array([0, 2, 5]), np.ones(5), np.zeros(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, O, X), r"kernel `totals\(events, offsets, x, out\)` was called with 3 arguments"),
        ((-1, O, X, OUT), "the number of events is -1"),
        ((2.0, O, X, OUT), "the number of events is 2.0"),
        ((2, O[:2], X, OUT), "`offsets` has 2 entries, 3 needed for 2 events"),
        ((2, O, X, OUT[:1]), "`out` has 1 entries, for 2 events"),
        ((2, O, X[:4], OUT), "`x` has 4 entries, the lists of `offsets` end at 5"),
        ((2, O, 1.0, OUT), "`x` has no entries"),
        ((2, 3, X, OUT), "`offsets` is a number, but the kernel needs an array"),
        ((2, O, X, 1.0), "`out` is written to: it must be an array"),
        ((2, O, X, np.zeros(4)[::2]), "`out` is written to: it must be contiguous"),
        ((2, O, [1.0], OUT), "`x` has the type list: pass offsets and flat arrays"),
        ((2, O, ak.Array([[1.0, 2.0], [3.0, 4.0, 5.0]]), OUT), "`x` has the type Array: .* `lists`"),
        ((2, O, X.astype(np.float16), OUT), "`x` is an array of float16"),
        ((2, O, np.array(["a"] * 5), OUT), "`x` is an array of <U1"),
        ((2, O, X.astype(complex), OUT), "`x` is an array of complex128"),
    ],
)
def test_wrong_arguments(arguments, message):
    with compiling_for(CompileTarget("cpu")), pytest.raises(OpError, match=message):
        totals(*arguments)


@kernel(reference=lambda events, x, out: np.copyto(out, x))
def copied(i, x, out):
    out[i] = x[i]


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((X, X, OUT), {}, "the number of events is of type ndarray"),
        ((X, OUT), {}, "was called with 2 arguments"),
        ((), {}, "was called with 0 arguments"),
        ((2,), {"x": X, "out": OUT}, "`x=` is a keyword argument: pass all arguments in this order"),
        ((2, X), {"out": OUT}, "`out=` is a keyword argument"),
        ((2, X, X, OUT), {}, "was called with 4 arguments"),
    ],
)
@pytest.mark.parametrize("target", [None, CompileTarget("cpu")])
def test_calls_that_do_not_fit(arguments, named, message, target):
    with compiling_for(target), pytest.raises(OpError) as failure:
        copied(*arguments, **named)
    assert "kernel `copied(events, x, out)`" in str(failure.value)
    assert message in str(failure.value)


def test_a_read_only_result():
    out = np.zeros(2)
    out.flags.writeable = False
    with pytest.raises(OpError, match="`out` is written to"):
        totals(2, O, X, out)
