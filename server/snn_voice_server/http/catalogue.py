"""The routes that say what is served."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from snn_voice_server.http import documentation as doc
from snn_voice_server.http.questions import check_query
from snn_voice_server.http.receiving import Caller, ServiceOf
from snn_voice_server.http.service import Service

router = APIRouter()


class ModelFacts(BaseModel):
    """What is being served."""

    name: str
    description: str
    license: str = Field(description="Licence of the weights.")
    architecture: str
    parameters: int = Field(description="Number of trained values.")
    device: str = Field(examples=["cpu"])
    engine: dict[str, Any] = Field(description="How the network is run, and why so.")
    sample_rate: int = Field(description="Rate in Hz to which sound is brought.", examples=[16000])
    window_seconds: float = Field(
        description="Length of the model's window; longer sound is read in several.", examples=[1.0]
    )
    spiking: bool = Field(description="Whether it is a spiking network, which `/spikes` can show.")
    step_seconds: float | None = Field(
        description="How much sound a time step hears, where time steps are those of the sound; null where "
        "each hears all of the window, or there are none."
    )
    labels: list[str] = Field(description="In index order.")
    data: list[dict[str, Any]] = Field(description="Training sound, with licence and attribution.")
    metrics: dict[str, Any] = Field(description="What was measured.")
    config: dict[str, Any] = Field(description="The checkpoint's whole `config.json`.")
    max_seconds: float = Field(description="Longest sound that is accepted.")
    max_body_bytes: int = Field(description="Largest request body that is accepted.")


class ModelEntry(BaseModel):
    """A model that is served."""

    name: str = Field(description="As requests name it.", examples=["resmel-snn"])
    default: bool = Field(description="Whether it answers where no model is named.")
    loaded: bool = Field(description="Others are loaded when they are first asked for.")


class ModelList(BaseModel):
    """All models that are served, the default first."""

    models: list[ModelEntry]
    teach: bool = Field(description="Whether `POST /teach` takes new words.")


@router.get(
    "/model",
    summary="What is being served?",
    response_model=ModelFacts,
    responses={400: doc.BAD_QUERY, 401: doc.UNAUTHORIZED, 404: doc.UNKNOWN_MODEL},
)
async def model(request: Request, service: ServiceOf, _: Caller, model: str = "") -> ModelFacts:
    """Labels, configuration, and what is known about the model's training and accuracy."""
    check_query(request.query_params, ("model",))
    return await _facts(service, model)


@router.get(
    "/models",
    summary="Which models are served?",
    response_model=ModelList,
    responses={400: doc.BAD_QUERY, 401: doc.UNAUTHORIZED},
)
async def models(request: Request, service: ServiceOf, _: Caller) -> ModelList:
    """All names that `model=` takes, the default first."""
    check_query(request.query_params, ())
    known = service.models
    return ModelList(
        models=[
            ModelEntry(name=name, default=name == known.default, loaded=known.loaded(name) is not None)
            for name in known.names
        ],
        teach=service.teacher is not None,
    )


@router.get(
    "/models/{name:path}",
    summary="What is known about a model?",
    response_model=ModelFacts,
    responses={400: doc.BAD_QUERY, 401: doc.UNAUTHORIZED, 404: doc.UNKNOWN_MODEL},
)
async def model_by_name(request: Request, service: ServiceOf, _: Caller, name: str) -> ModelFacts:
    """Like `/model`, for any of the models; one that is not in memory is loaded."""
    check_query(request.query_params, ())
    return await _facts(service, name)


async def _facts(service: Service, name: str) -> ModelFacts:
    entry = await service.models.get(name)
    config = entry.config
    return ModelFacts(
        name=entry.name,
        description=config.description,
        license=config.license,
        architecture=config.architecture,
        sample_rate=config.features.sample_rate,
        window_seconds=config.features.seconds,
        spiking=config.is_spiking,
        step_seconds=config.step_seconds,
        labels=list(config.labels),
        data=config.data,
        metrics=config.metrics,
        config=config.to_dict(),
        max_seconds=service.settings.max_seconds,
        max_body_bytes=service.settings.max_body_bytes,
        **entry.facts(),
    )
