"""Sphinx configuration; pages in reference/ include the pages that `generate` makes from the code."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import gallery_pictures
import generate

from fasthep_parsl import __version__

project = "fasthep-parsl"
author = "FAST-HEP contributors"
copyright = "FAST-HEP contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "fasthep-parsl"
html_show_sourcelink = False
html_search_scorer = str(Path(__file__).parent / "search_scorer.js")
html_sidebars = {"gallery": []}
html_theme_options = {
    "github_url": "https://github.com/FAST-HEP/fasthep-parsl",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}

generate.write_all(Path(__file__).parent / "_build" / "generated")
gallery_pictures.draw_all(Path(__file__).parent / "_build" / "gallery")
