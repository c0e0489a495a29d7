"""The way of clips through a model: sound, windows, batches, scores, words."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized

import torch
from snn_voice_lite.answers import Window, too_loud
from torch import Tensor

from snn_voice_hub.errors import AudioError, CheckpointError
from snn_voice_hub.inference.decode import Loaded, ReadAhead, decoding_threads
from snn_voice_hub.inference.early_exit import StoppedEarly
from snn_voice_hub.inference.ends import Answer, Clip, Ends, Steps, Windows
from snn_voice_hub.inference.progress import with_progress
from snn_voice_hub.tensors import FLOAT32

# What could be iterated, but is one clip.
_ONE = (str, bytes, bytearray, memoryview, os.PathLike, Mapping)

# Clips of a list that are taken before their batch, at least.
_MIN_AHEAD = 8


class Pipeline:
    """One model, asked in one way; for one clip or many.

    Args:
        ends: What is before and after the network.
        run: The network: windows `[W, N]` on the CPU -> logits `[W, C]` on any device.
        announce: Is told how many windows each of the clips has that run next; None: the next window does not
            come, for the network refuses it.
        trouble: Says what is wrong with the network itself, where its scores are not finite; "" for nothing.
    """

    def __init__(
        self,
        ends: Ends,
        run: Callable[[Tensor], Tensor | StoppedEarly],
        announce: Callable[[list[int] | None], None] = lambda _: None,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._ends = ends
        self._forward = run
        self._announce = announce
        self._trouble = trouble
        self._returns = ends.options["on_error"] == "return"

    def one(self, clip: Clip) -> Answer | AudioError:
        """The answer for one clip; see `SnnVoice.classify`."""
        try:
            windows = self._ends.prepare(clip).windows
        except AudioError as error:
            found: AudioError | tuple[Tensor, Steps] = error
        else:
            found = self._scores([windows])[0]
        if not isinstance(found, AudioError):
            return self._ends.answer(*found)
        if self._returns:
            return found
        raise found

    def windows(self, clip: Clip, hop_seconds: float) -> list[Window]:
        """The answer for each window of a clip; see `SnnVoice.classify_windows`."""
        prepared = self._ends.prepare(clip, hop_seconds)
        scored = self._scores([prepared.windows])[0]
        if isinstance(scored, AudioError):
            raise scored
        return self._ends.window_answers(prepared, *scored)

    def each(self, clips: Iterable[Clip]) -> Iterator[Answer | AudioError]:
        """The answers for many clips; see `SnnVoice.classify_each`."""
        if isinstance(clips, _ONE) or hasattr(clips, "read") or not isinstance(clips, Iterable):
            what = f"classify_each() takes an iterable of clips, not {type(clips).__name__}"
            raise AudioError(what, hint="classify() takes one; or make a list of it", code="bad_type")
        listed = isinstance(clips, list | tuple)
        answers = self._each(clips, listed)
        wanted = self._ends.options["progress"]
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
        size = self._ends.options["batch_size"]
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
                    windows = self._ends.split(found).windows
                    batch.append(windows)
                    count += len(windows)
                elif self._returns:
                    batch.append(found)
                    count += 1
                else:
                    raise found
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

    def _load_at(self, index: int, clip: Clip) -> Loaded:
        try:
            return self._ends.load(clip)
        except AudioError as error:
            # The message on a path names it already.
            return error if isinstance(clip, str | os.PathLike) else _at(error, index)

    @torch.inference_mode()
    def _scores(self, clips: Sequence[Windows]) -> list[tuple[Tensor, Steps] | AudioError]:
        """For each clip the scores `[W, C]` of its windows, and the steps they took; they run in batches.

        In its place stands an error where a window is too loud, or where the network refuses it by one.

        Raises:
            CheckpointError: The network gives no finite scores, and not for what it hears.
        """
        size = self._ends.batch_size
        counts = [len(clip) for clip in clips]
        windows = [window for clip in clips for window in clip]
        if not windows:
            return [(torch.empty(0, **FLOAT32), None) for _ in clips]
        self._announce(counts)
        logits: list[Tensor] = []
        steps: list[int] = []
        refused: dict[int, AudioError] = {}

        def run(first: int, part: Windows) -> None:
            try:
                ran = self._forward(torch.stack(part))
            except AudioError as error:
                if len(part) > 1:  # each by itself then, for it is not said which one it is
                    for place, window in enumerate(part, first):
                        run(place, [window])
                    return
                self._announce(None)
                refused[first] = error
                ran = StoppedEarly(torch.zeros(1, len(self._ends.config.labels), **FLOAT32), [0])
            if isinstance(ran, StoppedEarly):
                steps.extend(ran.steps)
                ran = ran.logits
            logits.append(ran)

        for start in range(0, len(windows), size):
            run(start, windows[start : start + size])
        # Waited for once, after all batches.
        all_logits = torch.cat([part.to(logits[-1].device) for part in logits])
        finite = all_logits.isfinite().all(-1).tolist()
        if not all(finite) and (trouble := self._trouble()):
            raise CheckpointError(f"{self._ends.config.title}: {trouble}")
        rows = torch.split(self._ends.scores(all_logits).cpu(), counts)
        stepped = len(steps) == len(windows)
        found: list[tuple[Tensor, Steps] | AudioError] = []
        end = 0
        for count, row in zip(counts, rows, strict=True):
            start, end = end, end + count
            if error := next((refused[i] for i in range(start, end) if i in refused), None):
                found.append(error)
            elif not all(finite[start:end]):
                found.append(too_loud("the clip"))
            else:
                found.append((row, steps[start:end] if stepped else None))
        return found

    def _answers(self, items: list[Windows | AudioError], first: int) -> Iterator[Answer | AudioError]:
        """Answers for the windows of several clips, which run together; errors keep their place."""
        scored = self._scores([[] if isinstance(item, AudioError) else item for item in items])
        for index, (item, found) in enumerate(zip(items, scored, strict=True), first):
            if isinstance(item, AudioError):
                yield item
            elif not isinstance(found, AudioError):
                yield self._ends.answer(*found)
            elif self._returns:
                yield _at(found, index)
            else:
                raise _at(found, index)


def _at(error: AudioError, index: int) -> AudioError:
    located = AudioError(f"clip {index}: {error.message}", hint=error.hint, code=error.code)
    located.__cause__ = error
    return located
