"""Files of federations, with a fake in place of the client `pelicanfs`."""

from __future__ import annotations

import time

import fsspec
import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage import StorageLimits, open_remote, opening

CONTENT = bytes(range(256)) * 4000


class FakeFederation(fsspec.AbstractFileSystem):
    """A fake: what `pelicanfs` provides of fsspec's interface."""

    protocol = "osdf"
    cachable = False
    headers: dict = {}  # noqa: RUF012
    error: Exception | None = None
    wait = 0.0

    def __init__(self, headers=None, **options):
        super().__init__(**options)
        type(self).headers = headers or {}

    def info(self, path, **_):
        if self.error:
            raise self.error
        return {"name": path, "size": len(CONTENT), "type": "file"}

    def cat_ranges(self, paths, starts, ends, on_error="return", **_):
        time.sleep(self.wait)
        if self.error:
            raise self.error
        return [CONTENT[start:stop] for start, stop in zip(starts, ends, strict=True)]


@pytest.fixture
def federation(monkeypatch, no_credentials):
    fsspec.register_implementation("osdf", FakeFederation, clobber=True)
    monkeypatch.setattr(opening, "find_spec", lambda _: object())
    monkeypatch.setattr(FakeFederation, "error", None)
    monkeypatch.setattr(FakeFederation, "wait", 0.0)
    return FakeFederation


def test_a_file_is_read_with_the_token(federation, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "abc.def.ghi\n")
    file = open_remote("osdf:///ospool/a.root", StorageLimits())
    assert federation.headers == {"Authorization": "Bearer abc.def.ghi"}
    assert bytes(file.read(500_000, 10)) == CONTENT[500_000:500_010]


@pytest.mark.parametrize(
    ("error", "cause"),
    [(FileNotFoundError(), "not_found"), (PermissionError(), "not_permitted"), (RuntimeError(), "unreachable")],
)
def test_errors(federation, error, cause):
    federation.error = error
    with pytest.raises(InputFileError) as caught:
        open_remote("osdf:///ospool/a.root", StorageLimits(retries=0))
    assert caught.value.cause == (cause if cause != "not_permitted" else "not_authenticated")  # there is no credential


def test_a_cache_that_stops_answering(federation):
    file = open_remote("osdf:///ospool/a.root", StorageLimits(read_timeout=0.2, retries=0))
    federation.wait = 2.0
    with pytest.raises(InputFileError) as caught:
        file.read(500_000, 10)
    assert caught.value.cause == "stalled"


def test_without_the_client():
    with pytest.raises(InputFileError, match=r"needs pelicanfs, which is not installed.*fasthep-parsl\[osdf\]"):
        open_remote("osdf:///ospool/a.root", StorageLimits())
