"""Open a remote file by the scheme of its URL. This is the only place that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage.address import PELICAN, WEB, XROOTD, scheme_of, shown
from fasthep_parsl.storage.ahead import HEAD, AheadFile
from fasthep_parsl.storage.base import StorageLimits

_SOFTWARE = {
    **dict.fromkeys(XROOTD, ("XRootD", "xrootd")),
    **dict.fromkeys(WEB, ("urllib3", "https")),
    **dict.fromkeys(PELICAN, ("pelicanfs", "osdf")),
}
"""Scheme → module that opens it, and the extra that installs it."""
_DEFAULT = StorageLimits()
_LIMITS: ContextVar[StorageLimits] = ContextVar("limits", default=_DEFAULT)


def current_limits() -> StorageLimits:
    """Return the limits of this thread; see `limited`."""
    return _LIMITS.get()


@contextmanager
def limited(limits: StorageLimits) -> Iterator[None]:
    """Open files with `limits` in this block: readers of formats know nothing of them."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


def open_remote(url: str, limits: StorageLimits) -> AheadFile:
    """Open a remote file.

    Parameters
    ----------
    url : str
        ``root://``, ``roots://``, ``xroot://``, ``xroots://``, ``https://``, ``http://``, ``davs://``, ``dav://``,
        ``osdf://`` or ``pelican://``.
    limits : StorageLimits
        How long its server may take.

    Raises
    ------
    InputFileError
        It cannot be opened; `cause` says why by the server's code.
    """
    scheme = scheme_of(url)
    module, extra = _SOFTWARE.get(scheme, ("", ""))
    if not module:
        raise InputFileError(shown(url), f"`{scheme}://` is not supported", f"use one of {', '.join(_SOFTWARE)}")
    if find_spec(module) is None:
        hint = f"pip install 'fasthep-parsl[{extra}]'"
        raise InputFileError(shown(url), f"`{scheme}://` needs {module}, which is not installed", hint)
    if scheme in XROOTD:
        from fasthep_parsl.storage.xrootd_file import XRootDFile

        return AheadFile(XRootDFile(url, limits))
    if scheme in WEB:
        from fasthep_parsl.storage.web_file import WebFile

        file = WebFile(url, limits, HEAD)
        return AheadFile(file, file.head)
    from fasthep_parsl.storage.pelican_file import PelicanFile

    return AheadFile(PelicanFile(url, limits))
