import os
import stat
from pathlib import Path

import pytest

from fasthep_parsl.kernels import cache


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    cache.folder.cache_clear()
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    cache.folder.cache_clear()


def test_the_folder_is_ours_alone(fresh):
    assert cache.folder() == fresh / f"fasthep-kernels-{os.getuid()}"
    assert stat.S_IMODE(cache.folder().stat().st_mode) == 0o700


def test_it_is_the_user_s_cache_if_there_is_one(fresh):
    (fresh / "cache").unlink()
    assert cache.folder() == fresh / "cache" / "fasthep-parsl" / "kernels"
    assert stat.S_IMODE(cache.folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["writable", "link", "file"])
def test_a_folder_that_others_can_write_to_is_not_used(fresh, how):
    path = fresh / f"fasthep-kernels-{os.getuid()}"
    if how == "writable":
        path.mkdir()
        path.chmod(0o777)
    elif how == "link":
        (fresh / "elsewhere").mkdir()
        path.symlink_to(fresh / "elsewhere")
    else:
        path.write_text("")
    found = cache.folder()
    assert found != path
    assert not list(Path(fresh / "elsewhere").glob("*"))
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_the_name_says_what_machine_code_depends_on(fresh, monkeypatch):
    first = cache.store("x = 1\n", "k_cpu")
    assert cache.store("x = 1\n", "k_cpu") == first
    assert cache.store("x = 2\n", "k_cpu") != first
    monkeypatch.setattr(cache, "_surroundings", lambda: ("another processor",))
    assert cache.store("x = 1\n", "k_cpu") != first
