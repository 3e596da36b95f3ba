"""``explain CODE``."""

import pytest

from fasthep_parsl.cli.codes import find_code
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError


@pytest.mark.parametrize(("written", "code"), [("E102", "E102"), ("e102", "E102"), ("102", "E102"), ("[w107]", "W107")])
def test_a_code_is_found_however_it_is_written(written, code):
    assert find_code(written) == code


@pytest.mark.parametrize(("written", "near"), [("E199", "E190"), ("E1020", "E102"), ("W170", "W107")])
def test_an_unknown_code_is_answered_with_those_that_are_near(written, near):
    with pytest.raises(ConfigError) as caught:
        find_code(written)
    assert near in caught.value.problems[0].suggestions


def test_what_has_nothing_to_do_with_codes_is_answered_with_all(capsys):
    assert invoke(["explain", "memory"]) == 2
    error = capsys.readouterr().err
    assert "unknown code `memory`" in error
    assert "E100" in error


@pytest.mark.parametrize("code", CODES)
def test_a_page_has_everything_that_is_known(code, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["explain", code]) == 0
    shown = capsys.readouterr().out
    entry = CODES[code]
    flat = " ".join(shown.split())
    for text in (code, entry.meaning, entry.cause, entry.wrong, entry.right, entry.url):
        assert " ".join(text.split()) in flat
    examples = {line for text in (entry.wrong, entry.right) for line in text.splitlines()}
    assert all(len(line) <= 80 or line.strip() in map(str.strip, examples) for line in shown.splitlines()[:-1])


def test_several_codes_are_explained_once_each(capsys):
    assert invoke(["explain", "E102", "147", "102"]) == 0
    shown = capsys.readouterr().out
    assert [shown.count(f"{code}: ") for code in ("E102", "E147")] == [1, 1]


def test_examples_fit_on_a_screen():
    lines = [line for entry in CODES.values() for text in (entry.wrong, entry.right) for line in text.splitlines()]
    assert max(map(len, lines)) <= 120
