"""Names that become files: what may, what all others become, and that two never become one without a word."""

import codecs
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fasthep_parsl import op
from fasthep_parsl.cli.console import without_control
from fasthep_parsl.cli.process import ENCODING_ERRORS, _replace
from fasthep_parsl.names import LONGEST, LONGEST_FILE, collision_key, file_name, wrong_with
from fasthep_parsl.workflow.values import Line, Name, Text

BAD = [
    "",
    ".",
    "..",
    ".x",
    "../../x",
    "/abs",
    "a/b",
    "a\nb",
    "a\n",
    "a b",
    "a;1",
    "a:b",
    "\x1b[31m",
    "ä\u0301/",
    "x" * 101,
]
GOOD = ["a", "2018", "Mass_2.5-GeV", "-x", "größe", "x" * LONGEST]


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_file(name):
    assert wrong_with(name)
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name if name != "a\n" else "a\nb")


@pytest.mark.parametrize("name", GOOD)
def test_what_can(name):
    assert wrong_with(name) == ""
    assert TypeAdapter(Name).validate_python(name) == name
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("/SingleMuon/Run2018A-UL/NANOAOD", "SingleMuon_Run2018A-UL_NANOAOD"),
        ("DY/NLO", "DY_NLO"),
        ("../../etc", "_._.._etc"),
        ("tt;1", "tt_1"),
        ("Z → ll: 50 GeV", "Z_ll_50_GeV"),
        ("\x1b[31m", "_31m"),
    ],
)
def test_files_of_datasets(text, file):
    assert file_name(text) == file


@pytest.mark.slow
@given(st.text(max_size=400))
def test_every_text_has_a_name_that_is_one_part_of_a_path(text):
    name = file_name(text)
    assert re.fullmatch(r"[\w-][\w.-]*", name)
    assert len(name.encode()) <= LONGEST_FILE


def test_what_looks_equal_is_equal():
    composed, apart = unicodedata.normalize("NFC", "größe"), unicodedata.normalize("NFD", "größe")
    assert composed != apart
    assert file_name(composed) == file_name(apart)
    assert TypeAdapter(Name).validate_python(apart) == composed
    assert collision_key("DY") == collision_key("dy")
    assert collision_key("DY/NLO") == collision_key("dy_nlo") != collision_key("DY")


def test_long_names_stay_different():
    one, two = (f"/{'x' * 300}{end}/NANOAOD" for end in "ab")
    assert file_name(one) != file_name(two)


@pytest.mark.parametrize("value", ["a\nb", "a\r\nb", "a\u2028b", "a\x0bb"])
def test_a_line_is_one_line(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Line).validate_python(value)


def test_text_has_no_control_characters():
    assert TypeAdapter(Text).validate_python("for x in 1 2\n\tdo echo\n") == "for x in 1 2\n\tdo echo"
    for char in "\x00\x1b\x07\x7f\x9b":
        with pytest.raises(ValidationError, match="control character"):
            TypeAdapter(Text).validate_python(f"a{char}b")


def test_ops_are_named_so_too():
    with pytest.raises(TypeError, match="cannot be its name"):
        op("x/y")(lambda events: events)
    with pytest.raises(TypeError, match="cannot be its product"):
        op("x.y", product="../p", merge=max)(lambda events: events)


def test_streams_without_unicode_keep_the_width_of_bars():
    codecs.register_error(ENCODING_ERRORS, _replace)
    assert "a…b → c ≤ d · 数".encode("ascii", ENCODING_ERRORS) == b"a~b -> c <= d - ?"
    assert len("…".encode("ascii", ENCODING_ERRORS)) == 1, "a line that fits must still fit"
    assert without_control("a\x1b[31mb\tc\nd\x9b\u202e") == "a�[31mb\tc\nd��"
