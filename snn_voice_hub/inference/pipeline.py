"""The way of a clip through a model: sound, windows, batches, scores, words."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import torch
from torch import Tensor

from snn_voice_hub import audio
from snn_voice_hub.config import VoiceConfig, check_bool, check_choice, check_int, check_number
from snn_voice_hub.errors import AudioError, CheckpointError, ConfigError
from snn_voice_hub.inference.answers import FUNCTIONS, Prediction, Window, best, combine, scores
from snn_voice_hub.inference.decode import Loaded, ReadAhead, decoding_threads
from snn_voice_hub.inference.early_exit import Stopped
from snn_voice_hub.inference.progress import with_progress
from snn_voice_hub.inference.windows import CUT_SECONDS, views
from snn_voice_hub.tensors import FLOAT32

Clip: TypeAlias = audio.AudioSource
Answer: TypeAlias = list[Prediction]
Windows: TypeAlias = list[Tensor]
Steps: TypeAlias = list[int] | None

HOP_SECONDS = 0.5

# Far beyond any mistake of scale (32-bit integers as floats are 2e9), and the power of a spectrum overflows
# not far above.
_MAX_PEAK = 1e12

# What could be iterated, but is one clip.
_ONE = (str, bytes, bytearray, memoryview, os.PathLike, Mapping)

# Clips of a list that are taken before their batch, at least.
_MIN_AHEAD = 8


class ClassifyOptions(TypedDict, total=False):
    """The keyword arguments of `SnnVoice.classify`, for type checkers; their meaning stands there."""

    sample_rate: int | None
    top_k: int
    min_score: float | None
    function_to_apply: str
    batch_size: int
    max_seconds: float
    on_error: str
    progress: bool | None
    early_exit: float | None


def check_names(names: Iterable[str]) -> None:
    """Refuse keyword arguments that `classify` does not have.

    Raises:
        ConfigError: The first of them, with the name that was meant, or those that there are.
    """
    legal = ClassifyOptions.__annotations__
    for name in names:
        if name not in legal:
            rate = "rate" in name.lower() or name.endswith(("sr", "fs"))
            hint = "the rate of arrays is sample_rate=" if rate else f"legal are {', '.join(legal)}"
            raise ConfigError(f"unknown argument {name}=", hint=hint)


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
    progress: bool | None = None
    early_exit: float | None = None

    def __post_init__(self) -> None:
        """Check what `audio.load` does not check."""
        check_int("top_k", self.top_k, low=1)
        check_int("batch_size", self.batch_size, low=1)
        check_choice("function_to_apply", self.function_to_apply, FUNCTIONS)
        check_choice("on_error", self.on_error, ("raise", "return"))
        if self.min_score is not None:
            if self.function_to_apply == "none":  # a logit may be any number
                check_number("min_score", self.min_score)
            else:
                check_number("min_score", self.min_score, low=0.0, high=1.0)
        if self.progress is not None:
            check_bool("progress", self.progress)
        if self.early_exit is not None:
            check_number("early_exit", self.early_exit, above=0.0, high=1.0)


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


class Pipeline:
    """One way of asking one model; `prepare` and `answer` are its two ends, around the network.

    Args:
        config: The model's configuration.
        run: Windows `[W, N]` on the CPU -> logits `[W, C]` on any device.
        options: How to ask.
        announce: Is told how many windows each of the clips has that run next.
        trouble: Says what is wrong with the network itself, where its scores are not finite; "" for nothing.
    """

    def __init__(
        self,
        config: VoiceConfig,
        run: Callable[[Tensor], Tensor | Stopped],
        options: Options,
        announce: Callable[[list[int]], None] | None = None,
        trouble: Callable[[], str] = str,
    ) -> None:
        self.config = config
        self.options = options
        self._forward = run
        self._announce = announce
        self._trouble = trouble
        # Batch statistics would make a clip's answer depend on its batch-mates.
        self._batch_size = 1 if config.features.normalization == "batch" else options.batch_size

    def one(self, clip: Clip) -> Answer | AudioError:
        """The answer for one clip; see `SnnVoice.classify`."""
        try:
            wave = self._load(clip)
        except AudioError as error:
            if self.options.on_error == "return":
                return error
            raise
        windows, _ = self._split(wave)
        scored = self._scores([windows])[0]
        if not isinstance(scored, AudioError):
            return self._answer(*scored)
        if self.options.on_error == "return":
            return scored
        raise scored

    def prepare(self, clip: Clip, hop_seconds: float = HOP_SECONDS) -> Prepared:
        """A clip's windows; needs no network.

        Raises:
            AudioError: The clip can't be used.
            ConfigError: `hop_seconds` is not legal.
        """
        c = self.config.features
        hop = max(1, round(check_number("hop_seconds", hop_seconds, above=0.0) * c.sample_rate))
        wave = self._load(clip)
        windows, begins = self._split(wave, hop)
        return Prepared(windows, begins, c.num_samples if len(begins) > 1 else len(wave))

    @torch.inference_mode()
    def answer(self, logits: Tensor) -> Answer:
        """The answer for a clip from the logits `[W, C]` of its windows; needs no network."""
        return self._answer(self._scored(logits))

    @torch.inference_mode()
    def window_answers(self, prepared: Prepared, logits: Tensor) -> list[Window]:
        """The answer for each window of a clip from their logits `[W, C]`; needs no network."""
        return self._windows(prepared, self._scored(logits))

    def each(self, clips: Iterable[Clip]) -> Iterator[Answer | AudioError]:
        """The answers for many clips; see `SnnVoice.classify_each`."""
        if isinstance(clips, _ONE) or hasattr(clips, "read") or not isinstance(clips, Iterable):
            what = f"classify_each() takes an iterable of clips, not {type(clips).__name__}"
            raise AudioError(what, hint="classify() takes one; or make a list of it", code="bad_type")
        listed = isinstance(clips, list | tuple)
        answers = self._each(clips, listed)
        wanted = self.options.progress
        if not (listed if wanted is None else wanted):
            return answers
        return with_progress(answers, len(clips) if isinstance(clips, Sized) else None)

    def _each(self, clips: Iterable[Clip], listed: bool) -> Generator[Answer | AudioError, None, None]:
        count = 0
        with ReadAhead(clips, self._load_at, decoding_threads()) as source:
            for batch in self._batches(source, listed):
                yield from self._answers(batch, count)
                count += len(batch)

    def _batches(self, source: ReadAhead, listed: bool) -> Iterator[list[Windows | AudioError]]:
        """The windows of clips that run together; while a batch runs, threads decode the next.

        Where an error ends the clips, those before it come first.
        """
        size = self.options.batch_size
        # Others than lists are perhaps made while they are asked for. Their first answers come without that
        # of a later clip, and with a batch size of 1 so do all.
        ahead = max(size, _MIN_AHEAD) if listed else 0
        batch: list[Windows | AudioError] = []
        count = 0
        try:
            while True:
                source.fill(size - count)
                found = source.next()
                if found is None:
                    break
                if isinstance(found, Tensor):
                    windows, _ = self._split(found)
                    batch.append(windows)
                    count += len(windows)
                elif self.options.on_error == "raise":
                    raise found
                else:
                    batch.append(found)
                    count += 1
                if count >= size:
                    source.fill(ahead)
                    yield batch
                    batch, count = [], 0
                    ahead = max(ahead, size if size > 1 else 0)
        except Exception:
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def windows(self, clip: Clip, hop_seconds: float) -> list[Window]:
        """The answer for each window of a clip; see `SnnVoice.classify_windows`."""
        prepared = self.prepare(clip, hop_seconds)
        scored = self._scores([prepared.windows])[0]
        if isinstance(scored, AudioError):
            raise scored
        return self._windows(prepared, *scored)

    def _windows(self, prepared: Prepared, rows: Tensor, steps: Steps = None) -> list[Window]:
        rate = self.config.features.sample_rate
        taken: Sequence[int | None] = steps or [None] * len(rows)
        return [
            Window(begin / rate, (begin + prepared.length) / rate, self._best(row, count))
            for begin, row, count in zip(prepared.begins, rows, taken, strict=True)
        ]

    def _load(self, clip: Clip) -> Tensor:
        o = self.options
        rate = self.config.features.sample_rate
        wave = audio.load(clip, sample_rate=o.sample_rate, target_rate=rate, max_seconds=o.max_seconds)
        samples = wave.numpy()  # of PyTorch's threads, every thread that decodes would start its own
        peak = float(max(samples.max(), -samples.min()))
        if peak > _MAX_PEAK:
            what = f"samples of up to {peak:.3g} are no sound"
            raise AudioError(what, hint="full scale is 1.0", code="not_finite")
        return wave

    def _load_at(self, index: int, clip: Clip) -> Loaded:
        try:
            return self._load(clip)
        except AudioError as error:
            # The message on a path names it already.
            return error if isinstance(clip, str | os.PathLike) else _at(error, index)

    def _split(self, wave: Tensor, hop: int | None = None) -> tuple[Windows, list[int]]:
        c = self.config.features
        if c.normalization == "batch" and len(wave) <= c.num_samples:
            return [wave], [0]  # the paper does not pad a clip that is alone
        cut = round(CUT_SECONDS * c.sample_rate)
        return views(wave, c.num_samples, hop or round(HOP_SECONDS * c.sample_rate), cut)

    @torch.inference_mode()
    def _scores(self, clips: Sequence[Windows]) -> list[tuple[Tensor, Steps] | AudioError]:
        """For each clip the scores `[W, C]` of its windows, and the steps they took; they run in batches.

        Raises:
            CheckpointError: The network gives no finite scores, and not for what it hears.
        """
        size = self._batch_size
        counts = [len(clip) for clip in clips]
        windows = [window for clip in clips for window in clip]
        if not windows:
            return [(torch.empty(0, **FLOAT32), None) for _ in clips]
        if self._announce is not None:
            self._announce(counts)
        logits: list[Tensor] = []
        steps: list[int] = []
        for start in range(0, len(windows), size):
            ran = self._forward(torch.stack(windows[start : start + size]))
            if isinstance(ran, Stopped):
                steps += ran.steps
                ran = ran.logits
            logits.append(ran)
        # Waited for once, after all batches.
        all_logits = torch.cat(logits)
        finite = all_logits.isfinite().all(-1).tolist()
        if not all(finite) and (trouble := self._trouble()):
            raise CheckpointError(f"{self.config.name or self.config.architecture}: {trouble}")
        rows = torch.split(self._scored(all_logits).cpu(), counts)
        found: list[tuple[Tensor, Steps] | AudioError] = []
        end = 0
        for count, row in zip(counts, rows, strict=True):
            start, end = end, end + count
            good = all(finite[start:end])
            found.append((row, steps[start:end] or None) if good else too_loud("the clip"))
        return found

    def _scored(self, logits: Tensor) -> Tensor:
        return scores(logits, self.config.temperature, self.options.function_to_apply)

    def _answers(self, items: list[Windows | AudioError], first: int) -> Iterator[Answer | AudioError]:
        """Answers for the windows of several clips, which run together; errors keep their place."""
        scored = self._scores([[] if isinstance(item, AudioError) else item for item in items])
        for index, (item, found) in enumerate(zip(items, scored, strict=True), first):
            if isinstance(item, AudioError):
                yield item
            elif not isinstance(found, AudioError):
                yield self._answer(*found)
            elif self.options.on_error == "return":
                yield _at(found, index)
            else:
                raise _at(found, index)

    def _answer(self, rows: Tensor, steps: Steps = None) -> Answer:
        return self._best(combine(rows, self.config.labels), max(steps) if steps else None)

    def _best(self, row: Tensor, steps: int | None = None) -> Answer:
        return best(row, self.config.labels, self.options.top_k, self.options.min_score, steps)


def too_loud(what: str) -> AudioError:
    """The error on a clip to which a sound network gives scores that are not finite."""
    return AudioError(
        f"{what} is so loud that its scores are not finite", hint="full scale is 1.0", code="not_finite"
    )


def _at(error: AudioError, index: int) -> AudioError:
    located = AudioError(f"clip {index}: {error.message}", hint=error.hint, code=error.code)
    located.__cause__ = error
    return located
