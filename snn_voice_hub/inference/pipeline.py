"""The way of a clip through a model: sound, windows, batches, scores, words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import torch
from torch import Tensor

from snn_voice_hub import audio
from snn_voice_hub.config import VoiceConfig, check_choice, check_int, check_number
from snn_voice_hub.errors import AudioError
from snn_voice_hub.inference.answers import FUNCTIONS, Prediction, Window, best, combine, scores
from snn_voice_hub.inference.windows import CUT_SECONDS, split

Clip: TypeAlias = audio.AudioSource
Answer: TypeAlias = list[Prediction]

HOP_SECONDS = 0.5

# Far beyond any mistake of scale (32-bit integers as floats are 2e9), and the power of a spectrum overflows
# not far above.
_MAX_PEAK = 1e12


class ClassifyOptions(TypedDict, total=False):
    """The keyword arguments of `SnnVoice.classify`, for type checkers; their meaning stands there."""

    sample_rate: int | None
    top_k: int
    min_score: float | None
    function_to_apply: str
    batch_size: int
    max_seconds: float
    on_error: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """Checked `ClassifyOptions`.

    Raises:
        ConfigError: A value is not legal; the message names it.
    """

    sample_rate: int | None = None
    top_k: int = 5
    min_score: float | None = None
    function_to_apply: str = "softmax"
    batch_size: int = 32
    max_seconds: float = 600.0
    on_error: str = "raise"

    def __post_init__(self) -> None:
        """Check what `audio.load` does not check."""
        check_int("top_k", self.top_k, low=1)
        check_int("batch_size", self.batch_size, low=1)
        check_choice("function_to_apply", self.function_to_apply, FUNCTIONS)
        check_choice("on_error", self.on_error, ("raise", "return"))
        if self.min_score is not None:
            check_number("min_score", self.min_score)


class Pipeline:
    """One way of asking one model.

    Args:
        config: The model's configuration.
        run: Windows `[W, N]` -> logits `[W, C]` on the CPU.
        options: How to ask.
    """

    def __init__(self, config: VoiceConfig, run: Callable[[Tensor], Tensor], options: Options) -> None:
        self.config = config
        self.options = options
        self._forward = run
        # Batch statistics would make a clip's answer depend on its batch-mates.
        self._batch_size = 1 if config.features.normalization == "batch" else options.batch_size

    def one(self, clip: Clip) -> Answer | AudioError:
        """The answer for one clip; see `SnnVoice.classify`."""
        try:
            windows, _ = self._split(self._load(clip))
        except AudioError as error:
            if self.options.on_error == "return":
                return error
            raise
        return self._answer(self._scores(windows))

    def each(self, clips: Iterable[Clip]) -> Iterator[Answer | AudioError]:
        """The answers for many clips; see `SnnVoice.classify_each`."""
        pending: list[Tensor | AudioError] = []
        windows = 0
        for index, clip in enumerate(clips):
            item: Tensor | AudioError
            try:
                item, _ = self._split(self._load(clip))
            except AudioError as error:
                # The message on a path names it already.
                item = error if isinstance(clip, str | os.PathLike) else _at(error, index)
                if self.options.on_error == "raise":
                    raise item from error
            pending.append(item)
            windows += len(item) if isinstance(item, Tensor) else 1
            if windows >= self.options.batch_size:
                yield from self._answers(pending)
                pending, windows = [], 0
        yield from self._answers(pending)

    def windows(self, clip: Clip, hop_seconds: float) -> list[Window]:
        """The answer for each window of a clip; see `SnnVoice.classify_windows`."""
        c = self.config.features
        hop = max(1, round(check_number("hop_seconds", hop_seconds, above=0.0) * c.sample_rate))
        wave = self._load(clip)
        windows, begins = self._split(wave, hop)
        length = c.num_samples if len(begins) > 1 else len(wave)
        return [
            Window(begin / c.sample_rate, (begin + length) / c.sample_rate, self._best(row))
            for begin, row in zip(begins, self._scores(windows), strict=True)
        ]

    def _load(self, clip: Clip) -> Tensor:
        o = self.options
        rate = self.config.features.sample_rate
        wave = audio.load(clip, sample_rate=o.sample_rate, target_rate=rate, max_seconds=o.max_seconds)
        peak = float(wave.abs().max())
        if peak > _MAX_PEAK:
            what = f"samples of up to {peak:.3g} are no sound"
            raise AudioError(what, hint="full scale is 1.0", code="not_finite")
        return wave

    def _split(self, wave: Tensor, hop: int | None = None) -> tuple[Tensor, list[int]]:
        c = self.config.features
        if c.normalization == "batch" and len(wave) <= c.num_samples:
            return wave.unsqueeze(0), [0]  # the paper does not pad a clip that is alone
        cut = round(CUT_SECONDS * c.sample_rate)
        return split(wave, c.num_samples, hop or round(HOP_SECONDS * c.sample_rate), cut)

    @torch.inference_mode()
    def _scores(self, windows: Tensor) -> Tensor:
        """Scores `[W, C]` of windows `[W, N]`, run in batches."""
        logits = torch.cat([self._forward(part) for part in torch.split(windows, self._batch_size)])
        return scores(logits, self.config.temperature, self.options.function_to_apply)

    def _answers(self, items: list[Tensor | AudioError]) -> Iterator[Answer | AudioError]:
        """Answers for the windows of several clips, which run together; errors keep their place."""
        good = [item for item in items if isinstance(item, Tensor)]
        if self.config.features.normalization == "batch":  # clips of any length, one by one
            parts = iter([self._scores(item) for item in good])
        else:
            sizes = [len(item) for item in good]
            parts = iter(torch.split(self._scores(torch.cat(good)), sizes) if good else ())
        for item in items:
            yield item if isinstance(item, AudioError) else self._answer(next(parts))

    def _answer(self, rows: Tensor) -> Answer:
        return self._best(combine(rows, self.config.labels))

    def _best(self, row: Tensor) -> Answer:
        return best(row, self.config.labels, self.options.top_k, self.options.min_score)


def _at(error: AudioError, index: int) -> AudioError:
    return AudioError(f"clip {index}: {error.message}", hint=error.hint, code=error.code)
