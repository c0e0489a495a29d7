"""Several files in one form: an answer or an error for each, in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app
from snn_voice_server.models import work
from snn_voice_server.models.served import Entry
from snn_voice_server.settings import Settings

from snn_voice_hub import SnnVoice
from snn_voice_hub.inference.ends import Ends
from tests.server.conftest import Slowly, answering, queued, until
from tests.server.helpers import check, wav

Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def local(model: SnnVoice) -> Iterator[TestClient]:
    with TestClient(create_app(model, Settings(max_files=32))) as client:
        yield client


def predictions(model: SnnVoice, audio: bytes, **options: Any) -> list[dict[str, Any]]:
    return [
        {"label": p.label, "score": pytest.approx(p.score, abs=1e-4)}
        for p in model.classify(audio, **options)
    ]


def test_thirty_one_good_files_and_a_bad_one(local: TestClient, model: SnnVoice) -> None:
    clips = [wav(seed) for seed in range(32)]
    clips[13] = b"hello, this is no sound"
    files: Files = [("file", (f"{seed}.wav", audio)) for seed, audio in enumerate(clips)]
    answer = local.post("/classify/batch", files=files)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["file"] for result in results] == [f"{seed}.wav" for seed in range(32)]
    for seed, result in enumerate(results):
        if seed == 13:
            assert set(result) == {"file", "error"}
            assert set(result["error"]) == {"code", "message", "hint"}
            assert result["error"]["code"] == "not_audio"
        else:
            assert set(result) == {"file", "predictions"}
            assert result["predictions"] == predictions(model, clips[seed])


def test_each_error_stays_with_its_file(local: TestClient) -> None:
    bad = {"empty": b"", "not_audio": b"x", "truncated": wav()[:999], "too_long": wav(seconds=60.5)}
    files: Files = [("file", (code, audio)) for code, audio in bad.items()]
    results = local.post("/classify/batch", files=[*files, ("file", ("good", wav()))]).json()["results"]
    assert [result["error"]["code"] for result in results[:-1]] == list(bad)
    assert results[-1]["predictions"]
    assert "max_seconds" not in str(results)


def test_settings_in_the_form_and_the_query(local: TestClient, model: SnnVoice) -> None:
    files: Files = [("file", ("a", wav(1))), ("files", ("b", wav(2, seconds=3)))]
    settings = {"top_k": "2", "function_to_apply": "sigmoid", "words_only": "true"}
    for answer in (
        local.post("/classify/batch", files=files, data=settings),
        local.post("/classify/batch", files=files, params=settings),
        local.post("/classify/batch?top_k=7", files=files, data=settings),
    ):
        for result, (_, (name, audio)) in zip(answer.json()["results"], files, strict=True):
            wanted = predictions(model, audio, top_k=2, function_to_apply="sigmoid")
            assert result == {"file": name, "predictions": wanted}


def test_windows(local: TestClient, model: SnnVoice) -> None:
    files: Files = [("file", ("a", wav(2, seconds=3))), ("file", ("b", b"x"))]
    first, second = local.post("/classify/batch?windows=true&top_k=1", files=files).json()["results"]
    wanted = model.classify_windows(wav(2, seconds=3), top_k=1)
    assert [(w["start"], w["predictions"][0]["label"]) for w in first["windows"]] == [
        (window.start, window.predictions[0].label) for window in wanted
    ]
    assert set(second) == {"file", "error"}


@pytest.mark.parametrize(
    "name",
    ["ä ö.wav", "名前.wav", 'quo"te.wav', "a;b=c.wav", "../../etc/passwd", "", "\U0001f600", "x" * 255],
)
def test_strange_names_come_back(local: TestClient, name: str) -> None:
    boundary = b"--x\r\n"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    head = b'Content-Disposition: form-data; name="file"; filename="' + escaped + b'"\r\n\r\n'
    body = (boundary + head + wav() + b"\r\n") * 2 + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = local.post("/classify/batch", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [result["file"] for result in answer.json()["results"]] == [name, name]


def test_too_many_files(local: TestClient) -> None:
    for count in (33, 200):
        files: Files = [("file", (str(index), b"x")) for index in range(count)]
        answer = local.post("/classify/batch", files=files)
        assert "32" in check(answer, 400, "too_many_files")


def test_no_files(local: TestClient) -> None:
    check(local.post("/classify/batch", files={"audio": wav()}), 400, "bad_form")
    check(local.post("/classify/batch", files={"top_k": (None, "3")}), 400, "no_file")
    check(local.post("/classify/batch"), 400, "bad_form")


@pytest.mark.parametrize("content_type", ["audio/wav", "application/json", "", "text/plain"])
def test_other_content_types(local: TestClient, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = local.post("/classify/batch", content=wav(), headers=headers)
    assert "multipart/form-data" in check(answer, 400, "bad_form")


def test_bad_settings_are_errors_of_the_request(local: TestClient) -> None:
    files: Files = [("file", ("a", wav()))]
    check(local.post("/classify/batch?top_k=0", files=files), 400, "bad_top_k")
    check(local.post("/classify/batch", files=files, data={"windows": "maybe"}), 400, "bad_windows")
    check(local.post("/classify/batch", files=files, data={"model": "other"}), 404, "unknown_model")
    check(local.post("/classify/batch", files=files, data={"colour": "red"}), 400, "bad_form")


def test_more_files_than_the_queue_holds(model: SnnVoice) -> None:
    """They wait for room among themselves; only a queue that is full of others' work refuses."""
    settings = Settings(max_queue=4, max_batch_size=2, max_files=32)
    with TestClient(create_app(model, settings)) as client:
        files: Files = [("file", (str(seed), wav(seed))) for seed in range(32)]
        results = client.post("/classify/batch", files=files).json()["results"]
    assert all(result["predictions"] for result in results)


def test_a_full_queue_refuses_the_whole_form(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly = Slowly()

    async def scene() -> httpx.Response:
        app = create_app(model, Settings(max_queue=2, max_batch_size=1))
        async with answering(app) as client:
            monkeypatch.setattr(work, "logits_of", slowly)
            others = [asyncio.create_task(client.post("/classify", content=wav()))]
            await slowly.begun()
            others += [asyncio.create_task(client.post("/classify", content=wav())) for _ in range(2)]
            await until(lambda: queued(app) == 2)
            refused = await client.post("/classify/batch", files=[("file", ("a", wav()))])
            slowly.go_on.set()
            assert [answer.status_code for answer in await asyncio.gather(*others)] == [200] * 3
            return refused

    answer = asyncio.run(scene())
    check(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_file_that_waits_for_room_is_decoded_once(model: SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long sounds need room for many windows, which is known only when they are decoded."""
    slowly, decoded, tries = Slowly(), Counter[int](), Counter[str]()
    prepare, admit = Ends.prepare, Entry.admit

    def counted(self: Ends, clip: bytes, *rest: float) -> object:
        decoded[len(clip)] += 1
        return prepare(self, clip, *rest)

    def tried(self: Entry, *asked: Any, **limits: Any) -> Any:
        tries[self.name] += 1
        return admit(self, *asked, **limits)

    app = create_app(model, Settings(max_queue=8, max_batch_size=1))

    async def scene() -> list[dict[str, object]]:
        async with answering(app) as client:
            monkeypatch.setattr(work, "logits_of", slowly)
            monkeypatch.setattr(Ends, "prepare", counted)
            monkeypatch.setattr(Entry, "admit", tried)
            first = [asyncio.create_task(client.post("/classify", content=wav(seed))) for seed in range(4)]
            await slowly.begun()
            await until(lambda: queued(app) == 3)
            files = [("file", ("long", wav(9, seconds=4.0)))]
            task = asyncio.create_task(client.post("/classify/batch", files=files))
            await until(lambda: sum(decoded.values()) == 5)
            before = tries.total()
            await until(lambda: tries.total() >= before + 5)
            assert not task.done()
            slowly.go_on.set()
            await asyncio.gather(*first)
            results: list[dict[str, object]] = (await task).json()["results"]
            return results

    assert [sorted(result) for result in asyncio.run(scene())] == [["file", "predictions"]]
    assert decoded[len(wav(9, seconds=4.0))] == 1
