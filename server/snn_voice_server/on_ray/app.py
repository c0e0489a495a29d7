"""The service as an application of Ray Serve.

    serve run snn_voice_server.on_ray.app:build model=m5-snn
    serve deploy server/deploy/serve.yaml

One deployment answers HTTP: it reads requests, checks keys and decodes sound. Each model is a deployment of
its own: only its replicas hold weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import ValidationError
from ray import serve

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.checkpoints import local_path, read_config, resolve
from snn_voice_hub.packages import name_packages, named_packages
from snn_voice_server.app import assemble
from snn_voice_server.http.keys import ApiKeys, read_keys
from snn_voice_server.models.compute import largest_batch
from snn_voice_server.models.metrics import Metrics
from snn_voice_server.models.naming import Source, sources_of
from snn_voice_server.on_ray.models import Deployments, RayModels
from snn_voice_server.on_ray.replica import Replica
from snn_voice_server.process import logs
from snn_voice_server.settings import Settings

HTTP = "http"
# Requests that one ingress replica works at: more than its own limits admit, so that it is this service that
# refuses, in its own words.
_INGRESS_REQUESTS = 10_000


def build(args: Mapping[str, Any]) -> serve.Application:
    """The application, for `serve run` and `serve deploy`.

    Args:
        args: Settings by their names; others come from `SNN_VOICE_*` in the environment.

    Raises:
        ConfigError: A setting is not legal.
    """
    try:
        settings = Settings(**args)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the settings"
        raise ConfigError(f"{name} is not legal", hint=str(first["msg"])) from error
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    settings, sources = portable(settings)
    models = [model_application(source, settings) for source in sources]

    def make() -> FastAPI:  # runs in each replica
        logs.set_up(settings.log_level, settings.log_format)
        return make_app(settings, sources, keys, _Beside())

    # The models are arguments so that they belong to the application.
    ingress: serve.Application = serve.deployment(
        serve.ingress(make)(),
        name=HTTP,
        max_ongoing_requests=_INGRESS_REQUESTS,
        graceful_shutdown_timeout_s=settings.grace,
        ray_actor_options={"num_cpus": settings.ray_cpus},
    ).bind(*models)
    return ingress


class _Beside:
    """The deployments of the same application, which Ray starts and ends."""

    async def start(self) -> None:
        """See `Deployments.start`."""

    def handle(self, name: str) -> Any:
        """See `Deployments.handle`."""
        return serve.get_deployment_handle(deployment_name(name))

    async def stop(self) -> None:
        """See `Deployments.stop`."""


def portable(settings: Settings) -> tuple[Settings, list[Source]]:
    """Settings and sources as they may travel to other processes: no keys, and no relative path.

    Raises:
        ConfigError: Two models have the same name, or the service is to teach.
    """
    settings.check_for_ray()
    sources = [Source(source.name, _absolute(source.spec)) for source in sources_of(settings.model)]
    name_packages(settings.packages)
    changes = {"api_keys": [], "api_keys_file": None, "packages": named_packages()}
    return settings.model_copy(update=changes), sources


def _absolute(spec: str) -> str:
    path = local_path(spec)
    return spec if path is None else str(path.resolve())


def make_app(settings: Settings, sources: list[Source], keys: ApiKeys, deployments: Deployments) -> FastAPI:
    """The FastAPI application over models that run in replicas.

    Args:
        settings: Limits.
        sources: What is served, the default first.
        keys: Who may ask.
        deployments: Where the replicas are.
    """
    metrics = Metrics()
    models = RayModels(sources, settings.limits(len(keys)), deployments, metrics)
    return assemble(settings, models, keys, metrics)


def deployment_name(model: str) -> str:
    """The name of a model's deployment: `model-resmel-snn`."""
    return "model-" + model.replace("/", "--")


def model_application(source: Source, settings: Settings) -> serve.Application:
    """The deployment of one model.

    Args:
        source: The model.
        settings: Sizes, device and numbers of replicas.

    Raises:
        ConfigError: The device is not one that Ray can give.
        SnnVoiceError: The model's configuration can't be read.
    """
    device = _device(settings.device)
    batch = largest_batch(read_config(resolve(source.spec)).features, settings.limits())
    application: serve.Application = serve.deployment(
        Replica,
        name=deployment_name(source.name),
        # One batch runs, the next one waits: more would wait here where another replica could take it.
        max_ongoing_requests=2 * batch,
        max_queued_requests=settings.max_queue,
        autoscaling_config={
            "min_replicas": settings.ray_min_replicas,
            "initial_replicas": settings.ray_min_replicas,
            "max_replicas": max(settings.ray_min_replicas, settings.ray_max_replicas),
            "target_ongoing_requests": max(1, batch // 2),
        },
        user_config={"generation": 0},
        graceful_shutdown_timeout_s=settings.grace,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": settings.ray_cpus, "num_gpus": int(device == "cuda")},
    ).bind(source, device, settings)
    return application


def _device(setting: str) -> str:
    """What a replica runs on. The machine that asks may have other devices than those that answer."""
    if setting in ("cpu", "cuda", "mps"):
        return setting
    if setting == "auto":
        return "cuda" if ray.is_initialized() and ray.cluster_resources().get("GPU") else "cpu"
    raise ConfigError(
        f"device={setting!r} can't be had on Ray, which gives each replica a GPU itself", hint="cuda, cpu"
    )
