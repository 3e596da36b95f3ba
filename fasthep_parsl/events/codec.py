"""One line of ``events.jsonl``: an event as JSON, with a checksum (``crc``: CRC-32 of the line before it)."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fasthep_parsl.events.event import Event
from fasthep_parsl.events.kinds import KINDS
from fasthep_parsl.jsontext import standard_json

_CHECKSUM = b',"crc":"'
_KIND = re.compile(rb'\{(?:"time": ?"[^"]*", ?)?"kind": ?"(\w+)"')
_NOT_WRITTEN = ("time", "checked")


def _json_default(value: Any) -> Any:
    """Return a value that JSON has no type for as one that it has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return str(value)


_json_text = json.JSONEncoder(separators=(",", ":"), default=_json_default).encode


class _Keys:
    """Keys of a kind: `required` are always written, `optional` only if they differ from their default."""

    def __init__(self, event_class: type[Event]) -> None:
        own = [item for item in fields(event_class) if item.name not in _NOT_WRITTEN]
        self.required = [item.name for item in own if item.default is item.default_factory is MISSING]
        self.optional = [
            (item.name, item.default if item.default_factory is MISSING else item.default_factory())
            for item in own
            if item.name not in self.required
        ]


_KEYS = {event_class: _Keys(event_class) for event_class in KINDS.values()}


def encode(event: Event) -> str:
    """Return the line of an event."""
    keys = _KEYS[type(event)]
    content: dict[str, Any] = {"time": event.time, "kind": event.kind}
    for name in keys.required:
        content[name] = getattr(event, name)
    for name, default in keys.optional:
        value = getattr(event, name)
        if value != default:
            content[name] = value
    body = standard_json(_json_text(content))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'


@cache
def _reader(kind: bytes) -> Callable[[bytes], Event]:
    """Return what makes an event from JSON; pydantic does that in less time than Python's `json` parses the text."""
    return TypeAdapter(KINDS[kind.decode()]).validator.validate_json


def decode(line: bytes) -> Event | None:
    """Return the event of a line, None if the line is damaged.

    A line is damaged if its checksum is wrong, or if it is not an event of a kind that exists. Unknown keys are ignored.
    A line without a checksum is accepted; its event is not `checked`.
    """
    body, separator, checksum = line.rpartition(_CHECKSUM)
    kind = _KIND.match(line)
    if kind is None or (separator and checksum != b'%08x"}\n' % zlib.crc32(body)):
        return None
    try:
        read = _reader(kind[1])
        try:
            event = read(line)
        except ValidationError:
            event = read(_without_surrogates(line))
    except (ValueError, KeyError):
        return None
    return event if separator else replace(event, checked=False)


def _without_surrogates(line: bytes) -> bytes:
    """Return a line with ``?`` for what is not Unicode: names of files may have any bytes, and pydantic refuses them."""
    return json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
