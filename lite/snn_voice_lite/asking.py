"""Clips in, words out, around a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypedDict

import numpy as np

from snn_voice_lite.answers import Floats, Prediction, Window, best, check_asked, combine, scores, too_loud
from snn_voice_lite.config import check_choice, check_int
from snn_voice_lite.errors import AudioError, CheckpointError
from snn_voice_lite.facts import LiteConfig
from snn_voice_lite.windows import HOP_SECONDS, distances, fit, starts

# A clip as `Voice.classify` takes it: a path, bytes of a file, a file, an array, and how others pack them.
Clip: TypeAlias = Any
Answer: TypeAlias = list[Prediction]


class AskOptions(TypedDict, total=False):
    """The keyword arguments of `Voice.classify`; their meaning stands there."""

    sample_rate: int | None
    top_k: int
    min_score: float | None
    words_only: bool
    function_to_apply: str
    batch_size: int
    max_seconds: float
    on_error: str


class Asked:
    """One way of asking a model.

    Args:
        config: Of the model.
        logits: The network: windows `[W, N]` -> logits `[W, C]`.
        trouble: Says what is wrong with the network itself where its scores are not finite; "" for nothing.
        **options: See `Voice.classify`.

    Raises:
        ConfigError: An option is not legal.
    """

    def __init__(
        self,
        config: LiteConfig,
        logits: Callable[[Floats], Floats],
        trouble: Callable[[], str],
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        min_score: float | None = None,
        words_only: bool = False,
        function_to_apply: str = "softmax",
        batch_size: int = 32,
        max_seconds: float = 600.0,
        on_error: str = "raise",
    ) -> None:
        check_asked(
            top_k=top_k, min_score=min_score, words_only=words_only, function_to_apply=function_to_apply
        )
        check_int("batch_size", batch_size, low=1)
        check_choice("on_error", on_error, ("raise", "return"))
        self._config, self._logits, self._trouble = config, logits, trouble
        self._rate, self._seconds = sample_rate, max_seconds
        self._top_k, self._min_score, self._words_only = top_k, min_score, words_only
        self._function, self._size, self._returns = function_to_apply, batch_size, on_error == "return"

    def one(self, clip: Clip) -> Answer | AudioError:
        """The answer for one clip; see `Voice.classify`."""
        try:
            return self._answer(clip)
        except AudioError as error:
            if self._returns:
                return error
            raise

    def each(self, clips: Iterable[Clip]) -> Iterator[Answer | AudioError]:
        """The answers for many; see `Voice.classify_each`."""
        for index, clip in enumerate(clips):
            try:
                found: Answer | AudioError = self._answer(clip)
            except AudioError as error:
                # The message on a path names it already.
                found = error if isinstance(clip, str | os.PathLike) else _at(error, index)
                if not self._returns:
                    raise found from error
            yield found

    def windows(self, clip: Clip, hop_seconds: float) -> list[Window]:
        """The answer for each window of one; see `Voice.classify_windows`."""
        rate = self._config.sample_rate
        rows, begins, length = self._scored(clip, hop_seconds)
        return [
            Window(begin / rate, (begin + length) / rate, self._best(row))
            for begin, row in zip(begins, rows, strict=True)
        ]

    def _answer(self, clip: Clip) -> Answer:
        return self._best(combine(self._scored(clip, HOP_SECONDS)[0], self._config.labels))

    def _best(self, row: Floats) -> Answer:
        return best(row, self._config.labels, self._top_k, self._min_score, self._words_only)

    def _scored(self, clip: Clip, hop_seconds: float) -> tuple[Floats, list[int], int]:
        """Scores `[W, C]` of the windows of a clip, where these begin, and how long one is, in samples."""
        from snn_voice_lite import audio  # and with it the decoder, which a stream does not need

        rate, size = self._config.sample_rate, self._config.num_samples
        wave = audio.load(clip, sample_rate=self._rate, target_rate=rate, max_seconds=self._seconds)
        audio.check_peak(wave)
        begins = starts(len(wave), size, *distances(rate, hop_seconds))
        alone = len(begins) == 1
        windows = [fit(wave, size)] if alone else [wave[begin : begin + size] for begin in begins]
        parts = [windows[i : i + self._size] for i in range(0, len(windows), self._size)]
        logits = np.concatenate([self._logits(np.stack(part)) for part in parts])
        if not np.isfinite(logits).all():
            if trouble := self._trouble():
                raise CheckpointError(f"{self._config.title}: {trouble}")
            raise too_loud("the clip")
        found = scores(logits, self._config.temperature, self._function)
        return found, begins, len(wave) if alone else size


def _at(error: AudioError, index: int) -> AudioError:
    return AudioError(f"clip {index}: {error.message}", hint=error.hint, code=error.code)
