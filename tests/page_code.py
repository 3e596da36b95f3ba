"""Code of a documentation page: its files, its commands, and an installation of the package that it describes.

A block of code is a file if its first line is a comment with the name of the file. Blocks with the same name are joined.
Lines of a console block that begin with ``$`` are commands, and the others are their output.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOW_TO = ROOT / "docs" / "how-to"
RUN_PAGES = [
    "certified-data",
    "corrections",
    "files-of-ops",
    "from-coffea",
    "from-root",
    "inference",
    "normalise",
    "several-trees",
    "start-from-a-file",
    *sorted(path.stem for path in HOW_TO.glob("add-*.md")),
]
"""How-to pages all of whose code is run."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w./-]+\.(?:py|yaml|toml|sh))(?: \(continued\))?\n")
_NOT_HERE = ("pip ", "make ", "pytest ", ".venv/bin/pytest ", "FASTHEP_EXAMPLES")
"""Commands that other tests run, or that need a network."""


@dataclass
class Page:
    """The code of one page."""

    path: Path
    files: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[str, list[str]]] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write the files to `folder`, and install the package that they describe, if any. Return `folder`."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for package in {Path(name).parts[0] for name in self.files if name.endswith(".py") and "/" in name}:
            (folder / package / "__init__.py").touch()
        if "pyproject.toml" in self.files:
            install(folder, self.files["pyproject.toml"])
        return folder

    def run(self, folder: Path) -> list[tuple[str, str, list[str]]]:
        """Run the commands in `folder`; return (command, output, lines that the page shows) of each."""
        done = []
        for command, shown in self.commands:
            if not command.startswith(_NOT_HERE) and "--live" not in command:
                done.append((command, shell(command, folder), shown))
        return done


def read(name: str) -> Page:
    """Return the code of a how-to page."""
    page = Page(HOW_TO / f"{name}.md")
    for language, text in _BLOCK.findall(page.path.read_text()):
        if language == "console":
            for line in text.splitlines():
                if line.startswith("$ "):
                    page.commands.append((line[2:].partition("  #")[0].rstrip(), []))
                else:
                    page.commands[-1][1].append(line)
        elif language in {"python", "yaml", "toml", "bash"}:
            named = _NAME.match(text)
            if named is None:
                page.nameless.append(text)
            else:
                page.files[named[1]] = page.files.get(named[1], "") + text
    return page


def install(folder: Path, pyproject: str) -> None:
    """Write to `folder` what pip would write for `pyproject`: names, version, entry points and the list of files."""
    project = tomllib.loads(pyproject)["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project.get("entry-points", {})
    lines = [f"[{group}]\n" + "".join(f"{n} = {o}\n" for n, o in points.items()) for group, points in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    modules = [path.relative_to(folder) for path in folder.glob("*/*.py")]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in modules))


def environment(*installed: Path) -> dict[str, str]:
    """Return environment variables for processes that find the packages in `installed`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": ":".join(map(str, installed)), "COLUMNS": "120"}


def shell(command: str, folder: Path, cwd: Path | None = None) -> str:
    """Run `command` with the package in `folder` installed, and return its output; it must succeed."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd or folder, env=environment(folder), text=True, timeout=250, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {command}\n{done.stdout[-3000:]}"
    return done.stdout


def missing_lines(shown: list[str], output: str, *, numbers: bool = True) -> list[str]:
    """Return the lines that a page shows and that are not in `output`, in this order.

    ``…`` is any text. Without `numbers`, all numbers are equal.
    """

    def plain(line: str) -> str:
        return " ".join((line if numbers else re.sub(r"\d+", "0", line)).split())

    lines = map(plain, output.splitlines())
    patterns = [".*".join(map(re.escape, plain(line).split("…"))) for line in shown]
    return [
        line
        for line, pattern in zip(shown, patterns, strict=True)
        if pattern != ".*" and not any(re.fullmatch(pattern, found) for found in lines)
    ]
