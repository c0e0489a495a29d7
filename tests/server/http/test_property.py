"""Whatever is sent, the answer is one of those that are documented."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snn_voice_server.app import create_app
from snn_voice_server.failures import RequestError
from snn_voice_server.http.parsing import ClassifyRequest, parse, parse_batch
from snn_voice_server.http.questions import Question

from snn_voice_hub import SnnVoice
from tests.server.helpers import FORMATS, clip, encoded

CONTENT_TYPES = st.one_of(
    st.sampled_from(
        [
            "",
            "application/json",
            "application/json; charset=latin-1",
            "application/problem+json",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            "audio/wav",
            "multipart/form-data; boundary*=utf-8''%ff; boundary=\"",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
MAGIC = st.sampled_from(
    [b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM", b"\xff\xfb", b"{", b'{"inputs": "', b"--x\r\n", b"\xff"]
)
BODIES = st.builds(bytes.__add__, MAGIC, st.binary(max_size=200))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["inputs", "parameters", "top_k", "function_to_apply", "windows", "model"]) | st.text(
    max_size=8
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "inputs": VALUES | st.binary(max_size=50).map(lambda b: base64.b64encode(b).decode()),
        "parameters": VALUES | st.dictionaries(NAMES, VALUES, max_size=3),
    },
)
QUERIES = st.lists(
    st.tuples(
        NAMES, st.text(max_size=20) | st.integers().map(str) | st.sampled_from(["softmax", "none", "5"])
    ),
    max_size=3,
)
PARTS = st.lists(
    st.tuples(st.sampled_from(["file", "top_k", "other", ""]) | st.text(max_size=5), st.binary(max_size=30)),
    max_size=4,
)


def form_of(parts: list[tuple[str, bytes]]) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    return b"".join(head % (name.encode("utf-8", "replace"), data) for name, data in parts) + b"--x--\r\n"


ANYTHING = (
    st.tuples(BODIES, CONTENT_TYPES)
    | st.tuples((OBJECTS | VALUES).map(lambda v: json.dumps(v).encode()), CONTENT_TYPES)
    | st.tuples(PARTS.map(form_of), st.just("multipart/form-data; boundary=x"))
)


@settings(max_examples=300, deadline=None)
@given(request=ANYTHING, query=QUERIES)
def test_parse_raises_nothing_but_its_own_error(
    request: tuple[bytes, str], query: list[tuple[str, str]]
) -> None:
    body, content_type = request
    refusal, found = None, None
    try:
        found = parse(body, content_type, query)
    except RequestError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message.isascii()  # whatever was sent is shown in printable characters
        assert refusal.message.isprintable()
        assert len(str(refusal)) < 400
    if found is not None:
        assert found.audio
        question = found.question
        assert question.top_k >= 1
        assert question.function_to_apply in ("softmax", "sigmoid", "none")
        assert isinstance(question.windows, bool)
        assert isinstance(question.model, str)


@settings(max_examples=150, deadline=None)
@given(request=ANYTHING, query=QUERIES, most=st.integers(1, 4))
def test_parse_batch_raises_nothing_but_its_own_error(
    request: tuple[bytes, str], query: list[tuple[str, str]], most: int
) -> None:
    body, content_type = request
    try:
        found = parse_batch(body, content_type, query, max_files=most)
    except RequestError as error:
        assert error.message.isascii()
        assert len(str(error)) < 400
    else:
        assert 1 <= len(found.files) <= most


@settings(max_examples=100, deadline=None)
@given(audio=st.binary(min_size=1, max_size=300), top_k=st.integers(1, 10**40))
def test_what_is_sent_is_what_arrives(audio: bytes, top_k: int) -> None:
    question = Question(top_k, "sigmoid")
    wanted = ClassifyRequest(audio, question)
    text = base64.b64encode(audio).decode()
    hub = {"inputs": text, "parameters": {"top_k": top_k, "function_to_apply": "sigmoid"}}
    assert parse(json.dumps(hub).encode(), "application/json", [("top_k", "7")]) == wanted
    if b"\r\n--x" not in audio:
        fields = [("file", audio), ("top_k", str(top_k).encode()), ("function_to_apply", b"sigmoid")]
        assert parse(form_of(fields), "multipart/form-data; boundary=x") == wanted
    query = [("top_k", str(top_k)), ("function_to_apply", "sigmoid")]
    assert parse(b"RIFF" + audio, "", query) == ClassifyRequest(b"RIFF" + audio, question)


@pytest.fixture(scope="module")
def local(model: SnnVoice) -> Iterator[TestClient]:
    # It raises what the service itself would answer with 500.
    with TestClient(create_app(model)) as client:
        yield client


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=ANYTHING, query=QUERIES)
def test_nothing_that_is_sent_makes_it_fail(
    local: TestClient, request: tuple[bytes, str], query: list[tuple[str, str]]
) -> None:
    body, content_type = request
    params = [(name.encode("utf-8", "replace"), value.encode("utf-8", "replace")) for name, value in query]
    answer = local.post(
        "/classify",
        content=body,
        params=params,  # type: ignore[arg-type]
        headers={b"content-type": content_type.encode("latin-1")},
    )
    assert answer.status_code in (200, 400, 404, 413, 415)
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"code", "message", "hint"}


FILES = [encoded(clip(1, 0.2), kind, subtype) for kind, subtype in FORMATS]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    audio=st.sampled_from(FILES),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    head=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    keep=st.floats(0.01, 1),
)
def test_no_damaged_file_makes_it_fail(
    local: TestClient,
    audio: bytes,
    flips: list[tuple[float, int]],
    head: list[tuple[int, int]],
    keep: float,
) -> None:
    damaged = bytearray(audio[: max(1, int(len(audio) * keep))])
    for place, value in flips:
        damaged[int(place * len(damaged))] = value
    for index, value in head:
        damaged[min(index, len(damaged) - 1)] = value
    answer = local.post("/classify", content=bytes(damaged))
    assert answer.status_code in (200, 400, 413, 415), answer.text
