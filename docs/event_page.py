"""Generate the page of the event log: kinds, fields, states and an example of each line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields

from fasthep_parsl.events import (
    BLOCK_STATES,
    CREDENTIAL_STATES,
    KINDS,
    POOL_STATES,
    RUN_STATUSES,
    BlockChanged,
    CredentialChanged,
    Event,
    EventLogHeader,
    NodeRefused,
    NodeSeen,
    PartitionFailed,
    PoolChanged,
    RunEnded,
    RunStarted,
    ServerChanged,
    StateInfo,
    TaskFinished,
    TaskLost,
    TaskRetried,
    TaskSubmitted,
)
from fasthep_parsl.events.codec import encode
from fasthep_parsl.events.event import VERSION

TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
TIME = "2026-11-29T12:00:00.000Z"
EXAMPLES: tuple[Event, ...] = (
    EventLogHeader(time=TIME, version=VERSION, software="fasthep-parsl 0.1.0"),
    RunStarted(
        time=TIME,
        state="started",
        plan="5f0c",
        session="9a41c0de",
        host="login1",
        pid=4711,
        since=1795953599.8,
        ticks=81234,
        boot="7d1e",
        container="pid:[4026531836]",
    ),
    PoolChanged(time=TIME, pool="default", state="starting", workers=4, jobs=(4720,), interchange=4718),
    BlockChanged(time=TIME, pool="gpu", state="up", block=0, job="1234567", node="n042"),
    NodeSeen(
        time=TIME,
        pool="gpu",
        block=0,
        node="n042",
        python="3.11.9",
        platform="linux-x86_64",
        system="Rocky Linux 9.5 (Blue Onyx)",
        cpu="AMD EPYC 9554 64-Core Processor",
        software={"python": "3.11", "fasthep-parsl": "0.1.0 a18553d15a646391", "numpy": "2.4.1", "awkward": "2.10.1"},
        environment="5b1c0f6e",
        gpus=({"device": "0", "name": "NVIDIA H200", "memory": 150754820096},),
    ),
    NodeRefused(time=TIME, pool="default", block=3, node="n043", message="other software than that of the driver: …"),
    CredentialChanged(
        time=TIME,
        credential="scitoken",
        state="expired",
        expires=1795953600.0,
        message="token of https://issuer.example.org (scope storage.read:/), expired 5 s ago",
        advice="run `htgettoken -a vault.example.org -i myvo`",
    ),
    ServerChanged(
        time=TIME,
        server="root://eos.example.org",
        state="avoided",
        cause="stalled",
        message="the server stopped answering (60 s)",
    ),
    TaskSubmitted(time=TIME, task=0, what="map", segment=0, pool="default", partitions=((0, 12),)),
    TaskFinished(
        time=TIME,
        task=0,
        what="map",
        segment=0,
        done=((0, 12),),
        dataset=-1,
        inputs=(),
        session="9a41c0de",
        partial="/home/me/run/work/products/map-0.pkl",
        size=4567,
        parts=(((0, 12),),),
        whole=False,
        broken=(),
        merged=(),
        refs={},
        events=120000,
        bytes=2345678,
        wall=1.25,
        cpu=1.2,
        peak_memory=312000000,
        host="login1",
        pid=4725,
        stages={"read": (1, 0.4, 0.4, 0, 120000), "Mass": (1, 0.8, 0.75, 120000, 0)},
    ),
    TaskLost(time=TIME, task=1, segment=0, message="pool `default`: the worker of this task died"),
    TaskRetried(time=TIME, task=1, segment=0),
    PartitionFailed(
        time=TIME,
        segment=0,
        cause="data",
        partition=17,
        stage="",
        message="b.root: its header cannot be read",
        where="",
        detail="",
    ),
    RunEnded(time=TIME, status="partial", exit_code=3),
)


def events() -> str:
    """Return the reference of the event log."""
    examples = {type(event): encode(event) for event in EXAMPLES}
    parts = [f"This is version {VERSION} of the log.", ""]
    for kind, cls in KINDS.items():
        text = (inspect.getdoc(cls) or "").partition("\n\nAttributes")[0]
        parts += [f"## {kind}", "", text, "", *_table(cls), "", "```json", examples[cls].rstrip(), "```", ""]
    for title, states in (
        ("Ends of a run", RUN_STATUSES),
        ("States of a credential", CREDENTIAL_STATES),
        ("States of a pool", POOL_STATES),
    ):
        parts += [f"## {title}", "", *_states(states), ""]
    parts += ["## States of a block", "", *_states(BLOCK_STATES, gone=True), ""]
    return "\n".join(parts)


def described(cls: type[Event]) -> dict[str, tuple[str, str]]:
    """Return key → (type, meaning) from the section ``Attributes`` of a docstring."""
    text = (inspect.getdoc(cls) or "").partition("Attributes\n----------\n")[2]
    found = re.findall(r"^(\w+) : (.+)\n((?:    .*\n?)+)", text, re.MULTILINE)
    return {name: (kind, " ".join(meaning.split())) for name, kind, meaning in found}


def _table(cls: type[Event]) -> Iterator[str]:
    yield "| key | type | meaning |"
    yield "| --- | --- | --- |"
    texts = described(cls)
    for field in fields(cls):
        if field.name not in {"time", "checked"}:
            kind, meaning = (text.replace("``", "`").replace("|", "\\|") for text in texts[field.name])
            kind = re.sub(r"\b(str|int|float|bool)\b", lambda match: TYPES[match[0]], kind)
            yield f"| `{field.name}` | {kind} | {meaning} |"


def _states(states: Mapping[str, StateInfo], *, gone: bool = False) -> Iterator[str]:
    yield "| state | meaning | final |" + (" job gone |" if gone else "")
    yield "| --- | --- | --- |" + (" --- |" if gone else "")
    for name, info in states.items():
        row = f"| `{name}` | {info.meaning} | {'yes' if info.final else ''} |"
        yield row + (f" {'yes' if info.gone else ''} |" if gone else "")
