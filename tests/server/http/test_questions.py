"""What may be asked about a sound, in every way to ask it, and what the answer's head says."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app

from snn_voice_hub import SnnVoice, TcySNN
from tests.server.conftest import answering
from tests.server.helpers import check, clip, encoded, raw_request, read_response, wav

LONG = wav(21, seconds=3.2)


@pytest.fixture(scope="module")
def with_classes() -> Iterator[tuple[TestClient, SnnVoice]]:
    """A model that knows what is no word, and its service."""
    torch.manual_seed(5)
    labels = ["yes", "_silence_", "no", "_unknown_"]
    voice = SnnVoice(TcySNN(num_classes=4, num_steps=2), {"kind": "logmel"}, labels=labels).eval()
    with TestClient(create_app(voice)) as client:
        yield client, voice


@pytest.fixture(scope="module")
def local(model: SnnVoice) -> Iterator[TestClient]:
    with TestClient(create_app(model)) as client:
        yield client


def windows_of(model: SnnVoice, audio: bytes, **options: Any) -> list[dict[str, Any]]:
    """What Python says, in the form of the service."""
    return [
        {
            "start": pytest.approx(window.start),
            "end": pytest.approx(window.end),
            "predictions": [
                {"label": p.label, "score": pytest.approx(p.score, abs=1e-4)} for p in window.predictions
            ],
        }
        for window in model.classify_windows(audio, **options)
    ]


def asked_in_every_way(client: TestClient, audio: bytes, **settings: Any) -> list[httpx.Response]:
    """The same question in the query, in a form and in JSON."""
    text = {name: str(value).lower() if value in (True, False) else value for name, value in settings.items()}
    inputs = base64.b64encode(audio).decode()
    return [
        client.post("/classify", content=audio, params=text),
        client.post("/classify", files={"file": ("a.wav", audio)}, params=text),
        client.post("/classify", files={"file": ("a.wav", audio)}, data=text),
        client.post("/classify", json={"inputs": inputs}, params=text),
        client.post("/classify", json={"inputs": inputs, "parameters": settings}),
    ]


def test_windows(local: TestClient, model: SnnVoice) -> None:
    wanted = windows_of(model, LONG)
    assert len(wanted) > 3
    for answer in asked_in_every_way(local, LONG, windows=True):
        assert answer.status_code == 200, answer.text
        assert answer.json() == wanted


def test_windows_with_the_other_settings(local: TestClient, model: SnnVoice) -> None:
    wanted = windows_of(model, LONG, top_k=2, function_to_apply="sigmoid")
    settings = {"windows": True, "top_k": 2, "function_to_apply": "sigmoid"}
    for answer in asked_in_every_way(local, LONG, **settings):
        assert answer.json() == wanted


def test_a_short_sound_is_one_window(local: TestClient, model: SnnVoice) -> None:
    answer = local.post("/classify?windows=1", content=wav(3)).json()
    assert answer == windows_of(model, wav(3))
    assert len(answer) == 1
    assert (answer[0]["start"], answer[0]["end"]) == (0.0, pytest.approx(0.9))


def test_no_windows_unless_asked(local: TestClient) -> None:
    for text in ("false", "0", "FALSE"):
        answer = local.post("/classify", content=LONG, params={"windows": text}).json()
        assert all(set(item) == {"label", "score"} for item in answer)


@pytest.mark.parametrize("text", ["yes", "", "2", "truthy"])
def test_bad_windows(local: TestClient, text: str) -> None:
    hint = check(local.post("/classify", content=LONG, params={"windows": text}), 400, "bad_windows")
    assert "true or false" in hint
    inputs = base64.b64encode(wav()).decode()
    answer = local.post("/classify", json={"inputs": inputs, "parameters": {"windows": text}})
    check(answer, 400, "bad_windows")


def test_words_only(with_classes: tuple[TestClient, SnnVoice]) -> None:
    client, voice = with_classes
    everything = client.post("/classify", content=LONG).json()
    assert len(everything) == 4
    words = [found for found in everything if found["label"] in ("yes", "no")]
    for answer in asked_in_every_way(client, LONG, words_only=True):
        assert answer.json() == words
    for answer in asked_in_every_way(client, LONG, words_only=True, windows=True, top_k=1):
        assert answer.json() == windows_of(voice, LONG, words_only=True, top_k=1)
    batch = client.post("/classify/batch?words_only=1", files=[("file", ("a.wav", LONG))]).json()
    assert batch["results"] == [{"file": "a.wav", "predictions": words}]
    spikes = client.post("/spikes?words_only=true", content=wav(3)).json()
    among = [found["label"] for found in client.post("/spikes", content=wav(3)).json()["predictions"]]
    assert spikes["decision"]["labels"] == [label for label in among if label in ("yes", "no")]
    assert [found["label"] for found in spikes["predictions"]] == spikes["decision"]["labels"]
    assert "true or false" in check(
        client.post("/classify?words_only=2", content=LONG), 400, "bad_words_only"
    )


@pytest.mark.parametrize("settings", [{"top_k": 3}, {"function_to_apply": "none"}, {"top_k": 1}])
def test_settings(local: TestClient, model: SnnVoice, settings: dict[str, Any]) -> None:
    wanted = [
        {"label": p.label, "score": pytest.approx(p.score, abs=1e-4)}
        for p in model.classify(wav(4), **settings)
    ]
    for answer in asked_in_every_way(local, wav(4), **settings):
        assert answer.json() == wanted


def test_the_model_may_be_named(local: TestClient, model: SnnVoice) -> None:
    wanted = local.post("/classify", content=wav(5)).json()
    for answer in asked_in_every_way(local, wav(5), model="TcySNN"):
        assert answer.json() == wanted
    for answer in asked_in_every_way(local, wav(5), model="other"):
        assert "TcySNN" in check(answer, 404, "unknown_model")


def test_a_model_that_is_no_text(local: TestClient) -> None:
    inputs = base64.b64encode(wav()).decode()
    answer = local.post("/classify", json={"inputs": inputs, "parameters": {"model": 3}})
    check(answer, 400, "bad_model")


# --- one clip, one answer -------------------------------------------------------------------------


def test_one_answer_alone_in_a_crowd_in_a_form_and_in_python(checkpoint: Path) -> None:
    model = SnnVoice.from_pretrained(checkpoint)
    clips = [encoded_or_wav(seed) for seed in range(33)]
    wanted = [[(p.label, p.score) for p in model.classify(audio, top_k=35)] for audio in clips]

    async def scene() -> None:
        async with answering(create_app(model)) as client:

            async def ask(audio: bytes) -> httpx.Response:
                return await client.post("/classify?top_k=35", content=audio)

            crowd = await asyncio.gather(*map(ask, clips))
            for answer, one in zip(crowd, wanted, strict=True):
                assert same(answer.json(), one)
            alone = await ask(clips[7])
            assert same(alone.json(), wanted[7])
            files = [("file", (f"{seed}.wav", audio)) for seed, audio in enumerate(clips)]
            form = await client.post("/classify/batch?top_k=35", files=files)
            for result, one in zip(form.json()["results"], wanted, strict=True):
                assert same(result["predictions"], one)
            # They have indeed run together.
            page = (await client.get("/metrics")).text
            batches = float(re.findall(r"snn_voice_batch_windows_count\{.*\} (.*)", page)[0])
            windows = float(re.findall(r"snn_voice_windows_total\{.*\} (.*)", page)[0])
            assert batches < windows / 2

    asyncio.run(scene())


def encoded_or_wav(seed: int) -> bytes:
    return encoded(clip(seed), "FLAC") if seed % 3 == 0 else wav(seed, seconds=0.5 + seed % 5 / 2)


def same(answer: list[dict[str, Any]], wanted: list[tuple[str, float]]) -> bool:
    scores = {item["label"]: item["score"] for item in answer}
    assert scores == pytest.approx(dict(wanted), abs=1e-4)
    # In order; labels whose scores are equal to rounding may change places.
    assert [item["score"] for item in answer] == sorted(scores.values(), reverse=True)
    assert abs(dict(wanted)[answer[0]["label"]] - wanted[0][1]) < 1e-4
    return True


# --- heads ----------------------------------------------------------------------------------------


def test_server_timing(local: TestClient) -> None:
    head = local.post("/classify", content=wav()).headers["server-timing"]
    assert re.fullmatch(r"decode;dur=\d+\.\d+, queue;dur=\d+\.\d+, compute;dur=\d+\.\d+", head)
    assert "server-timing" not in local.get("/health").headers
    assert "server-timing" not in local.post("/classify", content=b"no sound").headers


def test_request_ids(local: TestClient) -> None:
    for path in ("/classify", "/health", "/nope"):
        answer = local.post(path, content=wav(), headers={"X-Request-ID": "abc-1.2:3/x+y=@_"})
        assert answer.headers["x-request-id"] == "abc-1.2:3/x+y=@_"
        made = {local.post(path, content=wav()).headers["x-request-id"] for _ in range(8)}
        assert len(made) == 8
        assert all(re.fullmatch("[0-9a-f]{16}", name) for name in made)


@pytest.mark.parametrize("identifier", ["", "a b", "x" * 129, "a\tb", '"', "{}", "ä", "a,b"])
def test_illegal_request_ids_are_replaced(local: TestClient, identifier: str) -> None:
    answer = local.get("/health", headers={"X-Request-ID": identifier.encode()})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_errors_have_a_request_id_too(local: TestClient) -> None:
    answer = local.post("/classify", content=b"no sound", headers={"X-Request-ID": "mine"})
    check(answer, 415, "not_audio")
    assert answer.headers["x-request-id"] == "mine"


def test_an_answer_is_the_same_for_every_client(server: Any, model: SnnVoice) -> None:
    """HTTP/1.0, a lower-case method of writing headers, and an absolute address."""
    for request in (
        raw_request(wav(6)).replace(b"HTTP/1.1", b"HTTP/1.0"),
        raw_request(wav(6)).replace(b"Content-Length", b"content-length"),
        raw_request(wav(6)).replace(b"POST /classify", b"POST http://test/classify"),
    ):
        with server.connect() as connection:
            connection.sendall(request)
            assert read_response(connection)[0] == 200
