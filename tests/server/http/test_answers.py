"""Sound in, words out, over a real socket: every way to send it gives what Python gives."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient

from snn_voice_hub import SnnVoice
from tests.server.helpers import FORMATS, Running, clip, encoded, raw_request, read_response, wav


def expected(model: SnnVoice, audio: bytes, **options: Any) -> list[tuple[str, float]]:
    return [(p.label, p.score) for p in model.classify(audio, **options)]


def same(answer: object, wanted: list[tuple[str, float]]) -> bool:
    assert isinstance(answer, list)
    assert all(set(item) == {"label", "score"} for item in answer)
    assert [item["label"] for item in answer] == [label for label, _ in wanted]
    assert [item["score"] for item in answer] == pytest.approx([score for _, score in wanted], abs=1e-4)
    return True


@pytest.fixture
def hub() -> InferenceClient:
    return InferenceClient()


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
@pytest.mark.parametrize("header", ["right", "curl", "none", "json", "form"])
def test_every_format_under_every_header(
    client: httpx.Client, model: SnnVoice, kind: str, subtype: str, header: str
) -> None:
    audio = encoded(clip(3), kind, subtype)
    content_type = {
        "right": FORMATS[kind, subtype],
        "curl": "application/x-www-form-urlencoded",
        "none": None,
        "json": "application/json",
        "form": "multipart/form-data; boundary=x",
    }[header]
    headers = {"Content-Type": content_type} if content_type else {}
    answer = client.post("/classify", content=audio, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert same(answer.json(), expected(model, audio))


def test_different_sounds_have_different_answers(model: SnnVoice) -> None:
    """Otherwise the tests of this module could not fail."""
    answers = [tuple(expected(model, wav(seed))) for seed in range(16)]
    assert len(set(answers)) == 16
    assert len({answer[0][0] for answer in answers}) > 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("form", [False, True])
def test_curl(server: Running, model: SnnVoice, tmp_path: Path, form: bool) -> None:
    path = tmp_path / "yes.wav"
    path.write_bytes(wav(5))
    send = ["-F", f"file=@{path}"] if form else ["--data-binary", f"@{path}"]
    output = subprocess.run(
        ["curl", "-s", *send, f"{server.url}/classify"], capture_output=True, check=True, timeout=60
    )
    assert same(json.loads(output.stdout), expected(model, wav(5)))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_that_asks_before_it_sends(server: Running, model: SnnVoice, tmp_path: Path) -> None:
    """Over one megabyte curl sends `Expect: 100-continue`."""
    audio = wav(5, seconds=40)
    assert len(audio) > 1 << 20
    path = tmp_path / "long.wav"
    path.write_bytes(audio)
    command = [
        "curl",
        "-s",
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        f"@{path}",
        f"{server.url}/classify",
    ]
    output = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert same(json.loads(output.stdout), expected(model, audio))


def test_hub_client_with_a_path(
    server: Running, model: SnnVoice, hub: InferenceClient, tmp_path: Path
) -> None:
    path = tmp_path / "yes.wav"
    path.write_bytes(wav(6))
    url = f"{server.url}/classify"
    wanted = expected(model, wav(6))
    for audio in (str(path), path):
        found = hub.audio_classification(audio, model=url)
        assert same([{"label": e.label, "score": e.score} for e in found], wanted)


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 2}, {"function_to_apply": "sigmoid"}, {"top_k": 35, "function_to_apply": "none"}],
)
def test_hub_client_with_bytes(
    server: Running, model: SnnVoice, hub: InferenceClient, options: dict[str, object]
) -> None:
    audio = encoded(clip(7), "FLAC")
    found = hub.audio_classification(audio, model=f"{server.url}/classify", **options)  # type: ignore[arg-type]
    assert same([{"label": e.label, "score": e.score} for e in found], expected(model, audio, **options))


def test_hub_client_object_bound_to_the_address(server: Running, model: SnnVoice) -> None:
    found = InferenceClient(model=f"{server.url}/classify").audio_classification(wav(8))
    assert same([{"label": e.label, "score": e.score} for e in found], expected(model, wav(8)))


def test_form(client: httpx.Client, model: SnnVoice) -> None:
    audio = wav(9)
    answer = client.post("/classify?top_k=4", files={"file": ("yes.wav", audio, "audio/wav")})
    assert same(answer.json(), expected(model, audio, top_k=4))
    answer = client.post(
        "/classify?top_k=4", files={"file": audio}, data={"top_k": "2", "function_to_apply": "none"}
    )
    assert same(answer.json(), expected(model, audio, top_k=2, function_to_apply="none"))


def test_json(client: httpx.Client, model: SnnVoice) -> None:
    audio = wav(10)
    text = base64.b64encode(audio).decode()
    lines = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    for inputs in (text, lines, f"data:audio/wav;base64,{text}"):
        answer = client.post("/classify", json={"inputs": inputs})
        assert same(answer.json(), expected(model, audio))
    # Settings in the body win over the query, one by one; null is as good as nothing.
    answer = client.post(
        "/classify?top_k=3&function_to_apply=none",
        json={"inputs": text, "parameters": {"function_to_apply": "sigmoid", "top_k": None}},
    )
    assert same(answer.json(), expected(model, audio, top_k=3, function_to_apply="sigmoid"))
    # `curl -d` calls JSON a form, too.
    answer = client.post(
        "/classify",
        content=json.dumps({"inputs": text, "parameters": None}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert same(answer.json(), expected(model, audio))


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("top_k", [1, 35, 36, 10**30])
def test_query(client: httpx.Client, model: SnnVoice, function: str, top_k: int) -> None:
    audio = wav(11)
    answer = client.post("/classify", content=audio, params={"top_k": top_k, "function_to_apply": function})
    assert same(answer.json(), expected(model, audio, top_k=min(top_k, 36), function_to_apply=function))
    assert len(answer.json()) == min(top_k, 35)


def test_five_labels_unless_asked(client: httpx.Client) -> None:
    assert len(client.post("/classify", content=wav()).json()) == 5


def test_long_sound(client: httpx.Client, model: SnnVoice) -> None:
    audio = wav(12, seconds=7.3)
    assert same(client.post("/classify", content=audio).json(), expected(model, audio))


def test_chunked_body(client: httpx.Client, model: SnnVoice) -> None:
    audio = wav(13)
    pieces = (audio[i : i + 1000] for i in range(0, len(audio), 1000))
    assert same(client.post("/classify", content=pieces).json(), expected(model, audio))


def test_body_byte_by_byte(server: Running, model: SnnVoice) -> None:
    audio = wav(14, seconds=0.05)
    with server.connect() as connection:
        for byte in raw_request(audio):
            connection.sendall(bytes([byte]))
        status, body = read_response(connection)
    assert status == 200
    assert same(json.loads(body), expected(model, audio))


def test_a_thousand_labels(small_server: Running) -> None:
    answer = httpx.post(f"{small_server.url}/classify?top_k=1000", content=wav(), timeout=60).json()
    assert sorted(item["label"] for item in answer) == sorted(f"class_{i}" for i in range(1000))
    scores = [item["score"] for item in answer]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0, abs=1e-3)


def test_sixteen_clients_get_their_own_answers(server: Running, model: SnnVoice) -> None:
    clips = [wav(seed, seconds=0.5 + seed / 10) for seed in range(16)]
    wanted = [expected(model, audio) for audio in clips]

    def ask(index: int) -> list[object]:
        with httpx.Client(base_url=server.url, timeout=60) as own:
            return [own.post("/classify", content=clips[index]).json() for _ in range(4)]

    with ThreadPoolExecutor(16) as pool:
        for answers, one in zip(pool.map(ask, range(16)), wanted, strict=True):
            assert all(same(answer, one) for answer in answers)


def test_facts(client: httpx.Client, model: SnnVoice, checkpoint: Path) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "model": checkpoint.name}
    facts = client.get("/model").json()
    assert facts["config"] == model.config.to_dict()
    assert facts["labels"] == model.labels
    assert facts["parameters"] == model.num_parameters()
    assert (facts["name"], facts["device"], facts["sample_rate"]) == (checkpoint.name, "cpu", 16000)
    assert facts["architecture"] == "TcySNN"
    assert facts["window_seconds"] == 1.0
    assert (facts["spiking"], facts["step_seconds"]) == (True, None)
    assert {"description", "license", "data", "metrics"} <= set(facts)
    engine = facts["engine"]
    assert engine["engine"] == model.engine_info()["engine"]
    assert engine["requested"] == "auto"
    assert "library" not in engine  # a path of this machine
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/plain")
    assert f"curl --data-binary @yes.wav {client.base_url}".rstrip("/") + "/classify" in page.text


def test_greeting(server: Running, checkpoint: Path) -> None:
    port = server.address[1]
    assert server.greeting == (
        f"snn-voice: {checkpoint.name} on cpu, http://127.0.0.1:{port} (docs: /docs); "
        f"try: curl --data-binary @examples/yes.wav http://127.0.0.1:{port}/classify\n"
    )
