"""The routes that classify, and those that say what is served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from snn_voice_server.failures import RequestError, shown
from snn_voice_server.http import answers
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.bodies import while_connected
from snn_voice_server.http.parsing import check_query
from snn_voice_server.http.schemas import (
    BatchAnswer,
    LabelScore,
    ModelEntry,
    ModelFacts,
    ModelList,
    SpikesAnswer,
    WindowScores,
)
from snn_voice_server.http.service import Service
from snn_voice_server.http.spikes import record

T = TypeVar("T")

router = APIRouter()


async def service_of(request: Request) -> Service:  # async: a plain one would go through a thread
    """The service of the application."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


async def caller_of(request: Request, service: ServiceOf) -> str:
    """The name of the caller's API key.

    Raises:
        Unauthorized: Keys are set, and the request has none of them.
    """
    return _caller(request, service)


def _caller(request: Request, service: Service) -> str:
    return service.keys.who(request.headers.get("authorization", ""))


Caller = Annotated[str, Depends(caller_of)]


async def _asked(
    request: Request,
    service: Service,
    ask: Callable[[bytes, str, list[tuple[str, str]], str], Coroutine[Any, Any, T]],
) -> T:
    """What `ask` answers to the request's body, content type, query and caller, while its client is there."""
    # Not by `Depends`: under load it took a tenth of the interpreter's time.
    caller = _caller(request, service)
    query = request.query_params
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            f"bodies in the content encoding {shown(encoding)} are not read",
            hint="send the sound as it is; FLAC and Ogg are small already",
            code="bad_encoding",
        )
    service.check_room(caller, query.get("model", ""))
    with service.bodies.hold() as room:
        body = await room.read(request)
        work = ask(body, request.headers.get("content-type", ""), query.multi_items(), caller)
        return await while_connected(request, work)


@router.post(
    "/classify",
    summary="The best words of a sound file",
    response_model=list[LabelScore] | list[WindowScores],
    responses={200: doc.answer(doc.WORDS), **doc.REFUSALS},
    openapi_extra=doc.CLASSIFY,
)
async def classify(request: Request) -> Response:
    """Send a sound file: raw, as `file` of a form, or as the JSON of the Hugging Face Hub.

    Sound that is longer than the model's window is read in windows; a word's score is its best over them.
    With `windows=true` each window has an answer of its own.

        curl --data-binary @yes.wav http://127.0.0.1:8000/classify
    """
    service: Service = request.app.state.service
    ask = partial(service.classify, timings=request.state.timings)
    return answers.json_response(answers.plain(await _asked(request, service, ask)))


@router.post(
    "/classify/batch",
    summary="The best words of several sound files",
    response_model=BatchAnswer,
    response_model_exclude_none=True,
    responses={200: doc.answer(doc.BATCH), **doc.REFUSALS},
    openapi_extra=doc.CLASSIFY_BATCH,
)
async def classify_batch(request: Request) -> Response:
    """Send a form with a part `file` for each sound file; the answers are in their order.

    A file that can't be used has an `error` in its place; the others are answered all the same.

        curl -F file=@yes.wav -F file=@no.wav http://127.0.0.1:8000/classify/batch
    """
    service: Service = request.app.state.service
    results = await _asked(request, service, service.classify_batch)
    return answers.json_response(answers.batch(results))


@router.post(
    "/spikes",
    summary="Which neurons fire for a sound file",
    response_model=SpikesAnswer,
    response_model_exclude_none=True,
    responses={200: doc.answer(doc.SPIKES_ANSWER), **doc.REFUSALS},
    openapi_extra=doc.SPIKES,
)
async def spikes(request: Request) -> Response:
    """Send a sound as to `/classify`; the answer is what the network's neurons do with it, step by step.

    Of a sound that is longer than the model's window, the window with the clearest word is shown. Of a large
    layer some neurons are shown, evenly spread; the figures are those of all.

        curl --data-binary @yes.wav http://127.0.0.1:8000/spikes
    """
    service: Service = request.app.state.service
    ask = partial(record, service, timings=request.state.timings)
    return Response(await _asked(request, service, ask), media_type="application/json")


@router.get(
    "/model",
    summary="What is being served?",
    response_model=ModelFacts,
    responses={401: doc.UNAUTHORIZED, 404: doc.UNKNOWN_MODEL},
)
async def model(request: Request, service: ServiceOf, _: Caller, model: str = "") -> ModelFacts:
    """Labels, configuration, and what is known about the model's training and accuracy."""
    check_query(request.query_params, ("model",))
    return await service.facts(model)


@router.get(
    "/models",
    summary="Which models are served?",
    response_model=ModelList,
    responses={401: doc.UNAUTHORIZED},
)
async def models(request: Request, service: ServiceOf, _: Caller) -> ModelList:
    """All names that `model=` takes, the default first."""
    check_query(request.query_params, ())
    known = service.models
    return ModelList(
        models=[
            ModelEntry(name=name, default=name == known.default, loaded=known.loaded(name) is not None)
            for name in known.names
        ]
    )


@router.get(
    "/models/{name:path}",
    summary="What is known about a model?",
    response_model=ModelFacts,
    responses={401: doc.UNAUTHORIZED, 404: doc.UNKNOWN_MODEL},
)
async def model_by_name(request: Request, service: ServiceOf, _: Caller, name: str) -> ModelFacts:
    """Like `/model`, for any of the models; one that is not in memory is loaded."""
    check_query(request.query_params, ())
    return await service.facts(name)
