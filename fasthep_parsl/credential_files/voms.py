"""Attributes of a virtual organisation in a proxy, as ``voms-proxy-init`` writes them: RFC 5755 and OGF GFD.182."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fasthep_parsl.credential_files import der

EXTENSION = "1.3.6.1.4.1.8005.100.100.5"
"""Extension of a proxy with the attribute certificates."""
_ATTRIBUTE = bytes.fromhex("2b06010401be45646404")
"""1.3.6.1.4.1.8005.100.100.4: the groups and roles, in DER."""
_SIGNED = [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]
_DEFAULTS = ("/Capability=NULL", "/Role=NULL")


@dataclass(frozen=True, slots=True)
class VomsAttributes:
    """The attributes of one attribute certificate.

    Attributes
    ----------
    vo : str
        Virtual organisation.
    groups : tuple of str
        Groups and roles, the primary one first: ``/cms/Role=production``.
    not_before, expires : float
        Life, Unix time in s.
    """

    vo: str
    groups: tuple[str, ...]
    not_before: float
    expires: float


def read_attributes(content: bytes) -> tuple[VomsAttributes, ...]:
    """Return the attributes in the extension of a proxy.

    Raises
    ------
    ValueError
        It is not such an extension.
    """
    return tuple(_attributes(value) for top in der.values(content) for value in _certificates(top))


def _certificates(value: der.Value) -> Iterator[der.Value]:
    """Yield the signed parts of the attribute certificates in a value."""
    children = value.children
    if [child.tag for child in children] == _SIGNED:
        yield children[0]
        return
    for child in children:
        yield from _certificates(child)


def _attributes(info: der.Value) -> VomsAttributes:
    times = [value.content for value in info.walk() if value.tag == der.GENERALIZED_TIME]
    if len(times) < 2:
        raise ValueError("not an attribute certificate: it has no validity")
    for value in info.walk():
        children = value.children
        if children and children[0].tag == der.OID and children[0].content == _ATTRIBUTE:
            inner = list(value.walk())
            uri = next((item.content for item in inner if item.tag == der.URI), b"")
            groups = tuple(short_group(_text(item.content)) for item in inner if item.tag == der.OCTET_STRING)
            vo = _text(uri).partition("://")[0] or (groups[0].strip("/").split("/")[0] if groups else "")
            return VomsAttributes(vo, groups, _time(times[0]), _time(times[1]))
    raise ValueError("not an attribute certificate of VOMS: it has no groups")


def short_group(group: str) -> str:
    """Return a group without an empty role and capability: ``/cms`` for ``/cms/Role=NULL/Capability=NULL``."""
    for ending in _DEFAULTS:
        group = group.removesuffix(ending)
    return group


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _time(content: bytes) -> float:
    return datetime.strptime(content.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
