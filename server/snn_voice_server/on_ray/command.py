"""What `snn-voice serve --ray` serves: this process answers HTTP, replicas of Ray Serve hold the models.

Ray's own HTTP proxy is not used: it can't be told to stop listening and yet answer what it has taken, and
this process can.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI

from snn_voice_hub.bulk.ray_session import ray_session
from snn_voice_hub.errors import ConfigError, SnnVoiceError, needs_extra
from snn_voice_hub.hub.checkpoints import read_config, resolve
from snn_voice_hub.inference.decode import usable_cores
from snn_voice_server.failures import NotReady
from snn_voice_server.http.keys import read_keys
from snn_voice_server.settings import Settings

logger = logging.getLogger(__name__)

# Windows travel through it: a few hundred are about 20 MB.
_SHARED_BYTES = 128 << 20


@contextmanager
def on_ray(settings: Settings) -> Iterator[tuple[FastAPI, str]]:
    """The application, and where its models run. `RAY_ADDRESS` joins that cluster; else Ray is started here.

    Args:
        settings: All of the service.

    Raises:
        ConfigError: The service is to teach.
        MissingExtraError: Ray is not installed.
        SnnVoiceError: The service can't be started; the message says why.
    """
    settings.check_for_ray()
    with needs_extra("--ray", "ray", "Ray Serve", ("ray",)):
        from snn_voice_server.on_ray.app import deployment_name, make_app, model_application, portable
    address = os.environ.get("RAY_ADDRESS") or None
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    settings, sources = portable(settings)
    for source in sources:  # what can't be read is told before Ray takes its time to start
        read_config(resolve(source.spec))
    if address is None:
        settings = _fitted(settings, len(sources))
    with ray_session(address, usable_cores(), _SHARED_BYTES):
        own = f"snn-voice-{os.getpid()}-"  # others may serve the same model on the same cluster
        names = {source.name: own + deployment_name(source.name) for source in sources}
        applications = {source.name: model_application(source, settings) for source in sources}
        # Ray itself ends with this process only where it was started by it.
        deployments = _Own(applications, names, end=address is not None)
        yield make_app(settings, sources, keys, deployments), "Ray"


def _fitted(settings: Settings, models: int) -> Settings:
    """No more replicas than this machine has cores for.

    Raises:
        ConfigError: Not even the fewest fit; Ray would wait for room for ever.
    """
    most = settings.ray_max_replicas
    if settings.ray_cpus:
        most = int(usable_cores() / settings.ray_cpus) // models
    if most < settings.ray_min_replicas:
        raise ConfigError(
            f"{models * settings.ray_min_replicas} replicas of {settings.ray_cpus:g} cores each don't fit on "
            f"{usable_cores()} cores",
            hint="a smaller --ray-cpus or --ray-min-replicas, or a cluster: RAY_ADDRESS=host:6379",
        )
    return settings.model_copy(update={"ray_max_replicas": min(most, settings.ray_max_replicas)})


class _Own:
    """Deployments that this process starts.

    Args:
        applications: Name of a model -> its deployment.
        names: Name of a model -> what that is called on the cluster.
        end: Whether they are to be ended, because the cluster stays for others.
    """

    def __init__(self, applications: Mapping[str, Any], names: Mapping[str, str], *, end: bool) -> None:
        self._applications = applications
        self._names = names
        self._end = end
        self._handles: dict[str, Any] = {}

    async def start(self) -> None:
        """Start the replicas of each model and wait for them.

        Raises:
            SnnVoiceError: They don't start.
        """
        for name, application in self._applications.items():
            self._handles[name] = await asyncio.to_thread(_deploy, application, self._names[name])

    def handle(self, name: str) -> Any:
        """See `Deployments.handle`."""
        if name not in self._handles:
            raise NotReady.because("the replicas of the model are being started", 5)
        return self._handles[name]

    async def stop(self) -> None:
        """See `Deployments.stop`."""
        if self._end:
            await asyncio.to_thread(_delete, list(self._names.values()))


def _deploy(application: Any, name: str) -> Any:
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(proxy_location="Disabled")
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        return serve.run(application, name=name, route_prefix=None)
    except RuntimeError as error:
        logger.debug("Ray Serve has failed", exc_info=error)
        hint = "Ray's log of the replica says why: /tmp/ray/session_latest/logs/serve"
        raise SnnVoiceError("the replicas of the model don't start", hint=hint) from error


def _delete(names: list[str]) -> None:
    from ray import serve

    for name in names:
        serve.delete(name)
