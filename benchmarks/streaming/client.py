"""The load of `benchmarks.streaming`: WebSockets that send sound at real time, in a process of their own.

Nothing but the standard library is imported, and frames are made beforehand, so that the process takes little
of the cores that the service needs. It reads a JSON file, opens the streams, says `begin`, sends, says
`sent`, and prints what it saw as one line of JSON.

Chunk k of a stream is complete, and is sent, (k + 1) chunks after the stream began. The streams begin evenly
spread over a chunk. An event says up to where the sound was heard (`time`), so the chunk that completes it is
known. Its delay runs from when that chunk was to be sent to when the event is read: a load that falls behind
makes events late, and hides nothing.
"""

from __future__ import annotations

import base64
import json
import math
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_WAIT_SECONDS = 30.0
_SHORT, _LONG = 126, 127


@dataclass(frozen=True)
class StreamLoad:
    """What is sent.

    Attributes:
        host: Of the service.
        port: Of the service.
        streams: How many.
        sounds: Files of 16-bit PCM; the streams take turns with them.
        sample_rate: Of the sounds, in Hz.
        chunk: Seconds of sound in a message.
        options: More fields of the hello.
    """

    host: str
    port: int
    streams: int
    sounds: list[str]
    sample_rate: int
    chunk: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Received:
    """What came back.

    Attributes:
        events: For each stream its events: label, `time`, and delay in seconds (None for those that the end
            of the stream brings).
        closed: Reason by which each stream was closed; "" where it was lost.
        late: Of each chunk, in seconds, how much later it was sent than it was to be.
        cpu: CPU time of this process while it sent, in seconds.
    """

    events: list[list[tuple[str, float, float | None]]]
    closed: list[str]
    late: list[float] = field(default_factory=list)
    cpu: float = 0.0


def frame(kind: int, payload: bytes) -> bytes:
    """A frame of a client. Its mask is 0, which is as good as any for who sends no secrets."""
    size = len(payload)
    if size < _SHORT:
        head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, 0x80 | _SHORT, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 0x80 | _LONG, size)
    return head + bytes(4) + payload


def frames_in(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """The frames of a server that are complete; they are taken off `data`."""
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size == _SHORT:
            size, at = int.from_bytes(data[2:4]), 4
        elif size == _LONG:
            size, at = int.from_bytes(data[2:10]), 10
        if len(data) < at + size or (at > 2 and len(data) < at):
            return
        kind, payload = data[0] & 0x0F, bytes(data[at : at + size])
        del data[: at + size]
        yield kind, payload


class Sender:
    """One stream.

    Args:
        load: What is sent.
        frames: Its sound, message by message.
    """

    def __init__(self, load: StreamLoad, frames: list[bytes]) -> None:
        self.load = load
        self.frames = frames
        self.began = math.inf
        self.events: list[tuple[str, float, float | None]] = []
        self.closed = ""
        self.ended = False
        self.over = False
        self._waiting = bytearray()
        self._data = bytearray()
        self.socket = self._connected()

    def _connected(self) -> socket.socket:
        load = self.load
        connection = socket.create_connection((load.host, load.port), timeout=_WAIT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(bytes(16)).decode()
        connection.sendall(
            f"GET /stream HTTP/1.1\r\nHost: {load.host}:{load.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += _some(connection)
        if b" 101 " not in data.partition(b"\r\n")[0]:
            raise ConnectionError(f"no WebSocket: {bytes(data[:80])!r}")
        del data[: data.index(b"\r\n\r\n") + 4]
        hello = {"sample_rate": load.sample_rate, "encoding": "pcm16", **load.options}
        connection.sendall(frame(_TEXT, json.dumps(hello).encode()))
        while not (found := list(frames_in(data))):
            data += _some(connection)
        ready = json.loads(found[0][1])
        if ready["type"] != "ready":
            raise ConnectionError(f"no stream: {ready}")
        connection.setblocking(False)
        return connection

    def send(self, data: bytes) -> None:
        """Send, or keep what the service does not take now."""
        if not self._waiting:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                self.over = True
                return
        self._waiting += data

    def sent(self) -> bool:
        """Try to send what waits; whether all is sent."""
        if self._waiting and not self.over:
            data, self._waiting = bytes(self._waiting), bytearray()
            self.send(data)
        return not self._waiting

    def end(self) -> None:
        """Say that this was all."""
        self.ended = True
        self.send(frame(_TEXT, b'{"type": "close"}'))

    def read(self, now: float) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.over |= not data
        self._data += data
        for kind, payload in frames_in(self._data):
            if kind == _PING:
                self.send(frame(_PONG, payload))
            elif kind == _CLOSE:
                self.over = True
            elif kind == _TEXT:
                self._take(json.loads(payload), now)

    def _take(self, message: dict[str, Any], now: float) -> None:
        if message["type"] == "keyword":
            # Rounded, as `time` may lie a rounding beside the chunk's end.
            chunks = math.ceil(round(message["time"] / self.load.chunk, 6))
            last = chunks > len(self.frames)
            delay = None if last else now - (self.began + chunks * self.load.chunk)
            self.events.append((message["label"], message["time"], delay))
        elif message["type"] == "closed":
            self.closed = message["reason"]


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("the service hung up")
    return data


def run(load: StreamLoad) -> Received:
    """Send all sounds at real time."""
    size = 2 * round(load.chunk * load.sample_rate)
    sounds = []
    for path in load.sounds:
        data = Path(path).read_bytes()
        sounds.append([frame(_BINARY, data[at : at + size]) for at in range(0, len(data) - size + 1, size)])
    clients = [Sender(load, sounds[i % len(sounds)]) for i in range(load.streams)]
    poller = select.epoll()
    by_number = {client.socket.fileno(): client for client in clients}
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    print("begin", flush=True)
    begin = time.perf_counter() + 0.2
    for i, client in enumerate(clients):
        client.began = begin + i * load.chunk / len(clients)
    late = []
    cpu = time.process_time()
    for k in range(max(map(len, sounds))):
        for client in clients:
            due = client.began + (k + 1) * load.chunk
            while (left := due - time.perf_counter()) > 0:
                _read(poller, by_number, left)
            if k < len(client.frames) and not client.over:
                client.sent()
                client.send(client.frames[k])
                late.append(time.perf_counter() - due)
    cpu = time.process_time() - cpu
    print("sent", flush=True)
    end = time.perf_counter() + _WAIT_SECONDS
    while not all(client.over for client in clients) and time.perf_counter() < end:
        for client in clients:
            if client.sent() and not client.ended:
                client.end()
        _read(poller, by_number, 0.05)
    return Received([client.events for client in clients], [client.closed for client in clients], late, cpu)


def _read(poller: select.epoll, clients: dict[int, Sender], seconds: float) -> None:
    for number, _ in poller.poll(seconds):
        client = clients[number]
        client.read(time.perf_counter())
        if client.over:
            poller.unregister(number)


def main() -> None:
    """Send what a file says, and print what came back."""
    load = StreamLoad(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(asdict(run(load))), flush=True)


if __name__ == "__main__":
    main()
