"""The optional packages that pixi environments need."""

from __future__ import annotations

import sys

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.pixi.library import load_rattler


@pytest.mark.parametrize("package", ["rattler", "installer", "packaging"])
def test_each_package_of_the_extra_is_missed_before_long_work(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SiteError, match=r"`pip install 'fasthep-parsl\[pixi\]'`") as caught:
        load_rattler()
    assert package in str(caught.value)
