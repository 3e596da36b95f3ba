"""Pages of the documentation that must agree with the package and with each other."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[3]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def test_the_map_of_the_readme_names_every_folder_of_the_package():
    folders = {path.parent.name for path in (ROOT / "fasthep_parsl").glob("*/__init__.py")}
    named = set(re.findall(r"^\| `fasthep_parsl/(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named == folders


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_a_number_a_date_and_a_status(page: Path):
    title, *facts = page.read_text().split("\n")[:6]
    assert title.startswith(f"# {int(page.name[:4])}. ")
    date = re.search(r"^Date: (\d{4}-\d\d-\d\d)\b", "\n".join(facts), re.MULTILINE)
    assert date, "the lines below the title need `Date: YYYY-MM-DD. Status: accepted.`"
    assert dt.date.fromisoformat(date[1]) >= dt.date(2026, 11, 22)
    assert re.search(r"\bStatus: (accepted|superseded)\b", "\n".join(facts))


def test_no_two_decisions_have_one_number():
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)


def test_the_page_of_layers_has_the_layers_that_are_checked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate

    folders = {path.stem for path in (ROOT / "fasthep_parsl").glob("[a-z]*.py")}
    folders |= {path.parent.name for path in (ROOT / "fasthep_parsl").glob("*/__init__.py")}
    assert set(re.findall(r"`(\w+)`", generate.layers())) >= folders
    assert "_build/generated/layers.md" in (ROOT / "docs" / "adr" / "0001-layers.md").read_text()


def test_terms_of_the_glossary_are_defined_once():
    text = (ROOT / "docs" / "reference" / "glossary.md").read_text()
    terms = [line for block in re.findall(r":::\{glossary\}\n(.*?):::", text, re.DOTALL)
             for line in block.splitlines() if line and not line.startswith(" ")]  # fmt: skip
    assert len(terms) == len(set(terms)) > 50


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_modules_on_a_page_exist(page: Path):
    text = page.read_text()
    for path in re.findall(r"`((?:fasthep_parsl|tests|benchmarks|configs)/[\w./*-]+)`", text):
        assert list(ROOT.glob(path)), path
    for name in re.findall(r"\bfasthep_parsl(?:\.[a-z_]+)+\b(?!:)", text):
        resolve_name(name.removesuffix("."))
