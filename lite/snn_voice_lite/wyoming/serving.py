"""The service: its socket, its clients, the thread that computes, and its end."""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import Any

from snn_voice_lite.errors import SnnVoiceError
from snn_voice_lite.process.sockets import begin_to_listen
from snn_voice_lite.process.starting import handling
from snn_voice_lite.wyoming.connection import WakeConnection, WakeLimits
from snn_voice_lite.wyoming.description import description_of
from snn_voice_lite.wyoming.messages import MAX_JSON
from snn_voice_lite.wyoming.offered import Vocabulary

# Clients that are refused at the door, and told so, at once; more are cut off.
_REFUSED = 16


@asynccontextmanager
async def serving(listener: socket.socket, vocabulary: Vocabulary, limits: WakeLimits) -> AsyncIterator[None]:
    """Serve clients until the end of the block, which closes their connections.

    Args:
        listener: A bound socket.
        vocabulary: The words.
        limits: What clients may take.

    Raises:
        SnnVoiceError: Another program was faster to listen at the address.
    """
    begin_to_listen(listener)
    info = description_of(vocabulary)
    served: set[asyncio.Task[Any]] = set()
    refused: set[asyncio.Task[Any]] = set()
    # One thread: clients take turns, each with a piece of a chunk.
    worker = ThreadPoolExecutor(1, thread_name_prefix="snn-voice-wyoming")
    compute: Any = functools.partial(asyncio.get_running_loop().run_in_executor, worker)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client = WakeConnection(reader, writer, vocabulary, info, limits, compute)
        with closing(writer), suppress(asyncio.CancelledError):  # which asyncio would log as a failure
            if len(served) < limits.connections:
                with _among(served):
                    await client.serve()
            elif len(refused) < _REFUSED:
                with _among(refused):
                    await client.refuse(_full(limits))

    server = await asyncio.start_server(meet, sock=listener, limit=MAX_JSON)
    try:
        yield
    finally:
        server.close()
        clients = served | refused
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        worker.shutdown()


@contextmanager
def _among(tasks: set[asyncio.Task[Any]]) -> Iterator[None]:
    """The running task is one of these until the end of the block."""
    task = asyncio.current_task()
    assert task is not None, "a connection is a task"
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def _full(limits: WakeLimits) -> SnnVoiceError:
    hint = f"at most {limits.connections} at once"
    return SnnVoiceError("too many clients are connected", hint=hint, code="too_many_connections")


def serve_until_asked_to_end(
    listener: socket.socket, vocabulary: Vocabulary, limits: WakeLimits, greet: Callable[[], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C. For the main thread.

    Args:
        listener: A bound socket.
        vocabulary: The words.
        limits: What clients may take.
        greet: Called when it listens.

    Raises:
        SnnVoiceError: Another program was faster to listen at the address.
    """

    async def serve() -> None:
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def ask(*_: object) -> None:
            loop.call_soon_threadsafe(asked.set)

        with handling({signal.SIGTERM: ask, signal.SIGINT: ask}):
            async with serving(listener, vocabulary, limits):
                greet()
                await asked.wait()

    asyncio.run(serve())
