import os
import time

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.numbers import number
from fasthep_parsl.workflow.parse import load_file, parse
from fasthep_parsl.workflow.yamldoc import walk


def complaint(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml", "workflow")
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: b: c", "1:5", "a `:` that"),
        ("a:\n\t- b", "2:1", "a tab"),
        ("a:\n  b: 1\n\tc: 2", "3:1", "a tab"),
        ("a: [1, 2\nb: 3", "2:2", "expected `,` or `]`"),
        ("- a", "1:1", "found a list"),
        ("foo", "1:1", "found plain text"),
        ("", "1:1", "is empty"),
        ("# only a comment\n", "1:1", "is empty"),
        ("a: 1\nb: *c", "2:4", "undefined alias `c`"),
        ("a: &a [*a]", "1:4", "contains itself"),
        ('x: "abc', "1:8", "ends too early"),
        ("a:\n  b: 1\n c: 2", "3:2", "indentation differs"),
        ("a: @x", "1:4", "cannot begin a value"),
        ("{[1]: 2}", "1:2", "a key must be text"),
        ("a: !foo 1", "1:4", "unknown tag `!foo`"),
        ("a: !!python/object:os.system {}", "1:4", "unknown tag `!!python/object:os.system`"),
        ("a: 1\nb\nc: 2", "3:1", "expected `key: value`"),
        ("a: \x00", "1:4", "does not allow"),
        ("a: 1\n---\nb: 2", "2:1", "a second document"),
        ("a: 1\nb: 2\na: 3", "3:1", "key `a` is twice in one mapping (first in line 1)"),
        ("<<: 3", "1:5", "`<<` needs a mapping"),
    ],
)
def test_every_mistake_in_yaml_has_a_place_and_plain_words(text, place, message):
    problem = complaint(text)
    assert message in problem.message
    assert str(problem.where) == f"f.yaml:{place}"
    assert problem.code == ("E103" if "twice" in message else "E101")


def test_all_keys_that_stand_twice_are_shown():
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}", "f.yaml", "workflow")
    assert [str(p.where) for p in caught.value.problems] == ["f.yaml:2:1", "f.yaml:3:11"]


def test_numbers_follow_yaml_1_2():
    found = parse("{a: 1e5, b: 010, c: 2:00:00, d: 2024-01-01, e: 100_000, f: 6.e-3, g: 0x10, h: .inf}", "f", "w").data
    assert found == {
        "a": 1e5, "b": 10, "c": "2:00:00", "d": "2024-01-01", "e": 100_000, "f": 0.006, "g": 16, "h": float("inf"),
    }  # fmt: skip
    assert parse("{a: '1e5', b: ~, c: yes, d: , e: \"2\", f: null}", "f", "w").data == {
        "a": "1e5", "b": None, "c": True, "d": None, "e": "2", "f": None,
    }  # fmt: skip
    assert parse("{1: x, no: y}", "f", "w").data == {"1": "x", "no": "y"}


@pytest.mark.parametrize("text", ["1.2.3", "e5", "1e", "-", "+", ".", "_1", "v1", "1-2"])
def test_text_that_looks_like_a_number_stays_text(text):
    assert number(text) == text


def test_anchors_and_merge_keys():
    document = parse("a: &x {p: 1, q: 2}\nb: {<<: *x, p: 3}\nc: {<<: [{q: 9}, *x]}\nd: *x\n", "f", "w")
    assert document.data["b"] == {"p": 3, "q": 2}
    assert document.data["c"] == {"p": 1, "q": 9}
    assert document.data["d"] == {"p": 1, "q": 2}
    assert str(document.marks.key(("b", "p"))) == "f:2:13"
    assert str(document.marks.key(("b", "q"))) == "f:1:14"


def test_marks_underline_what_stands_there():
    document = parse('top:\n  list: [one, "two words"]\n  block:\n    - x\n', "f", "w")
    assert document.marks.value(("top", "list", 1)).length == len('"two words"')
    assert document.marks.key(("top", "list")).length == 4
    assert str(document.marks.value(("top", "block"))) == "f:3:3"  # a block is shown at its key
    assert str(document.marks.value(("top", "nothing", "below"))) == "f:1:1"


def bomb(levels, item):
    lines = [f"a0: &a0 {item}"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)])


@pytest.mark.parametrize("item", ["[x, x]", "{k: x}", "{<<: {k: x}}"])
def test_aliases_of_aliases_do_not_eat_the_memory(item):
    began = time.process_time()
    assert "add more than 100,000 values" in complaint(bomb(30, item)).message
    assert time.process_time() - began < 1
    assert len(list(walk(parse(bomb(4, item), "f", "w").root))) > 800


def test_aliases_within_aliases_do_not_nest_without_end():
    lines = "\n".join(["a0: &a0 {k: 1}", *(f"a{n}: &a{n} {{k: *a{n - 1}}}" for n in range(1, 300))])
    assert complaint(lines).message == "nested too deeply"
    assert parse("\n".join(lines.split("\n")[:90]), "f", "w").data["a89"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("9" * 5000, "E105"), ("0x" + "f" * 5000, "E105"), ("-" + "1" * 301, "E105"), ("1e999", "E105"), ("-1e400", "E105"),
     ("1e-999", "E105"), ("1." + "0" * 400, None), ("9" * 300, None), (".inf", None), ("0e-999", None), ("1e308", None)],
)  # fmt: skip
def test_numbers_that_a_computer_does_not_have(text, code):
    if code is None:
        assert isinstance(parse(f"a: {text}", "f", "w").data["a"], int | float)
        assert parse(f"a: '{text}'", "f", "w").data["a"] == text
    else:
        assert complaint(f"a: {text}").code == code
        assert len(complaint(f"a: {text}").message) < 80


@pytest.mark.parametrize("text", [r'a: "\0"', r'a: "x\e[31m"', r'"\b": 1', r'a: ["\x9b"]', r'"a\nb": 1'])
def test_control_characters(text):
    assert "control character" in complaint(text).message
    assert complaint(text).message.isprintable()


@pytest.mark.slow
def test_deep_nesting_is_refused_in_words():
    assert "nested too deeply" in complaint("a: " + "[" * 5000 + "]" * 5000).message


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "analysis.yaml").write_text("a: 1")
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    for name, text in [("analysis.yml", "did you mean `analysis.yaml`?"), ("no/x.yaml", "no folder")]:
        with pytest.raises(ConfigError) as caught:
            load_file(tmp_path / name, "workflow")
        assert text in str(caught.value)
    with pytest.raises(ConfigError, match="is a folder"):
        load_file(tmp_path, "workflow")
    with pytest.raises(ConfigError, match=r"latin.yaml:2:7.*not UTF-8"):
        load_file(tmp_path / "latin.yaml", "workflow")


def test_what_never_ends_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(10**12)
    for name, said in [("pipe.yaml", "is a pipe"), ("/dev/zero", "a device"), ("large.yaml", "1,000,000 MB")]:
        with pytest.raises(ConfigError, match=said):
            load_file(tmp_path / name, "workflow")
        (tmp_path / "w.yaml").write_text(f"a: 1\ninclude: [{tmp_path / name}]\n")
        with pytest.raises(ConfigError, match=said) as caught:
            load_document(tmp_path / "w.yaml")
        assert caught.value.problems[0].where.line == 2


def test_files_that_include_more_and_more(tmp_path):
    for place in range(12):
        others = ", ".join([f"{place + 1}.yaml"] * 9) if place < 11 else ""
        (tmp_path / f"{place}.yaml").write_text(f"include: [{others}]\na: {place}\n")
    with pytest.raises(ConfigError, match="more than 1000 included files") as caught:
        load_document(tmp_path / "0.yaml")
    assert len(caught.value.problems) == 1
    for place in range(100):
        (tmp_path / f"{place}.yaml").write_text(f"include: {place + 1}.yaml\na: {place}\n")
    with pytest.raises(ConfigError, match="more than 50 levels"):
        load_document(tmp_path / "0.yaml")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = load_file(path, "workflow")
    assert document.data == {"a": 1, "b": 2}
    assert document.marks.key(("b",)).line == 2
