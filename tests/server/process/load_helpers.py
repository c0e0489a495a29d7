"""Clients in closed loops, who know for each request what became of it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.server.helpers import raw_request, wait_until, wav


@dataclass
class Tally:
    """What became of the requests of some clients.

    Attributes:
        answered: Complete answers, by status.
        refused: Connections that were never established.
        lost: What happened on established connections that gave no complete answer.
        in_flight: Requests that were sent and not answered, now.
    """

    answered: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    in_flight: int = 0


class Load:
    """Clients that send a request as soon as the last one is answered, in a thread; a context manager.

    Half of them keep their connections as long as the service does, half make a new one for each request.

    Args:
        address: Host and port.
        clients: How many.
        headers: Of every request.
    """

    def __init__(self, address: tuple[str, int], clients: int, *headers: str) -> None:
        self.tally = Tally()
        self._address = address
        self._clients = clients
        kept = [raw_request(wav(seed), *headers) for seed in range(4)]
        closed = [raw_request(wav(seed), "Connection: close", *headers) for seed in range(4)]
        self._requests = (kept, closed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client end with the request that it is at."""
        self._stopping.set()
        self.join()

    def join(self) -> None:
        """Wait until every client has stopped: the service refuses connections, or `stop` was called."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "clients that never end"

    def wait_for(self, answers: int) -> None:
        """Wait until so many requests were answered."""
        wait_until(lambda: sum(self.tally.answered.values()) >= answers)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(self._clients):
                group.create_task(self._client(self._requests[index % 2]))

    async def _client(self, requests: Sequence[bytes]) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for request in itertools.cycle(requests):
            if self._stopping.is_set():
                break
            if connection is None:
                try:
                    connection = await asyncio.open_connection(*self._address)
                except OSError:
                    self.tally.refused += 1
                    return
            self.tally.in_flight += 1
            try:
                async with asyncio.timeout(30):
                    status, kept = await _exchange(*connection, request)
            except (OSError, EOFError, TimeoutError) as error:
                self.tally.lost.append(repr(error))
                kept = False
            else:
                self.tally.answered[status] = self.tally.answered.get(status, 0) + 1
            finally:
                self.tally.in_flight -= 1
            if not kept:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bool]:
    """Status of the answer, and whether the connection stays."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.split(b"content-length:")[1].split()[0]))
    return int(head.split()[1]), b"connection: close" not in head
