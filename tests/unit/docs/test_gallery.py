"""The gallery: its workflows are valid, the page shows all of them, and pictures are drawn when inputs change only."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fasthep_parsl.driver.api import compile_plan

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "gallery.md").read_text()
EXAMPLES = sorted(path.stem for path in (DOCS / "gallery").glob("*.yaml") if path.stem != "base")


@pytest.fixture
def gallery(tmp_path, demo_data, monkeypatch):
    """A folder with the files of the gallery and demo data."""
    shutil.copytree(DOCS / "gallery", tmp_path, dirs_exist_ok=True)
    shutil.copytree(demo_data, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import gallery_pictures

    return gallery_pictures


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_workflow_of_the_gallery_is_planned_without_warnings(name, gallery):
    plan = compile_plan(gallery / f"{name}.yaml", site="local")
    assert plan.warnings == ()
    stages = {stage.id for stage in plan.stages}
    shown = re.findall(rf"_build/gallery/{name}/([\w@]+)\.png", PAGE)
    assert shown
    assert set(shown) <= stages


def test_the_page_shows_every_file():
    shown = set(re.findall(r"```\{literalinclude\} gallery/(\S+)", PAGE))
    assert shown == {path.name for path in (DOCS / "gallery").iterdir() if path.suffix in {".yaml", ".py"}}
    assert len(EXAMPLES) >= 10


@pytest.mark.integration
def test_pictures_are_drawn_again_only_when_inputs_change(pictures, tmp_path, monkeypatch):
    source = tmp_path / "gallery"
    source.mkdir()
    for name in ("base.yaml", "map.yaml", "objects.yaml"):
        shutil.copy(DOCS / "gallery" / name, source)
    monkeypatch.setattr(pictures, "GALLERY", source)
    monkeypatch.setattr(pictures, "EVENTS", 2000)
    folder = tmp_path / "drawn"
    assert pictures.draw_all(folder) == ["map", "objects"]
    assert (folder / "map" / "MuonPtMap.png").read_bytes().startswith(b"\x89PNG")
    assert pictures.draw_all(folder) == []
    (source / "map.yaml").write_text((source / "map.yaml").read_text().replace("nbins: 40", "nbins: 20"))
    assert pictures.draw_all(folder) == ["map"]
    (source / "base.yaml").write_text((source / "base.yaml").read_text() + "# other\n")
    assert pictures.draw_all(folder) == ["map", "objects"]
    assert sorted(path.name for path in folder.iterdir()) == ["map", "objects"]
