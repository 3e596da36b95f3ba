import io

import pytest
from rich.console import Console

from fasthep_parsl.cli.problems import layout, render
from fasthep_parsl.errors import ConfigError, Location, Problem, suggest
from fasthep_parsl.workflow.loader import load_workflow


def shown(*problems, width=100):
    out = io.StringIO()
    render(problems, Console(file=out, width=width))
    return out.getvalue()


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A problem in a file of one line, or at a place in a text."""
    monkeypatch.chdir(tmp_path)

    def make(text, column, length=1, line=1, **fields):
        (tmp_path / "w.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return Problem("E102", "wrong", where=Location("w.yaml", line, column, length), **fields)

    return make


def test_the_layout(at):
    text = "execution:\n  pools:\n    default:\n      resources: {cpus: 1, memroy: 4GB}\n"
    hint = suggest("memroy", ["memory", "cpus"], what="allowed", complete=True)
    problem = at(text, 28, 6, 4, key="execution.pools.default", hint=hint)
    assert (
        shown(problem)
        == """\
error[E102]: wrong
  --> w.yaml:4:28  (execution.pools.default)
  |
4 |       resources: {cpus: 1, memroy: 4GB}
  |                            ^^^^^^ did you mean `memory`?
  = allowed: cpus, memory
1 error; nothing was started.
for more: fasthep-parsl explain E102
"""
    )


def test_many_mistakes_of_a_real_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text(
        "data: {datasets: [{name: dy, files: [a.root]}]}\n"
        "sources: {events: {kind: root_tree, treee: Events}}\n"
        "analysis:\n  stages:\n    - {id: A, op: hep.define, execution: {timeout: soon}}\n"
        "exection: {}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_workflow("w.yaml", overrides=["pools.gpu.workers=many"])
    assert (
        shown(*caught.value.problems)
        == """\
error[E105]: `workers`: expected a whole number, got text `many`
  --> command line  (execution.pools.gpu.workers)
  |
  | --set pools.gpu.workers=many
  |                         ^^^^
  = write a number of workers, or `auto` for as many as fit
error[E102]: unknown key `treee` in `sources.events`
  --> w.yaml:2:37  (sources.events.treee)
  |
2 | sources: {events: {kind: root_tree, treee: Events}}
  |                                     ^^^^^ did you mean `tree`?
  = allowed: files, kind, stream_type, tree
error[E105]: `timeout`: `soon` is not a time
  --> w.yaml:5:52  (analysis.stages[0].execution.timeout)
  |
5 |     - {id: A, op: hep.define, execution: {timeout: soon}}
  |                                                    ^^^^
  = write for example `30m`, `2h`, `1h30m` or a number of seconds
error[E102]: unknown key `exection`
  --> w.yaml:6:1  (exection)
  |
6 | exection: {}
  | ^^^^^^^^ did you mean `execution`?
  = allowed: analysis, data, execution, fields, include, joins, primary_stream, sources, styles,
    systematics, use, version
4 errors; nothing was started.
for more: fasthep-parsl explain E105 E102
"""
    )


def test_warnings_are_not_counted(at):
    warning = Problem("W107", "no effect")
    assert shown(warning) == "warning[W107]: no effect\n"
    assert shown(warning, Problem("E143", "bad"), Problem("E143", "bad")).endswith(
        "2 errors; nothing was started.\nfor more: fasthep-parsl explain E143\n"
    )


def under(lines):
    """Return what the caret underlines."""
    source, caret = lines[3], lines[4]
    first = caret.index("^")
    return source[first : caret.rindex("^") + 1]


@pytest.mark.parametrize(
    ("text", "column", "length", "marked"),
    [
        ("a: 1\r\nb: wrong\r\n", 4, 5, "wrong"),
        ("a: 1\n\t\tb: wrong\n", 6, 5, "wrong"),
        ("a: 1\nµ²é: wrong # – \n", 6, 5, "wrong"),
        (b"a: 1\n\xff\xfe: wrong\n", 5, 5, "wrong"),
        ("a: 1\n" + "k: v, " * 100 + "wrong" + ", k: v" * 100, 601, 5, "wrong"),
        ("a: 1\nwrong" + "x" * 500, 1, 5, "wrong"),
        ("a: 1\n" + "x" * 500 + "wrong", 501, 5, "wrong"),
        ("a: 1\nb: [bold red]wrong[/]", 14, 5, "wrong"),
        ("a: 1\nx\x1b[31m: wrong", 9, 5, "wrong"),
    ],
)
def test_the_caret_is_under_what_is_wrong(at, text, column, length, marked):
    lines = shown(at(text, column, length, 2)).splitlines()
    assert under(lines) == marked
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in "".join(lines)


def test_wide_characters_take_two_cells(at):
    lines = shown(at("a: 1\n名前: wrong", 5, 5, 2)).splitlines()
    assert lines[4].index("^") == lines[3].index("wrong") + 2


def test_markup_in_names_stays_text(at):
    problem = Problem("E121", "stage `[bold]x[/bold]` [red]", hint="[link=x]")
    assert shown(problem).splitlines() == [
        "error[E121]: stage `[bold]x[/bold]` [red]",
        "  = [link=x]",
        "1 error; nothing was started.",
        "for more: fasthep-parsl explain E121",
    ]


def test_what_cannot_be_shown_is_left_out(tmp_path):
    assert len(layout(Problem("E100", "gone", where=Location(str(tmp_path / "no.yaml"), 3, 1)))) == 2
    assert len(layout(Problem("E100", "nowhere", key="a.b"))) == 2


def test_a_place_beyond_the_end_is_shown_at_the_end(at):
    lines = shown(at("abc", 50, 4)).splitlines()
    assert lines[4].count("^") == 1


@pytest.mark.parametrize("width", [60, 100])
def test_never_more_than_eight_lines(at, width):
    problem = at(
        "x: " + "y" * 300,
        4,
        300,
        key="a.b",
        hint="did you mean `x`?; allowed: " + ", ".join(f"word{n}" for n in range(200)),
    )
    lines = [line.plain for line in layout(problem, width)]
    assert len(lines) <= 8
    assert max(map(len, lines)) <= width
    assert lines[-1].endswith("…")


def test_colours_only_on_a_terminal(at):
    problem = at("a: 1", 1)
    out = io.StringIO()
    render([problem], Console(file=out, force_terminal=True, width=80))
    assert "\x1b[" in out.getvalue()
    assert "\x1b[" not in shown(problem)


def test_two_letters_in_the_wrong_order_are_close():
    assert suggest("rs", ["sr", "cr", "all"]).close == ("sr",)
