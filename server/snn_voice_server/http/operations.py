"""The routes for those who run the service."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.failures import NotReady, RequestError
from snn_voice_server.http import documentation as doc
from snn_voice_server.http.receiving import Caller, ServiceOf
from snn_voice_server.http.service import Service

logger = logging.getLogger(__name__)

router = APIRouter()

# These need no key, whoever asks.
OPEN = ("/health", "/ready", "/metrics")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The model is loaded and warm."""

    status: Literal["ready"] = "ready"
    model: str = Field(description="Name of the model.", examples=["resmel-snn"])


class Reloaded(BaseModel):
    """What was loaded again."""

    reloaded: list[str]


@router.get("/health", summary="Is the process alive?", response_model=Health)
async def health() -> Health:
    """Answers as long as the process does, also while the model computes."""
    return Health()


@router.get(
    "/ready",
    summary="Should requests be sent here?",
    response_model=Ready,
    responses={503: doc.refusal("Not now", "not_ready", "the model is not warmed up yet")},
)
async def ready(service: ServiceOf) -> Ready:
    """200 from when the model is warm until the service is about to stop, while batches succeed."""
    if trouble := service.trouble():
        raise NotReady.because(trouble)
    return Ready(model=service.models.default)


@router.get("/metrics", summary="For Prometheus", response_class=Response)
async def metrics(service: ServiceOf) -> Response:
    """Counters, gauges and histograms in the text format of Prometheus."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


@router.post(
    "/admin/reload",
    summary="Load the models again",
    response_model=Reloaded,
    responses={
        401: doc.UNAUTHORIZED,
        403: doc.refusal("No API keys are set", "forbidden", "this route needs an API key, and none is set"),
        503: doc.refusal("A model can't be loaded", "not_ready", "a model can't be loaded"),
    },
)
async def reload(request: Request, service: ServiceOf, caller: Caller) -> Reloaded:
    """Exchange the loaded checkpoints for what their folders or Hub repositories hold now.

    Requests that are under way end with the old ones. If one can't be loaded, all stay as they are.
    """
    if not len(service.keys):
        raise RequestError(
            "this route needs an API key, and none is set", hint="start with --api-keys", code="forbidden"
        )
    return Reloaded(reloaded=await reload_models(service))


async def reload_models(service: Service) -> list[str]:
    """Load the loaded models again; see `Library.reload`.

    Returns:
        Their names.

    Raises:
        NotReady: One can't be loaded; the log says why, and the old ones go on.
        RequestError: Models of this kind are not reloaded in this way.
    """
    # Not cut off with the client that asked: half of a reload would be lost work.
    task = asyncio.ensure_future(service.models.reload())
    try:
        names = await asyncio.shield(task)
    except RequestError as error:  # these models are exchanged in another way, which it tells
        logger.error("the models were not reloaded: %s", error)
        raise
    except (SnnVoiceError, OSError) as error:
        logger.error("the models were not reloaded: %s", error)
        raise NotReady.because("a model can't be loaded; the ones in use go on", 30) from error
    logger.warning("reloaded %s", ", ".join(names))
    return names
