"""Whatever stands in a file: it is loaded, or refused in words with a place; never a traceback."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.cli.problems import layout
from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.workflow.datasets import resolve_datasets
from fasthep_parsl.workflow.loader import load_workflow

TEXT = """\
version: "1.0"
data:
  defaults: {eventtype: mc}
  datasets:
    - {name: dy, files: [data/dy_*.root, "root://host//dy.root"], meta: {xsec: 6077.22}}
sources:
  events: {kind: root_tree, tree: Events}
fields: {trigger: {stream: events, branch: HLT_IsoMu24}}
analysis:
  stages:
    - {id: Good, op: hep.define, params: {variables: [{name: good, expr: "Muon_pt > 20"}]}}
    - {id: Train, op: custom.train, needs: [Good], execution: {require: gpu, modifiers: [gpu.preload]}}
    - {id: Mass, op: hep.hist, from: [{node: Train, port: model, as: model}]}
execution: {backend: parsl, strategy: {kind: local}, pools: {gpu: {workers: 1, resources: {gpus: 1, memory: 4GB}}}}
"""
PIECES = [
    "",
    " ",
    "\n",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "*a",
    "&a ",
    "<<: ",
    "null",
    "3",
    "[]",
    "{}",
    "x: y",
    "\t",
    "!t ",
    "#",
]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.sampled_from(PIECES))
def test_a_damaged_file_is_refused_in_words(start, length, piece):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        path.write_text(TEXT[:start] + piece + TEXT[start + length :])
        try:
            loaded = load_workflow(path)
            problems = resolve_datasets(loaded.workflow, loaded.document).problems
        except ConfigError as error:
            problems = error.problems
            assert problems
        for problem in problems:
            assert problem.code in CODES
            assert problem.where is not None
            assert len(layout(problem)) <= 8
