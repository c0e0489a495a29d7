"""The model behind the routes: one computation at a time, away from the event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from snn_voice_hub import AudioError, Prediction, SnnVoice
from snn_voice_hub.config import check_int, check_number
from snn_voice_server.parsing import parse
from snn_voice_server.schemas import ModelFacts

T = TypeVar("T")


class Service:
    """A model that answers the bodies of requests.

    Args:
        model: What answers; it is put into evaluation mode.
        max_body_bytes: Largest request body.
        max_seconds: Longest sound.

    Attributes:
        ready: Whether the model has been warmed up.

    Raises:
        ConfigError: A limit is not legal.
    """

    def __init__(self, model: SnnVoice, *, max_body_bytes: int, max_seconds: float) -> None:
        self.model = model.eval()
        self.max_body_bytes = check_int("max_body_bytes", max_body_bytes, low=1)
        self.max_seconds = check_number("max_seconds", max_seconds, above=0.0)
        self.ready = False
        # PyTorch spreads one computation over the cores; a second one beside it would make both slower.
        # It is one thread that stays, because a new one would have to start PyTorch's threads again.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="snn-voice")

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.config.name or self.model.config.architecture

    async def warm_up(self) -> None:
        """Classify one second of silence, so that no client waits for what only the first answer needs.

        Raises:
            SnnVoiceError: The model can't be used.
        """
        if not self.ready:
            silence = torch.zeros(self.model.sample_rate)
            await self._run(lambda: self.model.classify(silence, sample_rate=self.model.sample_rate))
            self.ready = True

    async def answer(self, body: bytes, content_type: str, query: list[tuple[str, str]]) -> list[Prediction]:
        """The best labels of the sound in a request.

        Args:
            body: The request's whole body.
            content_type: The header of that name, or "".
            query: Names and values of the query string.

        Returns:
            The labels, best first.

        Raises:
            RequestError: The request is not legal.
            AudioError: Its sound can't be used.
        """
        # The parsing too: base64 and JSON of many megabytes would hold up every other client.
        return await self._run(lambda: self._answer(body, content_type, query))

    def _answer(self, body: bytes, content_type: str, query: list[tuple[str, str]]) -> list[Prediction]:
        request = parse(body, content_type, query)
        try:
            found = self.model.classify(
                request.audio,
                top_k=request.top_k,
                function_to_apply=request.function_to_apply,
                max_seconds=self.max_seconds,
            )
        except AudioError as error:
            if error.code == "too_long":  # the loader's hint is for Python
                hint = f"this service takes up to {self.max_seconds:g} s"
                raise AudioError(error.message, hint=hint, code=error.code) from error
            raise
        if not all(math.isfinite(prediction.score) for prediction in found):
            raise AudioError("the sound is so loud that its scores are not finite", code="not_finite")
        return found

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def facts(self) -> ModelFacts:
        """What is being served."""
        config = self.model.config
        return ModelFacts(
            name=self.name,
            description=config.description,
            license=config.license,
            architecture=config.architecture,
            parameters=self.model.num_parameters(),
            device=str(self.model.device),
            # Where it lies on this machine is nobody's business.
            engine={key: value for key, value in self.model.engine_info().items() if key != "library"},
            sample_rate=self.model.sample_rate,
            window_seconds=config.features.seconds,
            labels=self.model.labels,
            data=config.data,
            metrics=config.metrics,
            config=config.to_dict(),
            max_seconds=self.max_seconds,
            max_body_bytes=self.max_body_bytes,
        )
