"""PyPI has another program with the name of pixi: nobody is told to install it."""

from __future__ import annotations

import re
from pathlib import Path

import fasthep_parsl

PACKAGE = Path(fasthep_parsl.__file__).parent
ROOT = Path(__file__).parents[3]
OTHER = re.compile(
    r"pip3?\s+install\s+(?:-\S+\s+)*[`'\"]?pixi\b(?!-)|uv\s+(?:pip\s+install|add|tool\s+install)\s+[`'\"]?pixi\b(?!-)"
)


def test_the_pattern_finds_it():
    assert OTHER.search("run `" + "pip install" + " pixi`")
    assert OTHER.search("python -m " + "pip install" + " -U 'pixi'")
    assert not OTHER.search("pip install 'fasthep-parsl[pixi]'")


def test_it_is_suggested_nowhere():
    texts = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sh"), *PACKAGE.rglob("*.yaml")]
    texts += [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
    texts += [*ROOT.joinpath("site_profiles").rglob("*.yaml"), *ROOT.joinpath("configs").rglob("*.yaml")]
    assert len(texts) > 100
    assert [str(path) for path in texts if OTHER.search(path.read_text(encoding="utf-8"))] == []
