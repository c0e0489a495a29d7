"""More than the service can take: what is refused, how, and that everything is free again afterwards."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from snn_voice_server.app import create_app
from snn_voice_server.models import work
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from tests.server.conftest import Slowly, answering, queued, until
from tests.server.helpers import Running, check, clip, encoded, wav
from tests.slowness import mostly_slow


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slowly]:
    """Takes effect for what runs after `arm`."""
    found = Slowly()
    yield found
    found.go_on.set()


def arm(monkeypatch: pytest.MonkeyPatch, slowly: Slowly) -> None:
    """From now on batches wait; the warm-up has passed."""
    monkeypatch.setattr(work, "logits_of", slowly)


def asked(client: httpx.AsyncClient, audio: bytes = wav(), **more: Any) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.post("/classify", content=audio, **more))


def told_to_wait(answer: httpx.Response, status: int, code: str) -> int:
    check(answer, status, code)
    seconds = answer.headers["retry-after"]
    assert seconds.isdecimal()
    assert 1 <= int(seconds) <= 120
    return int(seconds)


# --- bodies ---------------------------------------------------------------------------------------


def test_a_body_without_a_length_is_not_read_to_its_end(model: SnnVoice) -> None:
    app = create_app(model, Settings(max_body_mb=0.1))
    read = 0
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, object]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": bytes(40_000), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/classify", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert read == 3
    assert app.state.service.bodies.held == 0


def silence(kind: str, subtype: str, minutes: int) -> bytes:
    file = io.BytesIO()
    with sf.SoundFile(file, "w", 16_000, 1, subtype, format=kind) as sound:
        for _ in range(minutes):
            sound.write(np.zeros(60 * 16_000, np.int16))
    return file.getvalue()


def ogg_pages(data: bytes) -> list[bytes]:
    starts = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    return [data[a:b] for a, b in itertools.pairwise([*starts, len(data)])]


def renumbered(page: bytes, number: int, end: int, flags: int) -> bytes:
    """A page of Ogg at another place of its stream, with the checksum that it has there (RFC 3533)."""
    new = page[:5] + bytes([flags]) + end.to_bytes(8, "little") + page[14:18] + number.to_bytes(4, "little")
    new += bytes(4) + page[26:]
    checksum = 0
    for byte in new:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum & 1 << 31 else 0)
    return new[:22] + checksum.to_bytes(4, "little") + new[26:]


def hour_of_ogg() -> bytes:
    """A minute's pages sixty times, numbered and dated anew; to encode an hour takes long."""
    head, body = [], []
    for page in ogg_pages(silence("OGG", "VORBIS", 1)):
        (head if page[6:14] == bytes(8) else body).append(page)  # those of the head end at sample 0
    found = list(head)
    for minute in range(60):
        for page in body:
            last = page[5] & 4 if minute == 59 else 0
            end = int.from_bytes(page[6:14], "little") + minute * 60 * 16_000
            found.append(renumbered(page, len(found), end, page[5] & ~4 | last))
    return b"".join(found)


def without_a_length(flac: bytes) -> bytes:
    """A stream whose head does not say how many samples follow, as a live encoder writes it."""
    data = bytearray(flac)
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("form", mostly_slow(["FLAC", "FLAC without a length", "OGG"], "OGG"))
def test_an_hour_in_a_small_file(server: Running, client: httpx.Client, form: str) -> None:
    """57.6 million samples, 230 MB of floats, if they were decoded."""
    audio = hour_of_ogg() if form == "OGG" else silence("FLAC", "PCM_16", 60)
    if form == "FLAC without a length":
        audio = without_a_length(audio)
    assert len(audio) < 2_000_000
    before = server.peak_megabytes()
    check(client.post("/classify", content=audio), 413, "too_long")
    result = client.post("/classify/batch", files=[("file", ("a", audio))]).json()["results"][0]
    assert result["error"]["code"] == "too_long"
    assert server.peak_megabytes() - before < 100


def test_memory_for_bodies_is_bounded(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly
) -> None:
    app = create_app(model, Settings(max_body_mb=1, max_body_memory_mb=1))
    big = wav(1, seconds=20)
    assert 500_000 < len(big) < 1_000_000

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            first = asked(client, big)
            await slowly.begun()
            told_to_wait(await client.post("/classify", content=big), 503, "busy")
            told_to_wait(await client.post("/classify/batch", files={"file": big}), 503, "busy")
            small = asked(client, wav(2))  # there is still room for it
            await until(lambda: queued(app))
            slowly.go_on.set()
            assert [(await first).status_code, (await small).status_code] == [200, 200]
            assert (await client.post("/classify", content=big)).status_code == 200
            assert app.state.service.bodies.held == 0

    asyncio.run(scene())


# --- the queue ------------------------------------------------------------------------------------


def test_full_queue(model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly) -> None:
    app = create_app(model, Settings(max_queue=4, max_batch_size=1))

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            running = asked(client)
            await slowly.begun()
            waiting = [asked(client) for _ in range(4)]
            await until(lambda: queued(app) == 4)
            for _ in range(3):
                told_to_wait(await client.post("/classify", content=wav()), 503, "busy")
            assert all(not task.done() for task in [running, *waiting])
            slowly.go_on.set()
            assert [(await task).status_code for task in [running, *waiting]] == [200] * 5
            assert queued(app) == 0
            page = (await client.get("/metrics")).text
            assert 'snn_voice_refused_total{reason="busy"} 3.0' in page

    asyncio.run(scene())


def test_a_full_queue_refuses_before_the_body_is_read(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly
) -> None:
    app = create_app(model, Settings(max_queue=1, max_batch_size=1))

    async def unread() -> Any:
        raise AssertionError("the body was read")
        yield b""

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            running = asked(client)
            await slowly.begun()
            waiting = asked(client)
            await until(lambda: queued(app) == 1)
            told_to_wait(await client.post("/classify", content=unread()), 503, "busy")
            slowly.go_on.set()
            await asyncio.gather(running, waiting)

    asyncio.run(scene())


def test_a_client_that_waits_as_it_is_told_gets_its_answer(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly
) -> None:
    app = create_app(model, Settings(max_queue=2, max_batch_size=1))

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            others = [asked(client)]
            await slowly.begun()
            others += [asked(client), asked(client)]
            await until(lambda: queued(app) == 2)
            answer = await client.post("/classify", content=wav())
            slowly.go_on.set()
            for _ in range(20):
                if answer.status_code == 200:
                    break
                await asyncio.sleep(told_to_wait(answer, 503, "busy"))
                answer = await client.post("/classify", content=wav())
            assert answer.status_code == 200
            await asyncio.gather(*others)

    asyncio.run(scene())


def test_share_of_one_key(model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly) -> None:
    app = create_app(model, Settings(max_queue=4, max_batch_size=1, api_keys=["one", "two"]))
    one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            tasks = [asked(client, headers=one)]
            await slowly.begun()
            tasks += [asked(client, headers=one) for _ in range(2)]
            await until(lambda: queued(app) == 2)
            told_to_wait(await client.post("/classify", content=wav(), headers=one), 429, "over_share")
            tasks += [asked(client, headers=two) for _ in range(2)]
            await until(lambda: queued(app) == 4)
            slowly.go_on.set()
            assert [(await task).status_code for task in tasks] == [200] * 5
            assert (await client.post("/classify", content=wav(), headers=one)).status_code == 200

    asyncio.run(scene())


def test_deadline(model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly) -> None:
    app = create_app(model, Settings(deadline=0.3, max_batch_size=2))

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            first = asked(client)
            await slowly.begun()
            for answer in await asyncio.gather(first, asked(client), asked(client)):
                assert "deadline" in check(answer, 504, "deadline")
            files = [("file", ("a", wav())), ("file", ("b", b"x"))]
            results = (await client.post("/classify/batch", files=files)).json()["results"]
            assert [result["error"]["code"] for result in results] == ["deadline", "not_audio"]
            slowly.go_on.set()
            await until(lambda: queued(app) == 0)
            service = app.state.service
            service.settings = service.settings.model_copy(update={"deadline": 60.0})
            assert (await client.post("/classify", content=wav())).status_code == 200
            assert slowly.sizes == [1, 1]  # what had not begun did not run
            page = (await client.get("/metrics")).text
            assert 'snn_voice_refused_total{reason="deadline"} 3.0' in page

    asyncio.run(scene())


def test_short_clips_are_answered_beside_a_long_one(
    model: SnnVoice, monkeypatch: pytest.MonkeyPatch, slowly: Slowly
) -> None:
    app = create_app(model, Settings(max_batch_size=8))
    done: list[str] = []

    async def scene() -> None:
        async with answering(app) as client:
            arm(monkeypatch, slowly)
            first = asked(client)
            await slowly.begun()
            long = asked(client, encoded(clip(1, 50)))
            await until(lambda: queued(app) > 50)
            long.add_done_callback(lambda _: done.append("long"))
            for seed in range(4):
                short = asked(client, wav(seed))
                short.add_done_callback(lambda _: done.append("short"))
            await until(lambda: queued(app) > 54)
            slowly.go_on.set()
            await long
            await first

    asyncio.run(scene())
    assert done == ["short"] * 4 + ["long"]
