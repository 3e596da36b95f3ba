"""Ops of analysis modules: what lies beside them is found, and what they do not keep is said."""

from __future__ import annotations

import sys

import pytest

from fasthep_parsl.worker.code import describe, import_module


@pytest.fixture
def forget():
    names: list[str] = []
    path = list(sys.path)
    yield names.append
    for name in names:
        sys.modules.pop(name, None)
    sys.path[:] = path


def test_a_copy_finds_modules_beside_the_original(tmp_path, forget):
    forget("beside_main_ops")
    forget("beside_helper_of_ops")
    home, copies = tmp_path / "analysis", tmp_path / "run" / "code"
    home.mkdir()
    copies.mkdir(parents=True)
    (home / "beside_helper_of_ops.py").write_text("FACTOR = 3\n")
    (home / "beside_main_ops.py").write_text("from beside_helper_of_ops import FACTOR\n")
    module = describe(home / "beside_main_ops.py")
    (copies / "beside_main_ops.py").write_text((home / "beside_main_ops.py").read_text())
    loaded = import_module(module, copies)
    assert loaded.FACTOR == 3
    assert loaded.__file__ == str(copies / "beside_main_ops.py")


def test_an_op_that_does_not_add_what_it_declares_is_blamed_itself(flow, small_files, tmp_path):
    (tmp_path / "forgetful_ops.py").write_text(
        "from fasthep_parsl import op\n"
        "@op('my.forgetful', reads=['x'], writes=['y', 'z'])\n"
        "def forgetful(events):\n"
        "    return {'y': events.x}\n"
    )
    modules = {"modules": ["probe_ops.py", "forgetful_ops.py"]}
    s = flow.stage
    stages = [s("F", "my.forgetful", []), s("Sum", "probe.sum", ["F"], field="z")]
    outcome = flow.run(flow.write(stages, [small_files / "b.root"], use=modules).compile())
    assert outcome.status == "failed"
    first = outcome.summary["failures"][0]
    assert first["stage"] == "F"
    assert "declares that it writes `z`" in first["message"]
