"""Every block of code of the documentation is run, validated, or says in the source of the page why not.

``<!-- not run: reason -->`` is the line before such a block. Blocks of YAML are validated in `test_yaml_blocks`, and all
code of the pages in `test_page_code` is run. Here commands and Python code of all other pages are validated.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

import pytest
import typer

import page_code

ROOT = page_code.ROOT
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
NOT_RUN = 6
"""Number of blocks with a reason. It can only fall."""

OTHER_LANGUAGES = {"text", "yaml", "toml"}
"""Output of programs, and languages that other tests read."""

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n\n?)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_STOP = {"|", "||", "&&", ";", ">"}


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, text: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start("language")) + 1, found["language"], found["code"],
              found["reason"] or "")
        for found in _BLOCK.finditer(text)
    ]  # fmt: skip


BLOCKS = [block for page in PAGES for block in blocks_of(page, page.read_text())]
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.reason]
COMMANDS = [block for block in BLOCKS if block.language in {"console", "bash", "sh"} and not block.reason]


def programs(line: str) -> list[list[str]]:
    """Return the programs of a line of shell with their arguments, without assignments."""
    found: list[list[str]] = [[]]
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    for word in lexer:
        if word in _STOP:
            found.append([])
        elif found[-1] or not re.match(r"\w+=", word):
            found[-1].append(word)
    return [words for words in found if words]


def mistake_of(words: list[str], known: set[str]) -> str:
    """Return what is wrong with a program and its arguments; empty if it can be run."""
    name, *arguments = words
    if name == "fasthep-parsl":
        return mistake_of_options(arguments)
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        wrong = [word for word in arguments if not word.startswith("--") and "=" not in word and word not in targets]
        return f"no target {wrong}" if wrong else ""
    if name == "python" and arguments[0].endswith(".py"):
        return "" if arguments[0] in known or (ROOT / arguments[0]).exists() else f"no file {arguments[0]}"
    if name == "pip" and arguments[0] == "install":
        return "" if re.match(r"fasthep-parsl\b", arguments[-1]) else f"`{arguments[-1]}` is another package"
    return "" if name == "cd" or words == [".", ".venv/bin/activate"] else f"`{name}` is not run by a test"


def mistake_of_options(arguments: list[str]) -> str:
    """Return the message for a subcommand or an option of the command line that does not exist."""
    from fasthep_parsl.cli.app import app

    command, context = typer.main.get_command(app), None
    try:
        while True:
            context = command.context_class(command, parent=context, info_name=command.name)
            context.allow_interspersed_args = command.allow_interspersed_args
            _, rest, _ = command.make_parser(context).parse_args(list(arguments))
            if not hasattr(command, "resolve_command"):
                return ""
            _, command, arguments = command.resolve_command(context, rest)
    except Exception as error:  # click, or the copy of it in typer
        if not hasattr(error, "format_message"):
            raise
        return error.format_message()


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_exist_and_have_these_options(block):
    if block.page.parent == page_code.HOW_TO and block.page.stem in page_code.RUN_PAGES:
        return  # they are run
    lines = [line.removeprefix("$ ") for line in block.code.splitlines() if line.startswith("$ ")]
    if block.language != "console":
        lines = [line for line in block.code.splitlines() if line and not line.startswith("#")]
    assert lines, "a block of console needs a command: `$ …`; output alone is `text`"
    wrong = {line: mistake_of(words, set()) for line in lines for words in programs(line)}
    assert {line: text for line, text in wrong.items() if text} == {}


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_code_compiles_and_its_imports_exist(block):
    own = set(re.findall(r"^# ([\w/]+)\.py", block.page.read_text(), re.MULTILINE))
    for node in ast.walk(ast.parse(block.code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module.startswith("fasthep_parsl"):
                for alias in node.names:
                    resolve_name(f"{node.module}:{alias.name}")
        for name in names:
            if not {path.partition("/")[0] for path in own} & {name.partition(".")[0]}:
                assert importlib.util.find_spec(name.partition(".")[0]), name


def test_every_language_is_known():
    known = OTHER_LANGUAGES | {"python", "console", "bash", "sh"}
    assert [str(block) for block in BLOCKS if block.language not in known and not block.reason] == []


def test_named_files_of_yaml_are_run():
    """`test_yaml_blocks` leaves blocks with the name of a file to `test_page_code`."""
    named = [block for block in BLOCKS if block.language == "yaml" and re.match(r"# [\w/]+\.yaml\b", block.code)]
    assert {block.page.stem for block in named if not block.reason} <= {*page_code.RUN_PAGES, "own-kernels", "fit"}


def test_fewer_and_fewer_blocks_are_not_run():
    reasons = [f"{block}: {block.reason}" for block in BLOCKS if block.reason]
    assert len(reasons) == NOT_RUN, "\n".join(reasons)


def test_mistakes_are_found():
    assert mistake_of(programs("fasthep-parsl rum x")[0], set())
    assert "--sites" in mistake_of(programs("fasthep-parsl run x.yaml --sites local")[0], set())
    assert not mistake_of(programs("fasthep-parsl run x.yaml --site local --set 'a=[b, c]'  # text")[0], set())
    assert mistake_of(["make", "everything"], set()) == "no target ['everything']"
    assert programs("A=1 make venv && fasthep-parsl ops list") == [["make", "venv"], ["fasthep-parsl", "ops", "list"]]
    (block,) = blocks_of(ROOT / "README.md", "x\n\n<!-- not run: why -->\n\n```cpp\nint i;\n```\n")
    assert (block.language, block.reason, block.line) == ("cpp", "why", 5)
