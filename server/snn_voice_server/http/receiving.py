"""How a route that takes sound receives its request, and how such a route is declared."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from snn_voice_server.failures import RequestError, shown
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.answers import json_response
from snn_voice_server.http.bodies import while_connected
from snn_voice_server.http.questions import SETTINGS, check_taken
from snn_voice_server.http.service import Service
from snn_voice_server.http.sounds import Sound

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Callable[[Sound], Awaitable[object]])


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


async def receive(
    request: Request, ask: Callable[[bytes, str, list[tuple[str, str]], str], Coroutine[Any, Any, T]]
) -> T:
    """What `ask` answers to the request's body, content type, query and caller, while its client is there.

    Raises:
        Unauthorized: Keys are set, and the request has none of them.
        RequestError: The body can't be read.
        Refused: There is no room.
    """
    # Not by `Depends`: under load it took a tenth of the interpreter's time.
    service: Service = request.app.state.service
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


def sound_route(
    router: APIRouter,
    path: str,
    *,
    summary: str,
    response_model: object,
    example: object,
    settings: Sequence[str] = tuple(SETTINGS),
) -> Callable[[Answer], Answer]:
    """Make a function the route that takes one sound: raw, in a form, or as the JSON of the Hugging Face Hub.

    Keys, limits, the queue's room, clients that hang up, errors, metrics, traces and documentation are those
    of every such route. The function's docstring is the route's.

    Args:
        router: Where it is added.
        path: As clients write it.
        summary: A line for the documentation and the list of routes.
        response_model: What is answered, for the documentation.
        example: Of an answer, ready for JSON.
        settings: Which of `SETTINGS` requests may set.

    Returns:
        The decorator. What the function answers is made JSON, unless it is already (`bytes`).
    """

    def register(ask: Answer) -> Answer:
        async def route(request: Request) -> Response:
            service: Service = request.app.state.service

            async def answer(
                body: bytes, content_type: str, query: list[tuple[str, str]], key: str
            ) -> object:
                end = time.monotonic() + service.settings.deadline
                asked = await service.unpack(body, content_type, query)
                check_taken(asked.question, path, settings)
                sound = Sound(service, asked.audio, asked.question, key, end, request.state.timings)
                await sound.open()
                return await ask(sound)

            return json_response(await receive(request, answer))

        route.__name__, route.__doc__ = ask.__name__, ask.__doc__
        router.post(
            path,
            summary=summary,
            response_model=response_model,
            responses={200: doc.answer(example), **doc.REFUSALS},
            openapi_extra=doc.one_sound(settings),
        )(route)
        return ask

    return register
