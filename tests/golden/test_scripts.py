"""What strategies submit, stored as text: a change of a script is seen.

After a wanted change: ``pytest tests/golden --update-golden``, and look at the difference.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from fasthep_parsl.strategies.node import node_script
from strategy_cases import OPTIONS, batch_strategies, cases, container_scripts, pool, script

STORED = Path(__file__).parent / "scripts"


def rendered(name: str) -> str:
    if name == "node":
        p = pool(scratch="/scratch/$USER", worker_init=("module load python", "source ~/env/bin/activate"))
        return node_script(p, ["/opt/my python/bin/python", "-m", "fasthep_parsl", "--addresses=login1"])
    if name == "containers":
        return "\n".join(f"=== {title}\n{text}" for title, text in container_scripts())
    found = [(title, script(name, p, place)) for title, p, place in cases(name)]
    return "\n".join(f"=== {title}: {made.name}\n{made.text}" for title, made in found)


@pytest.mark.parametrize("name", [*batch_strategies(), "node", "containers"])
def test_the_script_is_the_stored_one(request, name):
    path, found = STORED / f"{name}.txt", rendered(name)
    if request.config.getoption("--update-golden"):
        STORED.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
        return
    how = "write it with `pytest tests/golden --update-golden`, read it, and commit it"
    assert path.exists(), f"there is no stored script of strategy `{name}`: {how}"
    stored = path.read_text(encoding="utf-8")
    difference = "".join(difflib.unified_diff(stored.splitlines(True), found.splitlines(True), "stored", "now"))
    assert not difference, f"the scripts have changed; if that is wanted, {how}\n{difference}"


def test_all_strategies_have_a_stored_script_and_no_other():
    assert (
        {path.stem for path in STORED.iterdir()}
        == {*batch_strategies(), "node", "containers"}
        == {*OPTIONS, "node", "containers"}
    )
