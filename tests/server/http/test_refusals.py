"""Sound, settings, JSON and forms that can't be used: status and code of each, over a real socket."""

from __future__ import annotations

import base64
import gzip
import json

import httpx
import numpy as np
import pytest

from tests.server.conftest import SMALL_SECONDS
from tests.server.helpers import Running, check, encoded, wav

JSON = {"Content-Type": "application/json"}
BASE64 = base64.b64encode(wav()).decode()


def hub_json(**parameters: object) -> dict[str, object]:
    return {"inputs": BASE64, "parameters": parameters}


# --- sound ----------------------------------------------------------------------------------------


NOT_SOUND = {
    "text": b"hello, this is no sound",
    "html": b"<!doctype html><html></html>",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "m4a": b"\0\0\0\x20ftypM4A " + bytes(100),
    "zeros": bytes(5000),
    "one byte": b"x",
    "riff of another kind": b"RIFF\x10\0\0\0AVI " + bytes(20),
    "form of curl -d": b"file=yes.wav&top_k=3",
    "utf-16": "hello, this is no sound".encode("utf-16"),
}


@pytest.mark.parametrize("name", NOT_SOUND)
@pytest.mark.parametrize("content_type", ["audio/wav", "application/octet-stream", ""])
def test_not_sound(client: httpx.Client, name: str, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    check(client.post("/classify", content=NOT_SOUND[name], headers=headers), 415, "not_audio")


def test_not_sound_inside_form_or_json(client: httpx.Client) -> None:
    check(client.post("/classify", files={"file": b"hello"}), 415, "not_audio")
    inputs = base64.b64encode(b"hello").decode()
    check(client.post("/classify", json={"inputs": inputs}), 415, "not_audio")


def test_json_that_calls_itself_sound(client: httpx.Client) -> None:
    """A page that was saved under the name of a sound file."""
    answer = client.post("/classify", content=b'{"error": 404}', headers={"Content-Type": "audio/wav"})
    assert "JSON" in check(answer, 415, "not_audio")


def test_no_text_that_calls_itself_json(client: httpx.Client) -> None:
    check(client.post("/classify", content=NOT_SOUND["m4a"], headers=JSON), 415, "not_audio")


def nothing_but_nan() -> bytes:
    return encoded(np.full(8000, np.nan, np.float32), subtype="FLOAT")


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (b"", "empty"),
        (wav()[:5000], "truncated"),
        (wav()[:20], "truncated"),
        (b"RIFF", "not_audio"),
        (encoded(np.zeros(0, np.float32)), "no_samples"),
        (nothing_but_nan(), "not_finite"),
        (encoded(np.zeros(1000, np.float32), rate=1000), "bad_sample_rate"),
        (encoded(np.zeros(9000, np.float32), "FLAC")[:60], "truncated"),
    ],
    ids=["empty", "cut", "cut in header", "magic alone", "no samples", "nan", "rate", "cut flac"],
)
def test_unusable_sound(client: httpx.Client, audio: bytes, code: str) -> None:
    status = 415 if code == "not_audio" else 400
    check(client.post("/classify", content=audio), status, code)
    check(client.post("/classify", files={"file": ("a.wav", audio)}), status, code)
    inputs = base64.b64encode(audio).decode()
    check(client.post("/classify", json={"inputs": inputs}), status, code)


def test_too_long(client: httpx.Client, small_server: Running) -> None:
    assert client.post("/classify", content=wav(seconds=60)).status_code == 200
    text = check(client.post("/classify", content=wav(seconds=60.1)), 413, "too_long")
    assert "60 s" in text
    assert "max_seconds" not in text  # a hint for Python would not help here
    url = f"{small_server.url}/classify"
    assert httpx.post(url, content=wav(seconds=SMALL_SECONDS), timeout=60).status_code == 200
    check(httpx.post(url, content=wav(seconds=SMALL_SECONDS + 0.1)), 413, "too_long")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", ["0", "-1", "x", "", "2.5", "1e3", "1_0", "٣", " 3", "true", "9" * 5000])
def test_bad_top_k_in_query_and_form(client: httpx.Client, top_k: str) -> None:
    check(client.post("/classify", content=wav(), params={"top_k": top_k}), 400, "bad_top_k")
    if top_k.strip() == top_k:
        answer = client.post("/classify", files={"file": wav()}, data={"top_k": top_k})
        check(answer, 400, "bad_top_k")


def test_setting_given_twice(client: httpx.Client) -> None:
    check(client.post("/classify?top_k=1&top_k=2", content=wav()), 400, "bad_top_k")


@pytest.mark.parametrize("top_k", [0, -1, 2.5, 3.0, "3", True, [], {}])
def test_bad_top_k_in_json(client: httpx.Client, top_k: object) -> None:
    check(client.post("/classify", json=hub_json(top_k=top_k)), 400, "bad_top_k")


@pytest.mark.parametrize("function", ["relu", "", "Softmax", "softmax "])
def test_bad_function_in_query(client: httpx.Client, function: str) -> None:
    answer = client.post("/classify", content=wav(), params={"function_to_apply": function})
    assert "softmax, sigmoid, none" in check(answer, 400, "bad_function_to_apply")


@pytest.mark.parametrize("function", ["relu", 3, True, ["softmax"], {"softmax": 1}, "\ud800", "\0" * 9999])
def test_bad_function_in_json(client: httpx.Client, function: object) -> None:
    content = json.dumps(hub_json(function_to_apply=function)).encode()
    check(client.post("/classify", content=content, headers=JSON), 400, "bad_function_to_apply")


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "bad_json"),
        ("", "empty"),
        ("hello", "bad_json"),
        ("[1, 2]", "bad_json"),
        ('"text"', "bad_json"),
        ("null", "bad_json"),
        ("3", "bad_json"),
        ('{"inputs": ' + "9" * 5000 + "}", "bad_json"),
        ('{"inputs": ' + "[" * 900, "bad_json"),
        ('{"inputs": ' + "[" * 100_000, "bad_json"),
        ('{"inputs": [' + "[]," * 100_000 + "[]]}", "bad_json"),
        ("{}", "no_inputs"),
        ('{"input": "x"}', "no_inputs"),
        ('{"inputs": null}', "bad_inputs"),
        ('{"inputs": 3}', "bad_inputs"),
        ('{"inputs": ["QUJD"]}', "bad_inputs"),
        ('{"inputs": {"a": "QUJD"}}', "bad_inputs"),
        ('{"inputs": NaN}', "bad_inputs"),
        ('{"inputs": "not base64!"}', "bad_inputs"),
        ('{"inputs": "QUJ"}', "bad_inputs"),
        ('{"inputs": "\\ud800"}', "bad_inputs"),
        ('{"inputs": "é"}', "bad_inputs"),
        ('{"inputs": "https://example.org/yes.wav"}', "bad_inputs"),
        ('{"inputs": "data:audio/wav,abc"}', "bad_inputs"),
        ('{"inputs": ""}', "empty"),
        ('{"inputs": "QUJD", "parameters": 3}', "bad_parameters"),
        ('{"inputs": "QUJD", "parameters": ["top_k"]}', "bad_parameters"),
        ('{"inputs": "QUJD", "parameters": {"topk": 3}}', "bad_parameters"),
    ],
)
def test_bad_json(client: httpx.Client, body: str, code: str) -> None:
    check(client.post("/classify", content=body.encode(), headers=JSON), 400, code)


def test_json_that_is_not_utf8(client: httpx.Client) -> None:
    check(client.post("/classify", content=b'{"inputs": "\xff"}', headers=JSON), 400, "bad_json")


# --- forms ----------------------------------------------------------------------------------------


def test_form_without_the_file(client: httpx.Client) -> None:
    text = check(client.post("/classify", files={"audio": wav()}), 400, "no_file")
    assert "'audio'" in text
    assert "'file'" in text
    check(client.post("/classify", files={"top_k": (None, "3")}), 400, "no_file")


def test_form_with_two_files(client: httpx.Client) -> None:
    answer = client.post("/classify", files=[("file", wav(1)), ("file", wav(2))])
    check(answer, 400, "several_files")


def test_form_with_an_unknown_field(client: httpx.Client) -> None:
    answer = client.post("/classify", files={"file": wav(), "other": wav()})
    assert "'other'" in check(answer, 400, "bad_form")


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nabc\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data", FORM, "bad_form"),
        ("multipart/form-data; boundary=", FORM, "bad_form"),
        ("multipart/form-data; boundary=y", FORM, "bad_form"),
        ("multipart/form-data; boundary=" + "x" * 500, FORM, "bad_form"),
        ("multipart/form-data; boundary=x", FORM[:-8], "bad_form"),
        ("multipart/form-data; boundary=x", FORM[:30], "bad_form"),
        ("multipart/form-data; boundary=x", b"hello", "bad_form"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "no_file"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n", "no_file"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n" * 10_000 + b"--x--", "bad_form"),
    ],
)
def test_broken_form(client: httpx.Client, content_type: str, body: bytes, code: str) -> None:
    check(client.post("/classify", content=body, headers={"Content-Type": content_type}), 400, code)


def test_bytes_that_curl_has_changed_are_told_of(client: httpx.Client) -> None:
    """`curl -d @yes.wav` leaves out what looks like the end of a line."""
    sound = wav().replace(b"\r", b"").replace(b"\n", b"")[1:]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/classify", content=sound, headers=headers)
    assert "--data-binary" in answer.json()["error"]["hint"]
    assert "--data-binary" not in client.post("/classify", content=sound).json()["error"]["hint"]


def test_compressed_bodies_are_refused_for_what_they_are(client: httpx.Client) -> None:
    answer = client.post("/classify", content=gzip.compress(wav()), headers={"Content-Encoding": "gzip"})
    assert "'gzip'" in check(answer, 415, "bad_encoding")
    assert client.post("/classify", content=wav(), headers={"Content-Encoding": "identity"}).is_success


def test_sound_sent_to_the_page_is_shown_the_way(client: httpx.Client) -> None:
    assert "POST /classify" in check(client.post("/", content=wav()), 405, "method_not_allowed")
