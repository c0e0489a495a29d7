"""The routes, and how the body of a request is read."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.requests import ClientDisconnect

from snn_voice_server import documentation as doc
from snn_voice_server.errors import RequestError
from snn_voice_server.schemas import Health, LabelScore, ModelFacts, Ready
from snn_voice_server.service import Service

# A client that sends nothing for so long is given up; shorter than a shutdown waits for open requests.
_PATIENCE = 20.0

router = APIRouter()


async def _service(request: Request) -> Service:  # async: a plain one would go through a thread
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]


async def _read_body(request: Request, limit: int) -> bytes:
    """The body, of which never more than `limit` bytes are kept.

    Raises:
        RequestError: It is larger, or the client stopped sending.
        ClientDisconnect: The client left.
    """
    too_large = RequestError(
        f"the body is larger than {limit / 1e6:g} MB",
        hint="cut the sound, or send it as FLAC",
        code="too_large",
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_PATIENCE):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise RequestError(
                f"nothing came for {_PATIENCE:g} s, and the body is not complete", code="timeout"
            ) from error
        if chunk is None:
            return b"".join(chunks)
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)


@router.post(
    "/classify",
    summary="The best words of a sound file",
    response_model=list[LabelScore],
    responses={
        200: doc.answer(doc.WORDS),
        400: doc.refusal(
            "The request or its sound can't be used", "truncated", "the audio data is cut off or damaged"
        ),
        408: doc.refusal("The client stopped sending", "timeout", "nothing came for 20 s"),
        413: doc.refusal("Too many bytes, or too long", "too_long", "the audio data is longer than 60 s"),
        415: doc.refusal("Not sound", "not_audio", "the audio data is not sound in a known format"),
    },
    openapi_extra=doc.CLASSIFY,
)
async def classify(request: Request, service: ServiceOf) -> object:
    """Send a sound file: raw, as `file` of a form, or as the JSON of the Hugging Face Hub.

    Sound that is longer than the model's window is read in windows; a word's score is its best over them.

        curl --data-binary @yes.wav http://127.0.0.1:8000/classify
    """
    try:
        body = await _read_body(request, service.max_body_bytes)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    content_type = request.headers.get("content-type", "")
    found = await service.answer(body, content_type, request.query_params.multi_items())
    return [LabelScore(label=prediction.label, score=prediction.score) for prediction in found]


@router.get("/health", summary="Is the process alive?", response_model=Health)
async def health() -> Health:
    """Answers as long as the process does, also while the model computes."""
    return Health()


@router.get(
    "/ready",
    summary="Can it classify?",
    response_model=Ready,
    responses={503: doc.refusal("Not yet", "not_ready", "the model is not warmed up yet")},
)
async def ready(service: ServiceOf) -> Ready:
    """200 from when the model has been warmed up."""
    if not service.ready:
        raise RequestError("the model is not warmed up yet", hint="ask again in a second", code="not_ready")
    return Ready(model=service.name)


@router.get("/model", summary="What is being served?", response_model=ModelFacts)
async def model(service: ServiceOf) -> ModelFacts:
    """Labels, configuration, and what is known about the model's training and accuracy."""
    return service.facts()


@router.get("/", include_in_schema=False)
async def index(request: Request, service: ServiceOf) -> PlainTextResponse:
    """The routes, for people who open the address."""
    url = str(request.base_url).rstrip("/")
    return PlainTextResponse(
        f"{service.name}: which word is in a sound file?\n\n"
        f"  curl --data-binary @yes.wav {url}/classify\n\n"
        "POST /classify      sound in, words out; ?top_k=5&function_to_apply=softmax\n"
        "GET  /model         labels, configuration, licence, measurements\n"
        "GET  /health        is the process alive?\n"
        "GET  /ready         can it classify?\n"
        "GET  /docs          documentation to click on\n"
        "GET  /openapi.json  documentation for programs\n"
    )
