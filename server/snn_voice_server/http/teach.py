"""The routes that teach new words: a training in a process of its own, and then a new model."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from snn_voice_server.failures import RequestError
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.lessons import SETTINGS, read_lesson
from snn_voice_server.http.origins import check_origin
from snn_voice_server.http.questions import check_query
from snn_voice_server.http.receiving import Caller, ServiceOf
from snn_voice_server.http.schemas import ErrorBody
from snn_voice_server.http.service import Service
from snn_voice_server.teaching.jobs import Training
from snn_voice_server.teaching.progress import Figure
from snn_voice_server.teaching.teacher import Tutor

router = APIRouter()


class TeachResult(BaseModel):
    """What has come of a training."""

    model: str = Field(description="As `model=` takes it, from now on.", examples=["lumos"])
    figures: dict[str, Figure] = Field(
        description="What was measured, some of it by what it was measured on.",
        examples=[{"missed": {"recordings": 0.05}, "false_alarms": {"speech": 0.4}, "threshold": 0.82}],
    )


class TeachJob(BaseModel):
    """A training, while it runs and after it."""

    id: str
    state: Literal["running", "done", "failed", "cancelled"]
    words: list[str]
    name: str = Field(description="What the model is called.")
    synthetic: bool = Field(description="Whether synthesisers say the words.")
    clips: dict[str, int] = Field(description="Clips of each word; empty where only synthesisers say them.")
    step: str = Field(description="What it does, in a word.", examples=["train"])
    text: str = Field(description="The same for people.")
    done: float = Field(description="How much of the step is done.")
    of: float = Field(description="How much there is; 0 where nobody knows.")
    seconds: float = Field(description="How long it has run.")
    lines: list[str] = Field(description="The newest lines for people, the oldest first.")
    error: ErrorBody | None = Field(description="Why it failed.")
    result: TeachResult | None = Field(description="What has come of it, when it is done.")


class TeachBounds(BaseModel):
    """How much may be taught at once."""

    words: int
    clips: int = Field(description="Of each word.")
    bytes: int = Field(description="Of all clips, packed and unpacked.")
    seconds: float = Field(description="That a training may take.")


class TeachState(BaseModel):
    """The newest training, and what another one may have."""

    job: TeachJob | None
    limits: TeachBounds


_EXAMPLE_JOB = {
    "id": "5f0c2a9be311",
    "state": "running",
    "words": ["lumos"],
    "name": "lumos",
    "synthetic": True,
    "clips": {"lumos": 10},
    "step": "train",
    "text": "trains, epoch 3",
    "done": 3,
    "of": 10,
    "seconds": 41.5,
    "lines": ["reads 10 clips", "trains, epoch 3"],
    "error": None,
    "result": None,
}
_EXAMPLE = {
    "job": _EXAMPLE_JOB,
    "limits": {"words": 20, "clips": 200, "bytes": 64_000_000, "seconds": 3600.0},
}
_FORBIDDEN = doc.refusal(
    "This service does not teach",
    "forbidden",
    "this service does not teach",
    "start it with --allow-teach; or train by `snn-voice teach WORD --clips FILE.zip --out FOLDER`",
)
_FIELDS: dict[str, Any] = {
    "words": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Words or phrases; without clips they are needed. Commas separate them, too. "
        "With a pronunciation in the phonemes of CMUdict where synthesisers err: `lumos=L UW1 M OW0 S`.",
    },
    "synthetic": {
        "type": "string",
        "enum": ["yes", "no"],
        "default": "yes",
        "description": "Whether synthesisers say the words, too; without clips they do it alone.",
    },
    "name": {"type": "string", "description": "What the model is to be called; by default as its words."},
}
_ZIP = {
    "type": "string",
    "format": "binary",
    "description": "A zip of `word/speaker_nohash_0.wav` and so on; the folders are the words.",
}
_REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in _FIELDS.items()
    ],
    "requestBody": {
        "description": "Clips of the words: a zip as it is, or as `clips` in a form.",
        "content": {
            "application/zip": {"schema": _ZIP},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"clips": _ZIP, **_FIELDS},
                }
            },
        },
    },
}


@router.post(
    "/teach",
    summary="Teach new words",
    status_code=202,
    response_model=TeachState,
    responses={
        202: doc.answer(_EXAMPLE),
        **{status: doc.REFUSALS[status] for status in (401, 408, 415, 503)},
        400: doc.refusal("The clips can't be used", "bad_zip", "the clips are no zip, or it is damaged"),
        403: _FORBIDDEN,
        409: doc.refusal("One at a time", "teaching", "another training is under way", "see GET /teach"),
        413: doc.refusal("Too many bytes", "too_large", "the body is larger than 64 MB"),
        507: doc.refusal(
            "No room for the clips",
            "no_room",
            "the service can't keep the clips: No space left on device",
            "its log says where; whoever runs it can make room there",
        ),
    },
    openapi_extra=_REQUEST,
)
async def teach(request: Request, service: ServiceOf, caller: Caller) -> TeachState:
    """Begin a training, in a process of its own. `GET /teach` tells of it; then its model is served."""
    teacher = _teacher(service)
    # A form is sent by any page, without a question to this service first.
    check_origin(request, service.settings.cors_origins, "teach this service")
    check_query(request.query_params, SETTINGS)
    teacher.check_free()
    with service.bodies.hold() as room:
        body = await room.read(request, teacher.limits.max_bytes, hint="fewer clips, or FLAC")
        content_type, query = request.headers.get("content-type", ""), request.query_params.multi_items()
        lesson = await asyncio.to_thread(read_lesson, body, content_type, query, teacher.limits.words)
        # To its end, also when the client hangs up now: it has sent all.
        await teacher.begin(lesson, caller)
    return _state(teacher)


@router.get(
    "/teach",
    summary="How far is the training?",
    response_model=TeachState,
    responses={200: doc.answer(_EXAMPLE), 401: doc.UNAUTHORIZED, 403: _FORBIDDEN},
)
async def training(request: Request, service: ServiceOf, _: Caller) -> TeachState:
    """The newest training, and what another one may have."""
    check_query(request.query_params, ())
    return _state(_teacher(service))


@router.delete(
    "/teach",
    summary="Cancel the training",
    response_model=TeachState,
    responses={
        200: doc.answer(_EXAMPLE | {"job": _EXAMPLE_JOB | {"state": "cancelled"}}),
        401: doc.UNAUTHORIZED,
        403: _FORBIDDEN,
        404: doc.refusal("None runs", "no_job", "no training is under way", "GET /teach"),
    },
)
async def cancel(request: Request, service: ServiceOf, caller: Caller) -> TeachState:
    """End the training that runs; answered when it has ended. A model that is being loaded is loaded."""
    teacher = _teacher(service)
    check_origin(request, service.settings.cors_origins, "teach this service")
    check_query(request.query_params, ())
    await teacher.cancel(caller)
    return _state(teacher)


def _teacher(service: Service) -> Tutor:
    if service.teacher is None:
        error = _FORBIDDEN["content"]["application/json"]["example"]["error"]
        raise RequestError(error["message"], hint=error["hint"], code="forbidden")
    return service.teacher


def _state(teacher: Tutor) -> TeachState:
    limits = teacher.limits
    bounds = TeachBounds(
        words=limits.words, clips=limits.clips, bytes=limits.max_bytes, seconds=limits.seconds
    )
    return TeachState(job=None if teacher.job is None else _told(teacher.job), limits=bounds)


def _told(job: Training) -> TeachJob:
    progress, error = job.progress, job.error
    return TeachJob(
        id=job.identifier,
        state=job.state,
        words=job.words,
        name=job.name,
        synthetic=job.synthetic,
        clips=dict(job.counts),
        step=progress.step,
        text=progress.text,
        done=progress.done,
        of=progress.of,
        seconds=round(job.seconds, 1),
        lines=list(progress.lines),
        error=None if error is None else ErrorBody(code=error.code, message=error.message, hint=error.hint),
        result=TeachResult(model=job.name, figures=progress.figures) if job.state == "done" else None,
    )
