"""`classify` and its like: sound in, words out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Never, Unpack, overload

from snn_voice_lite.answers import Prediction, Window
from snn_voice_lite.samples import are_several
from snn_voice_lite.windows import HOP_SECONDS

from snn_voice_hub.errors import AudioError
from snn_voice_hub.inference.ends import ClassifyOptions, Clip, check_names
from snn_voice_hub.inference.pipeline import Pipeline


class Classifier:
    """The mixin of a model that says what is heard; its pipelines do the work."""

    def _pipeline(self, **options: Unpack[ClassifyOptions]) -> Pipeline:
        """What answers under these options."""
        raise NotImplementedError(f"{type(self).__name__} does not define _pipeline()")

    @overload
    def classify(
        self, clips: list[Clip] | tuple[Clip, ...], **options: Unpack[ClassifyOptions]
    ) -> list[list[Prediction]]: ...

    @overload
    def classify(self, clips: Clip, **options: Unpack[ClassifyOptions]) -> list[Prediction]: ...

    def classify(
        self,
        clips: Any,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        min_score: float | None = None,
        words_only: bool = False,
        function_to_apply: str = "softmax",
        batch_size: int = 32,
        max_seconds: float = 600.0,
        on_error: str = "raise",
        progress: bool | None = None,
        early_exit: float | None = None,
        **unknown: Never,
    ) -> Any:
        """The best words of one clip or of many.

        A clip longer than the model's window is read in windows half a second apart; a word's score is its
        best over the windows.

        Of a list, the next batch is decoded by a few threads while the network computes. Memory does not grow
        with the number of clips: what waits is at most a batch (with small batches: 8 clips), and at most
        64 MiB of sound and a clip for each thread.

        Args:
            clips: One clip (a path, the bytes of a sound file, a binary file object, an array or tensor
                `[N]` or `[channels, N]`, a tuple of such an array and its rate, or a dict as `datasets` and
                the transformers pipeline have it), or a list or tuple of clips.
            sample_rate: Rate in Hz of arrays that come without one; files carry their own.
            top_k: At most so many labels, best first.
            min_score: Words of at least this score only; the answer may then be empty: no word.
            words_only: Leave out the labels that are no word, such as `_silence_` and `_unknown_`. The scores
                stay as they are: probabilities among all labels, so those of the words sum to less than 1,
                and to next to nothing where nobody speaks. Without `min_score` an answer is never empty.
            function_to_apply: "softmax", "sigmoid", or "none" for raw logits.
            batch_size: Windows that run together.
            max_seconds: Longer clips are an error.
            on_error: "raise", or "return" to get an `AudioError` at the place of a clip that failed.
            progress: Draw a progress bar on stderr once a second has passed, if that is a terminal: None for
                lists and tuples, True for any iterable of `classify_each`, False never.
            early_exit: Add no more time steps to a window once its best score is at least this, above 0 to 1;
                `Prediction.steps` says how many were run. Steps then run one after the other, whatever the
                engine. For spiking networks.
            **unknown: Other names are refused.

        Returns:
            A list of `Prediction` for one clip; a list of such lists for many, in their order.

        Raises:
            AudioError: A clip can't be used; in a list the message names which.
            ConfigError: An argument is not legal.
        """
        check_names(unknown)
        pipeline = self._pipeline(
            sample_rate=sample_rate,
            top_k=top_k,
            min_score=min_score,
            words_only=words_only,
            function_to_apply=function_to_apply,
            batch_size=batch_size,
            max_seconds=max_seconds,
            on_error=on_error,
            progress=progress,
            early_exit=early_exit,
        )
        return list(pipeline.each(clips)) if are_several(clips) else pipeline.one(clips)

    def classify_each(
        self, clips: Iterable[Clip], **options: Unpack[ClassifyOptions]
    ) -> Iterator[list[Prediction] | AudioError]:
        """The best words of each clip of any iterable, as soon as they are known, in order.

        The iterable may be endless. Its clips are taken in the thread that asks for answers, up to
        `2 * batch_size` before their answers; of an iterable that is no list or tuple, none before its own
        batch until the first batch has been answered. Where a clip is made from the answer to the one before
        it, use `batch_size=1`: then none is taken before its turn. Files and `bytes` are decoded by a few
        threads meanwhile, so a file has to stay until its answer has come; file objects and arrays are read
        before the next clip is taken. Memory is bounded by `batch_size` and the longest clip, not by the
        number of clips.

        Args:
            clips: Clips as `classify` takes them; always many.
            **options: The keyword arguments of `classify`.

        Yields:
            A list of `Prediction` a clip; with `on_error="return"` an `AudioError` for one that failed.

        Raises:
            AudioError: A clip can't be used; the message names which. This and what the iterable itself
                raises come at their place, after the answers to all clips before.
            ConfigError: An argument is not legal.
        """
        yield from self._pipeline(**options).each(clips)

    def classify_windows(
        self, clip: Clip, *, hop_seconds: float = HOP_SECONDS, **options: Unpack[ClassifyOptions]
    ) -> list[Window]:
        """The best words of each window of one clip.

        Args:
            clip: One clip, as `classify` takes it.
            hop_seconds: Distance between windows; the last one ends with the clip.
            **options: The keyword arguments of `classify`; a clip that can't be used is always raised.

        Returns:
            The windows in order, each with start and end in seconds. A clip that is shorter than a window,
            or at most 0.25 s longer, is one window with the clip's own length.

        Raises:
            AudioError: The clip can't be used.
            ConfigError: An argument is not legal.
        """
        return self._pipeline(**options).windows(clip, hop_seconds)
