"""How times, sizes and names are written."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from fasthep_parsl.strategies.formats import Directives, clock, mebibytes, quote_by_choice, short_name
from fasthep_parsl.strategies.htcondor import HTCondor


def test_times_never_pass_a_limit():
    found = [clock(s) for s in (0.2, 59.9, 60, 3600, 86_400 + 61, 7 * 86_400)]
    assert found == ["00:00:01", "00:00:59", "00:01:00", "01:00:00", "24:01:01", "168:00:00"]


def test_memory_of_a_whole_node_fits():
    assert [mebibytes(size) for size in (1, 1 << 20, (1 << 30) - 1, 1 << 30)] == [1, 1, 1023, 1024]


def test_names():
    assert short_name("dimuon run/3.cpu é", 15) == "dimuon-run-3.cp"
    assert short_name("3.cpu", 15) == "p3.cpu"
    assert short_name("a--------------b", 15) == "a"
    assert short_name("…", 15) == "p"


def test_paths():
    assert quote_by_choice("/a/b_1.out") == "/a/b_1.out"
    assert quote_by_choice("/a b") == "'/a b'"
    assert quote_by_choice("/it's") == '"/it\'s"'


@pytest.mark.parametrize("line", ["--x=1", "-C nvme", "#SBATCH --x", "#PBS -l a=b", "# a comment"])
def test_directives_are_options(line):
    assert TypeAdapter(Directives).validate_python(line) == (line,)


@pytest.mark.parametrize("line", ["export A=1", "module load x", "#SBATCH", "", "#!/bin/sh", "--x\ny", None.__class__])
def test_a_directive_that_would_end_all_directives_is_refused(line):
    with pytest.raises(ValidationError):
        TypeAdapter(Directives).validate_python([line])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requirements", "true\nqueue 1000"),
        ("requirements", "true \\"),
        ("accounting_group", "a\x1b"),
        ("walltime_attribute", "a = 1, b"),
        ("queue_attribute", "+q ="),
        ("directives", ["a = b \\"]),
        ("container_image", "x.sif\\"),
    ],
)
def test_a_value_is_one_line_of_a_submit_file(field, value):
    with pytest.raises(ValidationError):
        HTCondor(**{field: value})
