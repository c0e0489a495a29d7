"""A stream as a client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf
from fastapi import FastAPI
from fastapi.testclient import TestClient
from snn_voice_lite.streaming.detector import Event
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from snn_voice_hub import SnnVoice
from tests.places import EXAMPLES
from tests.server.conftest import until

RATE = 16_000
HELLO = {"sample_rate": RATE, "encoding": "pcm16"}
KEY = "a-key-that-nobody-guesses"
BEARER = {"Authorization": f"Bearer {KEY}"}
Message = dict[str, Any]


@cache
def listener() -> SnnVoice:
    """A model with an operating point."""
    return SnnVoice.from_pretrained()


@cache
def talk(*words: str) -> npt.NDArray[np.int16]:
    """Words with a second of a quiet room before each, and the last cut off by the end."""
    random = np.random.default_rng(0)
    parts: list[npt.NDArray[Any]] = []
    for word in words or ("yes", "go", "marvin"):
        parts += [np.zeros(RATE), sf.read(EXAMPLES / f"{word}.wav", dtype="int16")[0]]
    wave = np.concatenate(parts)
    return (wave + random.normal(0, 20, len(wave))).clip(-32_768, 32_767).astype(np.int16)


def cut(data: bytes, size: int | None) -> Iterator[bytes]:
    """Messages of one size in bytes, or of random ones."""
    random, at = np.random.default_rng(2), 0
    while at < len(data):
        count = int(random.integers(0, 6_000)) if size is None else size
        yield data[at : at + count]
        at += count


def until_closed(socket: WebSocketTestSession) -> tuple[list[Message], int]:
    """All messages that still come, and the code that the socket is closed with; the last says the same."""
    found: list[Message] = []
    while not found or found[-1]["type"] != "closed":
        found.append(json.loads(socket.receive_text()))
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert found[-1] == {"type": "closed", "reason": closed.value.reason, "code": closed.value.code}
    return found[:-1], closed.value.code


def heard(
    client: TestClient, messages: Iterable[bytes], hello: Message = HELLO, **more: Any
) -> list[Message]:
    """What a whole stream brings: after `ready`, before `closed`."""
    with client.websocket_connect("/stream", **more) as socket:
        socket.send_json(hello)
        for message in messages:
            socket.send_bytes(message)
        socket.send_json({"type": "close"})
        found, code = until_closed(socket)
    assert code == 1000
    assert found[0]["type"] == "ready"
    return found[1:]


def expected(
    data: bytes, sample_rate: int = RATE, *, model: SnnVoice | None = None, **options: Any
) -> list[Event]:
    """What the model itself hears."""
    stream = (model or listener()).stream(sample_rate=sample_rate, **options)
    return stream.feed(data) + stream.flush()


def same(found: Iterable[Message], events: Iterable[Event]) -> None:
    """Whether the keywords among messages are those events; in other batches sums have another order."""
    keywords = [message for message in found if message["type"] == "keyword"]
    assert keywords == [
        {
            "type": "keyword",
            "label": event.label,
            "score": pytest.approx(event.score, abs=2e-4),
            "start": pytest.approx(event.start, abs=1e-4),
            "end": pytest.approx(event.end, abs=1e-4),
            "time": pytest.approx(event.time, abs=1e-4),
        }
        for event in events
    ]


def refused(client: TestClient, hello: object, **more: Any) -> Message:
    """The error that a hello is answered with; the socket is closed by the status that HTTP would have."""
    with client.websocket_connect("/stream", **more) as socket:
        socket.send_text(hello if isinstance(hello, str) else json.dumps(hello))
        (error,), code = until_closed(socket)
    assert error.pop("type") == "error"
    return {**error, "closed": code}


class Client:
    """A stream to an application in this event loop, message by message.

    Args:
        app: The application.
        hello: Its first message; by default every window is run.
    """

    def __init__(self, app: FastAPI, hello: Message | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.taken = 0
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._coming.put_nowait({"type": "websocket.connect"})
        scope = {
            **{"type": "websocket", "path": "/stream", "raw_path": b"/stream", "query_string": b""},
            **{"headers": [(b"host", b"test")], "subprotocols": [], "scheme": "ws", "root_path": ""},
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))
        self.say(hello or {**HELLO, "scores": True})

    def say(self, message: dict[str, Any] | bytes) -> None:
        what = {"bytes": message} if isinstance(message, bytes) else {"text": json.dumps(message)}
        self._coming.put_nowait({"type": "websocket.receive", **what})

    def hang_up(self) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def _receive(self) -> dict[str, Any]:
        message = await self._coming.get()
        self.taken += 1
        return message

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(message["text"]) for message in self.sent if "text" in message]

    async def ready(self) -> None:
        await until(lambda: self.messages)
        assert self.messages[0]["type"] == "ready"


def metric(client: TestClient, line: str) -> float:
    """A figure of `/metrics`; 0 where there is none yet."""
    return float(client.get("/metrics").text.partition(f"\n{line} ")[2].partition("\n")[0] or 0)
