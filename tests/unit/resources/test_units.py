import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import (
    UnitError,
    describe,
    format_duration,
    format_memory,
    parse_count,
    parse_duration,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("64GB", 64_000_000_000),
        ("4GiB", 4 * 1024**3),
        ("4 gib", 4 * 1024**3),
        ("1.5 GB", 1_500_000_000),
        (".5kB", 500),
        ("1000", 1000),
        (1000, 1000),
        ("2TB", 2 * 10**12),
    ],
)
def test_memory_is_read_in_bytes(text, amount):
    assert parse_memory(text) == amount


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("64G", "did you mean `64GB`?"),
        ("64Gi", "did you mean `64GiB`?"),
        ("64 GX", "units: B"),
        ("lots", "write for example"),
        ("-4GB", "write for example"),
        ("", "write for example"),
        (0, "write for example"),
        (True, "write for example"),
        (None, "write for example"),
        (math.nan, "write for example"),
        (math.inf, "write for example"),
        ([4], "write for example"),
    ],
)
def test_what_is_not_memory_is_refused_with_what_is(text, hint):
    with pytest.raises(UnitError) as caught:
        parse_memory(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("30m", 1800),
        ("30 min", 1800),
        ("1h30m", 5400),
        ("1d 2h", 93600),
        ("45s", 45),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        ("08:00:00", 28800),
        ("48:30:15", 48 * 3600 + 1815),
    ],
)
def test_time_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["30q", "1:30", "soon", "", "-5m", 0, True, None, "1h30", math.inf])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(UnitError):
        parse_duration(text)


@given(st.integers(1, 10**17))
def test_shown_memory_reads_back_to_four_digits(amount):
    assert parse_memory(format_memory(amount)) == pytest.approx(amount, rel=1e-3)


@given(st.integers(1, 10**7))
def test_shown_time_reads_back_exactly(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_read_or_refused_in_words(text):
    for parse in (parse_memory, parse_duration, parse_count):
        with contextlib.suppress(UnitError):
            assert parse(text) is not None


@pytest.mark.parametrize(("value", "number"), [(3, 3), (3.0, 3), ("3", 3), (1e5, 100_000), (2**60 + 1, 2**60 + 1)])
def test_whole_numbers(value, number):
    assert parse_count(value) == number


@pytest.mark.parametrize("value", [True, 2.5, "x", None, [1], math.inf, math.nan])
def test_other_things_are_not_whole_numbers(value):
    with pytest.raises(UnitError, match="expected a whole number"):
        parse_count(value)


def test_values_are_described_in_words():
    assert describe(None) == "nothing"
    assert describe({}) == "a mapping (`key: value`)"
    assert describe([1]) == "a list"
    assert describe(value=False) == "`false`"
    assert describe("x" * 50) == f"text `{'x' * 37}...`"


def test_a_resource_reads_as_a_sentence():
    resource = Resource(cpus=4, memory="64GB", gpus=1, disk="20GB", walltime="8h")
    assert str(resource) == "4 cpus, 64 GB, 1 gpu, 20 GB disk, 8h"
    assert str(Resource()) == "1 cpu, 2 GB"
