"""The code of the how-to pages for plug-ins runs: files are written, packages installed, commands executed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import page_code


@pytest.fixture(scope="module", params=page_code.RUN_PAGES)
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


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory, checkout):
    """A folder with a run of the demo, as ``make demo`` leaves it."""
    page_code.shell("fasthep-parsl run configs/dimuon.yaml --backend local --outdir demo/run", checkout)
    return checkout


@pytest.mark.slow
def test_results_can_be_read_as_the_page_says(demo_run):
    blocks = page_code.read("read-results").nameless
    assert len(blocks) == 3
    checks = (
        "run['DimuonMass'].sum(flow=True).value > 0",
        "dy.sum(flow=True).value > 0",
        "dy.sum(flow=True).value > 0",
    )
    for block, check in zip(blocks, checks, strict=True):
        code = f"{block}\nassert {check}"
        subprocess.run([sys.executable, "-c", code], cwd=demo_run, check=True, timeout=100)


@pytest.mark.slow
def test_python_code_of_the_tutorial_runs(demo_run):
    (block,) = re.findall(
        r"```python\n(.*?)```", (page_code.ROOT / "docs/tutorials/first-analysis.md").read_text(), re.DOTALL
    )
    output = subprocess.run(
        [sys.executable, "-c", block], cwd=demo_run, check=True, timeout=200, capture_output=True, text=True
    )
    assert output.stdout.startswith("complete ")


@pytest.mark.integration
def test_the_kernel_of_a_page_gives_what_the_op_of_another_page_gives(tmp_path):
    """Both pages define ``custom.ht``."""
    found = []
    for name in ("add-an-op", "own-kernels"):
        folder = tmp_path / name
        folder.mkdir()
        page = page_code.read(name)
        (folder / "my_ops.py").write_text(page.files["my_ops.py"])
        analysis = page_code.read("add-an-op").files["analysis.yaml"].partition("    - {id: TwoMuons")[0]
        (folder / "analysis.yaml").write_text(analysis)
        page_code.shell("fasthep-parsl demo-data data --events 2000", folder)
        page_code.shell("fasthep-parsl run analysis.yaml --backend local --outdir run", folder)
        found.append((folder / "run/results/JetEnergy/hist.json").read_text())
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_page_that_is_wrong_is_noticed(tmp_path):
    output = "first 1\n  second   2\nthird 3\n"
    assert page_code.missing_lines(["first 1", "second 2"], output) == []
    assert page_code.missing_lines(["second 2", "first 1"], output) == ["first 1"]
    assert page_code.missing_lines(["first…", "third 4"], output) == ["third 4"]
    assert page_code.missing_lines(["third 4"], output, numbers=False) == []
    with pytest.raises(AssertionError, match="unknown site"):
        page_code.shell("fasthep-parsl sites check no_such_site", tmp_path)
