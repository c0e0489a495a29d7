"""`WS /stream`: sound that goes on in, words out."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter, WebSocket

from snn_voice_server.failures import RequestError
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.listening import Listening
from snn_voice_server.http.receiving import Caller
from snn_voice_server.http.service import Service

router = APIRouter()


@router.websocket("/stream")
async def listen(socket: WebSocket) -> None:
    """See `stream`, which is what the documentation shows."""
    service: Service = socket.app.state.service
    # Also who is refused: browsers show a page nothing of an upgrade that fails.
    await socket.accept()
    await Listening(service, socket).run()


@router.get(
    "/stream",
    summary="A WebSocket: sound that goes on in, words out",
    status_code=426,
    response_model=None,
    responses={401: doc.UNAUTHORIZED, 426: doc.refusal("It is a WebSocket", "upgrade_required", "…")},
)
async def stream(caller: Caller) -> NoReturn:
    """Connect to it as a WebSocket, and send a hello in JSON.

        {"sample_rate": 16000, "encoding": "pcm16"}

    It may also have `model`, `words`, `threshold` (a number, or an object with one for each of some words),
    `hop_ms`, `scores`, `spikes` and `key`, an API key. Then send binary messages of sound, of any length: one
    channel, little-endian. What comes back is JSON, told by its `type`: `ready` (what is in force), `keyword`
    (`label`, `score`, and in seconds since the stream began `start`, `end` and `time`), `scores`, `spikes`,
    `error` (`code`, `message`, `hint`) and at last `closed` (`reason`, `code`). `{"type": "flush"}` brings
    the last words as if silence followed, `reset` begins a new stream, `close` does the first and ends.
    """
    raise RequestError(
        "this route is a WebSocket", hint="connect to ws://…/stream; see /docs", code="upgrade_required"
    )
