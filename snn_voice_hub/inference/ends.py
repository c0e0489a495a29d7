"""The two ends of a model, around its network: a clip becomes windows, logits become words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, Unpack

import torch
from snn_voice_lite.answers import Floats, Prediction, Window, best, check_asked, combine
from snn_voice_lite.asking import AskOptions
from snn_voice_lite.audio import check_peak
from snn_voice_lite.windows import HOP_SECONDS, distances
from torch import Tensor

from snn_voice_hub import audio
from snn_voice_hub.config import VoiceConfig, check_bool, check_choice, check_int, check_number
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.inference.answers import scores
from snn_voice_hub.inference.windows import views

Clip: TypeAlias = audio.AudioSource
Answer: TypeAlias = list[Prediction]
Windows: TypeAlias = list[Tensor]
Steps: TypeAlias = Sequence[int] | None


class ClassifyOptions(AskOptions, total=False):
    """The keyword arguments of `SnnVoice.classify`; their meaning stands there."""

    progress: bool | None
    early_exit: float | None


_DEFAULTS: Final[ClassifyOptions] = {
    "sample_rate": None,
    "top_k": 5,
    "min_score": None,
    "words_only": False,
    "function_to_apply": "softmax",
    "batch_size": 32,
    "max_seconds": 600.0,
    "on_error": "raise",
    "progress": None,
    "early_exit": None,
}


def check_names(names: Iterable[str], legal: Collection[str] = tuple(_DEFAULTS)) -> None:
    """Refuse keyword arguments that a method does not have.

    Args:
        names: Those that were given.
        legal: Those that there are; by default those of `classify`.

    Raises:
        ConfigError: The first of them, with the name that was meant, or those that there are.
    """
    for name in names:
        if name not in legal:
            rate = "rate" in name.lower() or name.endswith(("sr", "fs"))
            hint = "the rate of arrays is sample_rate=" if rate else f"legal are {', '.join(legal)}"
            raise ConfigError(f"unknown argument {name}=", hint=hint)


def _checked(options: ClassifyOptions) -> ClassifyOptions:
    """All options, those that are not given by their defaults; what `audio.load` checks is left to it."""
    check_names(options)
    full: ClassifyOptions = {**_DEFAULTS, **options}
    check_asked(
        top_k=full["top_k"],
        min_score=full["min_score"],
        words_only=full["words_only"],
        function_to_apply=full["function_to_apply"],
    )
    check_int("batch_size", full["batch_size"], low=1)
    check_choice("on_error", full["on_error"], ("raise", "return"))
    if full["progress"] is not None:
        check_bool("progress", full["progress"])
    if full["early_exit"] is not None:
        check_number("early_exit", full["early_exit"], above=0.0, high=1.0)
    return full


@dataclass(frozen=True)
class Prepared:
    """A clip as the network takes it.

    Attributes:
        windows: Each `[N]`, on the CPU.
        begins: Where each begins, in samples.
        length: Of one window, or of the clip where that is one window, in samples.
    """

    windows: Windows
    begins: list[int]
    length: int


class Ends:
    """What is before and after the network of a model, for one way of asking it.

    Args:
        config: The model's configuration.
        **options: How to ask; see `SnnVoice.classify`.

    Attributes:
        options: All of them, checked.
        batch_size: Windows that may run together.

    Raises:
        ConfigError: An option is not legal; the message names it.
    """

    def __init__(self, config: VoiceConfig, **options: Unpack[ClassifyOptions]) -> None:
        self.config = config
        self.options = _checked(options)
        # Batch statistics would make a clip's answer depend on its batch-mates.
        alone = config.features.normalization == "batch"
        self.batch_size = 1 if alone else self.options["batch_size"]

    # --- before -----------------------------------------------------------------------------------

    def prepare(self, clip: Clip, hop_seconds: float = HOP_SECONDS) -> Prepared:
        """A clip's windows.

        Raises:
            AudioError: The clip can't be used.
            ConfigError: `hop_seconds` is not legal.
        """
        check_number("hop_seconds", hop_seconds, above=0.0)
        return self.split(self.load(clip), hop_seconds)

    def load(self, clip: Clip) -> Tensor:
        """A clip's waveform `[N]` at the model's rate.

        Raises:
            AudioError: The clip can't be used.
        """
        rate, o = self.config.features.sample_rate, self.options
        wave = audio.load(clip, sample_rate=o["sample_rate"], target_rate=rate, max_seconds=o["max_seconds"])
        check_peak(wave.numpy())  # of PyTorch's threads, every thread that decodes would start its own
        return wave

    def split(self, wave: Tensor, hop_seconds: float = HOP_SECONDS) -> Prepared:
        """The windows of a waveform `[N]`."""
        c = self.config.features
        if c.normalization == "batch" and len(wave) <= c.num_samples:
            return Prepared([wave], [0], len(wave))  # the paper does not pad a clip that is alone
        windows, begins = views(wave, c.num_samples, *distances(c.sample_rate, hop_seconds))
        return Prepared(windows, begins, c.num_samples if len(begins) > 1 else len(wave))

    # --- after ------------------------------------------------------------------------------------

    @torch.inference_mode()
    def scores(self, logits: Tensor) -> Tensor:
        """Scores of logits, both `[W, C]`."""
        return scores(logits, self.config.temperature, self.options["function_to_apply"])

    def answer(self, rows: Tensor, steps: Steps = None) -> Answer:
        """The answer for a clip from the scores `[W, C]` of its windows, and the steps that each took."""
        return self._best(combine(rows.numpy(), self.config.labels), max(steps) if steps else None)

    def window_answers(self, prepared: Prepared, rows: Tensor, steps: Steps = None) -> list[Window]:
        """The answer for each window of a clip, from what `answer` takes."""
        rate = self.config.features.sample_rate
        taken: Sequence[int | None] = steps or [None] * len(rows)
        return [
            Window(begin / rate, (begin + prepared.length) / rate, self._best(row, count))
            for begin, row, count in zip(prepared.begins, rows.numpy(), taken, strict=True)
        ]

    def _best(self, row: Floats, steps: int | None) -> Answer:
        o = self.options
        return best(row, self.config.labels, o["top_k"], o["min_score"], o["words_only"], steps=steps)
