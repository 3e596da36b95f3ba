"""The code of the how-to pages for plug-ins runs: files are written, packages installed, commands executed."""

from __future__ import annotations

import sys

import pytest

import page_code

PAGES = sorted(path.stem for path in page_code.HOW_TO.glob("add-*.md"))


@pytest.fixture(scope="module", params=PAGES)
def page(request):
    return page_code.read(request.param)


def test_each_block_of_code_names_its_file(page):
    assert page.nameless == []


def test_a_package_is_complete(page):
    """Each entry point that a page shows names an object that the page defines."""
    if "pyproject.toml" in page.files:
        found = page_code.tomllib.loads(page.files["pyproject.toml"])["project"]["entry-points"]
        for points in found.values():
            for target in points.values():
                module, _, name = target.partition(":")
                text = page.files[module.replace(".", "/") + ".py"]
                assert f"def {name}(" in text or f"class {name}(" in text, target


def test_its_commands_work_and_print_what_it_shows(page, tmp_path):
    for command, output, shown in page.run(page.write(tmp_path)):
        assert page_code.missing_lines(shown, output) == [], f"$ {command}\n{output}"


@pytest.mark.integration
def test_its_plug_in_passes_the_contract_tests_as_the_page_says(page, tmp_path):
    commands = [command for command, _ in page.commands if "pytest tests/contract" in command]
    assert len(commands) == ("pyproject.toml" in page.files)
    folder = page.write(tmp_path / "my-package")
    for command, _ in page.commands:
        if command.startswith("python "):  # it writes the data of the examples
            page_code.shell(command, folder)
    for command in commands:
        here = command.replace("~/my-package", str(folder)).replace(".venv/bin/pytest", f"{sys.executable} -m pytest")
        output = page_code.shell(f"{here} -q -p no:cacheprovider --basetemp={tmp_path}/pytest", folder, page_code.ROOT)
        assert " passed" in output
        assert "skipped" not in output
