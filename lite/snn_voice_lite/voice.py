"""A model without PyTorch: `Voice().classify("yes.wav")`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np

from snn_voice_lite.answers import Window
from snn_voice_lite.asking import Answer, Asked, AskOptions, Clip
from snn_voice_lite.config import check_int, check_number
from snn_voice_lite.errors import AudioError, CheckpointError, ConfigError
from snn_voice_lite.facts import KEY, LiteConfig
from snn_voice_lite.finding import found
from snn_voice_lite.graph import Floats, OnnxGraph
from snn_voice_lite.hearing.frames import FrameFront, FrameHearing, FrameRow
from snn_voice_lite.hearing.windows import WindowHearing
from snn_voice_lite.listening import Listener
from snn_voice_lite.mel import log_mel
from snn_voice_lite.samples import are_several
from snn_voice_lite.streaming.session import Hearing
from snn_voice_lite.visible import visible
from snn_voice_lite.windows import HOP_SECONDS


class Voice(Listener):
    """A pretrained audio classifier: `Voice().classify("yes.wav")`.

    It may be used by many threads at once.

    Args:
        model: A bundled name (see `list_models`), or a file that `snn-voice export --to lite` has written;
            None for the default. A `Path` always is a file.
        threads: How many of ONNX Runtime's work on one run.

    Attributes:
        config: What the file says of the model.

    Raises:
        CheckpointError: There is no such model, or it can't be read.
        ConfigError: `threads` is not legal.

    Example:
        >>> Voice().classify("yes.wav")[0].label
        'yes'
    """

    config: LiteConfig

    def __init__(self, model: str | os.PathLike[str] | None = None, *, threads: int = 1) -> None:
        self._open(found(model), threads)

    @classmethod
    def from_bytes(cls, content: bytes, *, threads: int = 1) -> Voice:
        """A model of the bytes of a lite file.

        Raises:
            CheckpointError: They are none.
        """
        voice = cls.__new__(cls)
        voice._open(content, threads)
        return voice

    def _open(self, source: Path | bytes, threads: int) -> None:
        check_int("threads", threads, low=1, high=256)
        label = visible(source) if isinstance(source, Path) else "the model"
        self._graph = OnnxGraph(source, label, threads)
        if (text := self._graph.metadata.get(KEY)) is None:
            raise CheckpointError(
                f"{label} is an ONNX file, and no lite file",
                hint="`snn-voice export MODEL --to lite` writes one",
            )
        try:
            self.config = LiteConfig.read(text)
        except ConfigError as error:
            raise CheckpointError(f"{label}: {error.message}", hint=error.hint) from error
        c, classes = self.config.features, len(self.config.labels)
        self._frames = None if self.config.frames is None else self.config.frames.facts
        if self._frames is None:
            self._graph.expect({"waveforms": (None, c.num_samples)}, {"logits": (None, classes)})
            return
        size = self._frames.state_size
        assert self.config.frames is not None
        self._at_once = self.config.frames.at_once
        steps = (None,) if self._at_once else ()
        self._graph.expect(
            {"frames": (*steps, None, 1, c.n_mels, self._frames.frames_per_step), "state": (None, size)},
            {"logits": (*steps, None, classes), "next_state": (None, size)},
        )
        self._log_mel = log_mel(c)

    # --- what it is -------------------------------------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """One label a class, in index order."""
        return list(self.config.labels)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz at which the model hears; other sound is resampled."""
        return self.config.sample_rate

    @property
    def remembers(self) -> bool:
        """Whether the network remembers the sound before; otherwise it hears windows, each by itself."""
        return self._frames is not None

    # --- clips ------------------------------------------------------------------------------------

    @overload
    def classify(
        self, clips: list[Clip] | tuple[Clip, ...], **options: Unpack[AskOptions]
    ) -> list[Answer]: ...

    @overload
    def classify(self, clips: Clip, **options: Unpack[AskOptions]) -> Answer: ...

    def classify(
        self,
        clips: Clip,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        min_score: float | None = None,
        words_only: bool = False,
        function_to_apply: str = "softmax",
        batch_size: int = 32,
        max_seconds: float = 600.0,
        on_error: str = "raise",
    ) -> Any:
        """The best words of one clip or of many.

        A clip longer than the model's window is read in windows half a second apart; a word's score is its
        best over the windows.

        Args:
            clips: One clip (a path, the bytes of a sound file, a binary file object, an array `[N]` or
                `[channels, N]`, a tuple of such an array and its rate, or a dict as `datasets` has it), or a
                list or tuple of clips.
            sample_rate: Rate in Hz of arrays that come without one; files carry their own.
            top_k: At most so many labels, best first.
            min_score: Words of at least this score only; the answer may then be empty: no word.
            words_only: Leave out the labels that are no word, such as `_silence_` and `_unknown_`.
            function_to_apply: "softmax", "sigmoid", or "none" for raw logits.
            batch_size: Windows of a clip that run together.
            max_seconds: Longer clips are an error.
            on_error: "raise", or "return" to get an `AudioError` at the place of a clip that failed.

        Returns:
            A list of `Prediction` for one clip; a list of such lists for many, in their order.

        Raises:
            AudioError: A clip can't be used; in a list the message names which.
            ConfigError: An argument is not legal.
        """
        asked = self._asked(
            sample_rate=sample_rate,
            top_k=top_k,
            min_score=min_score,
            words_only=words_only,
            function_to_apply=function_to_apply,
            batch_size=batch_size,
            max_seconds=max_seconds,
            on_error=on_error,
        )
        return list(asked.each(clips)) if are_several(clips) else asked.one(clips)

    def classify_each(
        self, clips: Iterable[Clip], **options: Unpack[AskOptions]
    ) -> Iterator[Answer | AudioError]:
        """The best words of each clip of any iterable, as soon as they are known, in order.

        Args:
            clips: Clips as `classify` takes them; always many, perhaps endless.
            **options: The keyword arguments of `classify`.

        Raises:
            AudioError: A clip can't be used; the message names which.
            ConfigError: An argument is not legal.
        """
        return self._asked(**options).each(clips)

    def classify_windows(
        self, clip: Clip, *, hop_seconds: float = HOP_SECONDS, **options: Unpack[AskOptions]
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
        check_number("hop_seconds", hop_seconds, above=0.0)
        return self._asked(**options).windows(clip, hop_seconds)

    def logits(self, windows: Floats) -> Floats:
        """Logits `[W, C]` of windows `[W, N]` at the model's rate, before temperature and softmax."""
        if self._frames is None:
            return self._graph.run(["logits"], waveforms=windows)[0]
        c, facts = self.config.features, self._frames
        around = c.n_fft // 2  # frames are centred; what would be beyond a window's ends is mirrored there
        sound = (windows - np.float32(c.waveform_mean)) / np.float32(c.waveform_std)
        padded = np.pad(sound, ((0, 0), (around, around)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, c.n_fft, axis=1)[:, :: c.hop_length]
        columns = np.stack([self._log_mel(each) for each in frames])
        lead = np.zeros((len(windows), facts.lead_frames, c.n_mels), np.float32)
        steps = (columns.shape[1] - facts.lead_frames) // facts.frames_per_step
        whole = np.concatenate([lead, columns], 1)[:, : steps * facts.frames_per_step]
        by_step = whole.reshape(len(windows), steps, facts.frames_per_step, c.n_mels).transpose(1, 0, 3, 2)
        state = np.zeros((len(windows), facts.state_size), np.float32)
        outputs, _ = self._advanced(np.ascontiguousarray(by_step[:, :, np.newaxis]), state)
        summed: Floats = outputs[-facts.num_steps :].sum(0)
        return summed

    def _advanced(self, steps: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Outputs `[T, B, C]` of steps `[T, B, 1, n_mels, frames]`, and the state `[B, n]` after them."""
        if self._at_once:
            outputs, state = self._graph.run(["logits", "next_state"], frames=steps, state=state)
            return outputs, state
        each = []
        for frames in steps:
            output, state = self._graph.run(["logits", "next_state"], frames=frames, state=state)
            each.append(output)
        return np.stack(each), state

    # --- sound that goes on -----------------------------------------------------------------------

    def run_inputs(self, inputs: Sequence[Any]) -> Floats:
        """Run the network on what streams have prepared; see `SnnVoice.run_inputs`.

        Args:
            inputs: Rows of `VoiceStream.take(...).inputs`, of any streams of this model; at least one.

        Returns:
            What `VoiceStream.give` takes, a row each.
        """
        if self._frames is None:
            return self.logits(np.stack(inputs))
        rows = [self._advanced_row(row) for row in inputs]
        out = np.zeros((len(rows), max(map(len, rows))), np.float32)
        for place, values in zip(out, rows, strict=True):
            place[: len(values)] = values
        return out

    def _advanced_row(self, row: FrameRow) -> Floats:
        assert self._frames is not None
        steps, state = row.front([row]), row.state[np.newaxis]
        watched: list[Floats] = []
        if row.watched:  # one step after the other, as the state alone tells the membranes after each
            each = []
            for frames in steps:
                output, state = self._advanced(frames[np.newaxis], state)
                each.append(output)
                watched += [state[:, n.begin : n.end] for n in self._frames.neurons]
            outputs = np.concatenate(each)
        else:
            outputs, state = self._advanced(steps, state)
        joined: Floats = np.concatenate([state, *outputs, *watched], 1)[0]
        return joined

    def _hop_of(self, seconds: float) -> int:
        if self._frames is None:
            return super()._hop_of(seconds)
        return self._frames.hop_samples(seconds, self.config.features)

    def _hearing(
        self, hop: int, gate: float | None, back: int, *, spikes: bool = False, sound: bool = False
    ) -> Hearing:
        if spikes and not (self._frames and self._frames.neurons):
            raise ConfigError(
                f"{self.config.title} has no spikes that a stream could tell of",
                hint="a spiking network whose steps are those of the sound: tempo-snn",
            )
        if self._frames is None:
            return WindowHearing(self.config, hop, gate, back=back, trouble=self._trouble)
        steps = hop // self._frames.step_samples(self.config.features)
        front = FrameFront(self.config.features, self._log_mel, self._frames, steps)
        return FrameHearing(
            self.config, front, self._frames, gate, raster=spikes, sound=sound, trouble=self._trouble
        )

    # --- parts ------------------------------------------------------------------------------------

    def _asked(self, **options: Unpack[AskOptions]) -> Asked:
        return Asked(self.config, self.logits, self._trouble, **options)

    def _trouble(self) -> str:
        """Why scores are not finite, if it is not what is heard; "" if it is."""
        silence = np.zeros((1, self.config.num_samples), np.float32)
        return "" if np.isfinite(self.logits(silence)).all() else "no score is finite, not even for silence"
