"""`POST /classify` and `POST /classify/batch`: the best words of a sound file, or of several."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from snn_voice_lite.answers import Window

from snn_voice_hub import Prediction
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.failures import Busy, OverShare
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.answers import json_response
from snn_voice_server.http.parsing import parse_batch
from snn_voice_server.http.receiving import receive, sound_route
from snn_voice_server.http.schemas import WORDS, ErrorBody, LabelScore
from snn_voice_server.http.service import Service, Timings
from snn_voice_server.http.sounds import Sound

router = APIRouter()

# A batch's next file asks again for room after so long.
_AGAIN_SECONDS = 0.02


class WindowScores(BaseModel):
    """The labels of one window; with `windows=true` the answer is a list of these."""

    start: float = Field(description="Where the window begins, in seconds.")
    end: float = Field(description="Where it ends, in seconds.")
    predictions: list[LabelScore]


class FileAnswer(BaseModel):
    """The answer for one file of a batch: predictions, or windows, or an error."""

    file: str = Field(description="Its name, as it was sent.")
    predictions: list[LabelScore] | None = None
    windows: list[WindowScores] | None = None
    error: ErrorBody | None = None


class BatchAnswer(BaseModel):
    """The answers for the files of a request, in order."""

    results: list[FileAnswer]


_BATCH = {
    "results": [
        {"file": "yes.wav", "predictions": WORDS},
        {
            "file": "notes.txt",
            "error": {
                "code": "not_audio",
                "message": "the audio data is not sound in a known format",
                "hint": "WAV, FLAC, OGG, MP3 or AIFF",
            },
        },
    ]
}


@sound_route(
    router,
    "/classify",
    summary="The best words of a sound file",
    response_model=list[LabelScore] | list[WindowScores],
    example=WORDS,
)
async def classify(sound: Sound) -> list[dict[str, Any]]:
    """Send a sound file: raw, as `file` of a form, or as the JSON of the Hugging Face Hub.

    Sound that is longer than the model's window is read in windows; a word's score is its best over them.
    With `windows=true` each window has an answer of its own.

        curl --data-binary @yes.wav http://127.0.0.1:8000/classify
    """
    scores = sound.ends.scores(await sound.logits())
    if not sound.question.windows:
        return _predictions(sound.ends.answer(scores))
    return [_window(window) for window in sound.ends.window_answers(sound.prepared, scores)]


def _predictions(predictions: list[Prediction]) -> list[dict[str, Any]]:
    return [{"label": prediction.label, "score": prediction.score} for prediction in predictions]


def _window(window: Window) -> dict[str, Any]:
    return {"start": window.start, "end": window.end, "predictions": _predictions(window.predictions)}


@router.post(
    "/classify/batch",
    summary="The best words of several sound files",
    response_model=BatchAnswer,
    responses={200: doc.answer(_BATCH), **doc.REFUSALS},
    openapi_extra=doc.several_sounds(),
)
async def classify_batch(request: Request) -> Response:
    """Send a form with a part `file` for each sound file; the answers are in their order.

    A file that can't be used has an `error` in its place; the others are answered all the same.

        curl -F file=@yes.wav -F file=@no.wav http://127.0.0.1:8000/classify/batch
    """
    ask = functools.partial(_classify_each, request.app.state.service)
    return json_response({"results": await receive(request, ask)})


async def _classify_each(
    service: Service, body: bytes, content_type: str, query: list[tuple[str, str]], key: str
) -> list[dict[str, Any]]:
    end = time.monotonic() + service.settings.deadline
    most = service.settings.max_files
    request = await service.in_thread(
        functools.partial(parse_batch, body, content_type, query, max_files=most)
    )
    question = request.question
    entry = await service.entry(question.model)  # an unknown model is an error of the request
    service.check_room(key, entry.name)
    # So many at once fill a batch, and leave the queue to others.
    together = asyncio.Semaphore(service.settings.max_batch_size)

    async def one(name: str, audio: bytes) -> dict[str, Any]:
        sound = Sound(service, audio, question, key, end, Timings())
        async with together:
            try:
                return {
                    "file": name,
                    "windows" if question.windows else "predictions": await _patiently(sound),
                }
            except SnnVoiceError as error:
                body = ErrorBody(code=error.code, message=error.message, hint=error.hint)
                return {"file": name, "error": body.model_dump()}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name, audio)) for name, audio in request.files]
    return [task.result() for task in tasks]


async def _patiently(sound: Sound) -> list[dict[str, Any]]:
    """The answer for one of several sounds, which waits for room in the queue where others are refused."""
    while True:
        await sound.open()
        try:
            return await classify(sound)
        except (Busy, OverShare):
            await asyncio.sleep(_AGAIN_SECONDS)
