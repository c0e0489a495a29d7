"""One stream on its way through the service: hello, sound, words, end."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from typing import Any, Final

from snn_voice_lite.streaming.chunks import ENCODINGS
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import Due, VoiceStream
from starlette.websockets import WebSocket, WebSocketDisconnect

from snn_voice_hub.errors import CheckpointError, ConfigError, SnnVoiceError
from snn_voice_server.failures import ModelFailure, Refused, RequestError, Stopped, shown
from snn_voice_server.http.answers import encode
from snn_voice_server.http.ears import Ears
from snn_voice_server.http.errors import COUNTED, EXPECTED
from snn_voice_server.http.hellos import Hello, read_hello, read_message
from snn_voice_server.http.open_streams import CLOSED, FAILED, MODEL_GONE, STOPPING, End
from snn_voice_server.http.origins import check_origin
from snn_voice_server.http.patience import Patience
from snn_voice_server.http.rasters import layers_of, spikes_in
from snn_voice_server.http.service import Service
from snn_voice_server.models.served import Entry

logger = logging.getLogger(__name__)

# Of a message with sound: half a minute at 16 kHz. A file that is sent as a stream comes in several.
MAX_BYTES: Final = 1 << 20
# Seconds of a message that are worked on at a time, so that no stream fills a batch alone.
_PIECE = 0.5
# A resampler may give a window so much sooner than it seems; it works in blocks of the second.
_SOONER = 0.04
_LEAST = 0.01

_CONTROL = '{"type": "flush"}, {"type": "reset"} or {"type": "close"}; sound comes in binary messages'


class Listening:
    """A WebSocket with sound in and words out.

    A message is read when the one before is done with. So a client that sends faster than its stream is
    worked on is slowed down by TCP, and so is one that doesn't read; nothing piles up here.

    Args:
        service: What listens.
        socket: The connection, accepted.
    """

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._timings = socket.state.timings
        self._loop = asyncio.get_running_loop()
        self._end: End | None = None
        self._patience = Patience()
        self._waiting = bytearray()

    def end(self, how: End) -> None:
        """See `OpenStream.end`."""
        self._end = self._end or how
        self._patience.stop()

    async def run(self) -> None:
        """Listen until one of both sides ends it."""
        try:
            how = await self._until_the_end()
        except WebSocketDisconnect:
            how = End(1000, "hung_up")
        else:
            await self._close(how)
        finally:
            self._patience.close()
        self._service.metrics.streams_closed.labels(how.reason).inc()

    async def _until_the_end(self) -> End:
        try:
            return await self._listen()
        except WebSocketDisconnect:
            raise
        except Stopped:
            return STOPPING if self._service.draining else MODEL_GONE
        except CheckpointError as error:
            logger.error("a stream failed: %s", error)
            await self._tell_error(ModelFailure("the model failed on this sound"))
            return FAILED
        except EXPECTED as error:
            if isinstance(error, COUNTED):
                self._service.metrics.refused.labels(error.code).inc()
            await self._tell_error(error)
            return End.by(error)
        except Exception:
            logger.exception("a stream failed")
            await self._tell_error(ModelFailure("the service failed", hint="its log says why"))
            return FAILED

    # --- messages ---------------------------------------------------------------------------------

    async def _tell(self, kind: str, **what: object) -> None:
        await self._socket.send_text(encode({"type": kind, **what}))

    async def _tell_error(self, error: SnnVoiceError) -> None:
        later = {"retry_after": error.retry_after} if isinstance(error, Refused) else {}
        await self._tell("error", code=error.code, message=error.message, hint=error.hint, **later)

    async def _close(self, how: End) -> None:
        try:
            await self._tell("closed", reason=how.reason, code=how.code)
            await self._socket.close(how.code, how.reason)
        except (WebSocketDisconnect, RuntimeError):  # it has left meanwhile
            return

    async def _receive(self, seconds: float, awaited: str) -> dict[str, Any] | None:
        """The next message; None if the stream is to end.

        Raises:
            RequestError: There was none in time.
            WebSocketDisconnect: The client has left.
        """
        if self._end is not None:
            return None
        try:
            message = await self._patience.wait(self._socket.receive, seconds)
        except TimeoutError:
            if self._end is not None:
                return None
            raise RequestError(
                f"{awaited} did not come within {seconds:g} s", hint="", code="timeout"
            ) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return dict(message)

    # --- hello ------------------------------------------------------------------------------------

    async def _listen(self) -> End:
        service = self._service
        check_origin(self._socket, service.settings.cors_origins, "listen here")
        message = await self._receive(service.settings.header_timeout, "the hello")
        if message is None:
            return self._end or CLOSED
        if message.get("text") is None:
            raise RequestError(
                "the first message is binary, and no hello",
                hint='text: {"sample_rate": 16000, "encoding": "pcm16"}',
                code="bad_hello",
            )
        hello = read_hello(message["text"])
        given = self._socket.headers.get("authorization", "")
        key = service.keys.who(given or (f"Bearer {hello.key}" if hello.key else ""))
        with service.streams.admit(self, key):
            entry = await service.entry(hello.model)
            self._timings.model = entry.name
            stream = await self._open(entry, hello)
            with entry.listening(lambda: self.end(MODEL_GONE)):
                await self._tell("ready", **self._in_force(entry, stream, hello))
                return await self._hear(Ears(service, entry, stream, key, self._timings), hello)

    async def _open(self, entry: Entry, hello: Hello) -> VoiceStream:
        make = functools.partial(entry.stream, sample_rate=hello.sample_rate, **hello.options())
        try:
            return await self._service.in_thread(make)
        except ConfigError as error:
            raise RequestError(error.message, hint=error.hint, code="bad_hello") from error

    def _in_force(self, entry: Entry, stream: VoiceStream, hello: Hello) -> dict[str, Any]:
        return {
            "model": entry.name,
            "sample_rate": hello.sample_rate,
            "encoding": hello.encoding,
            "labels": entry.config.labels,
            "words": list(stream.thresholds),
            "threshold": stream.thresholds,
            "hop_ms": round(1e3 * stream.hop, 3),
            "window_ms": round(1e3 * entry.config.features.seconds, 3),
            "scores": hello.scores,
            "spikes": hello.spikes,
            **(layers_of(stream) if hello.spikes else {}),
        }

    # --- sound ------------------------------------------------------------------------------------

    async def _hear(self, ears: Ears, hello: Hello) -> End:
        idle = self._service.settings.stream_idle_timeout
        while (message := await self._receive(idle, "a message")) is not None:
            arrived = self._loop.time()
            if (sound := message.get("bytes")) is not None:
                if len(sound) > MAX_BYTES:
                    raise RequestError(
                        f"the message has {len(sound)} bytes", hint=f"at most {MAX_BYTES}", code="too_large"
                    )
                self._waiting += sound
                await self._work(ears, hello, arrived)
            else:
                kind = read_message(message["text"], "the message", _CONTROL).get("type")
                if kind not in ("flush", "reset", "close"):
                    raise RequestError(
                        f"a message has the type {shown(kind)}", hint=_CONTROL, code="bad_message"
                    )
                if kind != "reset":
                    await self._finish(ears, hello, arrived)
                if kind == "close":
                    return CLOSED
                self._waiting.clear()
                ears.stream.reset()
                await self._tell("flushed" if kind == "flush" else "reset")
        await self._finish(ears, hello, self._loop.time())
        return self._end or CLOSED

    async def _work(self, ears: Ears, hello: Hello, arrived: float, *, all_of_it: bool = False) -> None:
        """Hear what waits; by default, as long as it makes windows complete."""
        rate, size = hello.sample_rate, ENCODINGS[hello.encoding].itemsize
        most = max(1, round(_PIECE * rate)) * size
        while self._waiting:
            # Of most windows nothing has to be done when they are complete.
            sooner = 0.0 if rate == ears.entry.config.features.sample_rate else _SOONER
            wait = ears.stream.due_in - sooner
            if hello.encoding != "pcm16":  # what is no sound is to be told soon
                wait = min(wait, ears.stream.hop)
            needed = math.ceil(max(wait, _LEAST) * rate) * size
            if len(self._waiting) < needed and not all_of_it:
                return
            # With scores or spikes, a window at a time: each has its own.
            chunk = bytes(self._waiting[: needed if hello.window_by_window else max(most, needed)])
            del self._waiting[: len(chunk)]
            # Takes less time than to wake a thread.
            await self._answer(ears, hello, ears.stream.take(chunk), arrived)
            ears.metrics.seconds.inc(len(chunk) / (size * rate))

    async def _finish(self, ears: Ears, hello: Hello, arrived: float) -> None:
        await self._work(ears, hello, arrived, all_of_it=True)
        await self._answer(ears, hello, ears.stream.take_end(), arrived)

    async def _answer(self, ears: Ears, hello: Hello, due: Due, arrived: float) -> None:
        if not due:
            return
        count = 0
        async for heard, events in ears.hear(due):
            if hello.scores:
                scores = {label: round(score, 4) for label, score in ears.stream.scores.items()}
                level = round(ears.stream.level, 1)
                await self._tell("scores", time=heard.ends[-1], level=level, scores=scores)
            if hello.spikes:
                await self._tell("spikes", **spikes_in(ears.stream, heard))
            for event in events:
                await self._tell("keyword", **_described(event))
            count += len(events)
        ears.metrics.events.inc(count)
        ears.metrics.delay.observe(self._loop.time() - arrived)


def _described(event: Event) -> dict[str, Any]:
    times = {"start": event.start, "end": event.end, "time": event.time}
    return {
        "label": event.label,
        "score": round(event.score, 4),
        **{name: round(value, 4) for name, value in times.items()},
    }
