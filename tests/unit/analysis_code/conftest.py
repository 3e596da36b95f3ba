"""A folder with a workflow and analysis code."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import pytest

from fasthep_parsl.analysis_code.finder import FINDER
from fasthep_parsl.analysis_code.modules import activate, import_analysis_module
from fasthep_parsl.compiler.code import find_code
from fasthep_parsl.driver.code_copies import copy_code
from fasthep_parsl.plan import Plan, PlanSource
from fasthep_parsl.workflow.loader import load_workflow


class Analysis:
    """Analysis code below a folder, and what a workflow finds of it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files):
        """Write Python files; ``__`` in a name is a slash. Return this object."""
        for name, text in files.items():
            package = name.removesuffix("____init__")
            path = package.replace("__", "/")
            self.text(f"{path}/__init__.py" if package != name else f"{path}.py", text)
        return self

    def text(self, name, text=""):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def check(self, flow="flow.yaml", **use):
        """Return what `find_code` finds, with problems."""
        content = {
            "version": "1.0",
            "use": use,
            "data": {"datasets": [{"name": "d", "files": ["d.root"]}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": [{"id": "A", "op": "hep.define"}]},
        }
        path = self.text(flow, json.dumps(content))  # JSON is YAML
        return find_code(load_workflow(path, tolerant=True))

    def find(self, flow="flow.yaml", **use):
        """Return the code; there are no problems."""
        found = self.check(flow, **use)
        assert not found.problems, found.problems
        return found.value

    def problem(self, **use):
        """Return the only problem."""
        (problem,) = self.check(**use).problems
        assert problem.code in {"E112", "E100"}
        assert problem.where is not None
        assert problem.where.line
        return problem

    def plan(self, code):
        source = PlanSource(name="events", kind="root_tree")
        return Plan(name="x", chunk_size=1, source=source, stages=(), segments=(), pools=(),
                    modules=code.modules, code=code.files, files=code.elsewhere)  # fmt: skip

    def copies(self, code):
        folder = self.folder / "run" / "code"
        copy_code(self.plan(code), folder)
        return folder

    @staticmethod
    def load(code, name="", folder=None):
        """Import a module of the code, as the plan (`folder` is None) or a worker does."""
        activate(code.files, folder)
        return import_analysis_module(name or code.modules[0].name, code.files, folder)


@contextmanager
def clean_session():
    before, path = dict(sys.modules), list(sys.path)
    try:
        yield
    finally:
        FINDER.release()
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path


@pytest.fixture
def analysis(tmp_path):
    """Analysis code in a folder of its own; what was imported is forgotten afterwards."""
    folder = tmp_path / "analysis"
    folder.mkdir()
    with clean_session():
        yield Analysis(folder)
