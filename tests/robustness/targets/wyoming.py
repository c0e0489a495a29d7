"""What a client of the wake-word service sends: lines of JSON, and sound between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar, cast

from snn_voice_lite import Voice
from snn_voice_lite.wyoming.connection import WakeConnection, WakeLimits
from snn_voice_lite.wyoming.description import description_of
from snn_voice_lite.wyoming.messages import MAX_JSON
from snn_voice_lite.wyoming.offered import Vocabulary

from tests.robustness.contract import BrokenContractError

T = TypeVar("T")

WORDS: Final = (
    *(
        b'{"type": "describe"}\n',
        b'{"type": "audio-stop"}\n',
        b'"audio-start"',
        b'"audio-chunk"',
        b'"detect"',
    ),
    *(
        b'"ping"',
        b'"data_length": ',
        b'"payload_length": ',
        b'"data": {',
        b'"rate": ',
        b'"width": ',
        b'"channels": ',
    ),
    *(b'"names": ["yes"]', b'"timestamp": ', b"\\ud800", b"1e999", b"1" * 310, b"null", b"NaN"),
)


class _Answers:
    """Stands where a client reads."""

    def __init__(self) -> None:
        self.said = b""
        self.transport = self

    def get_extra_info(self, _: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.said += data

    def writelines(self, parts: list[bytes]) -> None:
        self.said += b"".join(parts)

    async def drain(self) -> None: ...

    def write_eof(self) -> None: ...

    def abort(self) -> None: ...


@cache
def _offered() -> tuple[asyncio.AbstractEventLoop, Vocabulary]:
    return asyncio.new_event_loop(), Vocabulary([Voice("tempo-snn")], ["yes", "stop"])


async def _here(work: Callable[[], T]) -> T:
    return work()


def run(data: bytes) -> str:
    """Serve a client that says this and leaves."""
    loop, vocabulary = _offered()
    answers = _Answers()

    async def serve() -> None:
        reader = asyncio.StreamReader(limit=MAX_JSON)
        reader.feed_data(data)
        reader.feed_eof()
        limits = WakeLimits(idle=60.0)
        writer = cast(asyncio.StreamWriter, answers)
        await WakeConnection(reader, writer, vocabulary, description_of(vocabulary), limits, _here).serve()

    loop.run_until_complete(serve())
    return _kinds(answers.said)


def _kinds(said: bytes) -> str:
    """Of the answers, which are messages themselves."""
    kinds = []
    while said:
        line, _, said = said.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        said = said[head.get("data_length", 0) + head.get("payload_length", 0) :]
        kinds.append(head["type"])
    if unknown := set(kinds) - {"info", "pong", "detection", "not-detected", "error"}:
        raise BrokenContractError(f"it answers {unknown}")
    return ", ".join(sorted(set(kinds))) or "nothing"


def _message(kind: str, payload: bytes = b"", **data: Any) -> bytes:
    more = json.dumps(data).encode()
    head = {"type": kind, "data_length": len(more), "payload_length": len(payload)}
    return json.dumps(head).encode() + b"\n" + more + payload


def seeds() -> list[bytes]:
    """Conversations."""
    form = {"rate": 16_000, "width": 2, "channels": 1}
    chunk = _message("audio-chunk", bytes(range(256)), **form, timestamp=5)
    return [
        b'{"type": "describe"}\n',
        b'{"type": "detect", "data": {"names": ["yes"]}}\n' + _message("audio-start", **form) + chunk,
        _message("detect") + chunk + chunk + _message("audio-stop", timestamp=20),
        _message("audio-chunk", bytes(256), rate=8_000, width=2, channels=2),
        _message("ping", text="x") + _message("something", b"else"),
        _message("audio-chunk", b"x", rate=0, width=1, channels=9),
    ]
