"""One stream of sound: chunks in, events out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from snn_voice_lite.errors import SnnVoiceError
from snn_voice_lite.streaming.chunks import ChunkReader, Samples
from snn_voice_lite.streaming.detector import Detector, Event, Scores
from snn_voice_lite.streaming.resampling import Resampler
from snn_voice_lite.streaming.search import Search, SoughtWindow

# Seconds of a long chunk that are worked on at a time.
_PIECE = 0.5
# Windows of silence that are looked at together.
_MOST = 16


@dataclass(frozen=True)
class Due:
    """What a stream wants to be run by the network.

    Attributes:
        inputs: What is to be run, a row each, at present one at most; rows of several streams of a model may
            run together. What a row is, only the model knows.
        ends: For each window where it ends, in seconds since the stream began.
        silent: For each window whether it is silence, for which no row is run.
    """

    inputs: Sequence[Any]
    ends: Sequence[float]
    silent: Sequence[bool]

    def __len__(self) -> int:
        return len(self.inputs)

    def __bool__(self) -> bool:
        return bool(self.ends)


class Hearing(Protocol):
    """What a model keeps of one stream: its sound, its features, whatever else the next scores depend on."""

    @property
    def level(self) -> float:
        """Of the newest sound, in dB of full scale."""

    @property
    def silence(self) -> Scores:
        """Scores `[C]` of silence."""

    @property
    def due_in(self) -> int:
        """How many samples at the model's rate more make something due."""

    def push(self, samples: Samples) -> None:
        """Take samples `[N]` at the model's rate, which nobody may change until `next` has no window more."""

    def push_silence(self) -> None:
        """Let so much silence follow as windows hold that hold sound."""

    def next(self) -> SoughtWindow | None:
        """The next window that is complete; None for none."""

    def row(self, window: SoughtWindow) -> Any:
        """What the network takes for a window that is not silence.

        It is one of the newest, and nothing else is asked for before it has run, or failed to.
        """

    @property
    def spikes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which neurons fired in the newest step, by layer; nothing where the network keeps no membranes."""

    @property
    def raster(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which fired in each step behind the scores before, by layer; nothing where that is not wanted."""

    def sound(self, end: float) -> Samples:
        """What the model heard up to a time, `[N]`, as long as its window; a copy.

        It is the end of one of the newest windows, and the model was told that this would be asked.
        """

    def scores(self, due: Due, outputs: Any) -> Scores:
        """Scores `[W, C]` of all windows of `due`, from what the network gave for its rows.

        Raises:
            SnnVoiceError: The network gave what is not finite.
        """

    def reset(self) -> None:
        """Forget all that was heard."""


class VoiceStream:
    """Listens to one stream of sound; `SnnVoice.stream` makes it.

    An object for each stream. Many may listen by one model, in as many threads; one object is used by one
    thread at a time. How long the chunks are changes neither events nor scores. What is kept does not grow.

        for event in stream.feed(chunk):
            print(event.label, event.start, event.end)

    Whoever runs the network elsewhere, in batches with other streams, does in place of `feed`

        due = stream.take(chunk)
        while due:
            outputs = ...  # of the len(due) rows due.inputs; see SnnVoice.run_inputs
            events += stream.give(due, outputs)
            due = stream.more()

    and in place of `flush` the same with `take_end`.

    Args:
        hearing: What the model keeps of this stream.
        run: Runs rows of `Due.inputs`, one or more.
        detector: Makes events of scores.
        labels: Of the model.
        rates: Of the chunks and of the model, in Hz.
        encoding: How chunks of bytes are read, one of `chunks.ENCODINGS`.
        sparse: Whether to leave out windows that can be in no event.
        sound: Whether events are to have their sound.

    Attributes:
        sample_rate: Of the chunks, in Hz.
        thresholds: Of each word that is listened for.
        hop: Seconds between windows.
    """

    def __init__(
        self,
        hearing: Hearing,
        run: Callable[[Sequence[Any]], Any],
        detector: Detector,
        *,
        labels: Sequence[str],
        rates: tuple[int, int],
        encoding: str = "pcm16",
        sparse: bool = False,
        sound: bool = False,
    ) -> None:
        self.sample_rate = rates[0]
        self.thresholds = detector.thresholds
        self.hop = detector.hop
        self._target_rate = rates[1]
        self._hearing = hearing
        self._run = run
        self._detector = detector
        self._labels = list(labels)
        self._with_sound = sound
        self._reader = ChunkReader(encoding)
        self._resampler = Resampler(*rates)
        self._search: Search | None = None
        if sparse and detector.together > 1:
            self._search = Search(detector.together, detector.holds, hearing.silence, detector.apart)
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._over = False
        self._pieces: deque[Samples] = deque()
        self._asked = False  # for something that has no answer yet
        self._newest = np.zeros(len(self._labels), dtype=np.float32)
        if self._search is not None:
            self._search.reset()

    # --- sound in, events out ---------------------------------------------------------------------

    def feed(self, chunk: Any) -> list[Event]:
        """Take the next chunk.

        Args:
            chunk: `[N]` array or tensor of float (full scale is 1.0) or int16, or bytes of PCM, where a
                sample may be cut in two. Any length, also none.

        Returns:
            The words that are known to be said now, in order; most often none.

        Raises:
            AudioError: The chunk can't be used. It is then as if it had not come.
            CheckpointError: The network gives no finite scores.
            SnnVoiceError: The stream is over.
        """
        return self._ran(self.take(chunk))

    def flush(self) -> list[Event]:
        """End the stream as if silence followed.

        Returns:
            The last events. `end` of one may lie behind the last sample, by the time that silence was heard.

        Raises:
            CheckpointError: The network gives no finite scores.
            SnnVoiceError: The stream is over.
        """
        return self._ran(self.take_end())

    def reset(self) -> None:
        """Begin anew, as a stream of which nothing was heard; also after `flush`."""
        for part in (self._reader, self._resampler, self._hearing, self._detector):
            part.reset()
        self._forget()

    # --- the same, for who runs the network -------------------------------------------------------

    def take(self, chunk: Any) -> Due:
        """Take the next chunk and give what is to be run first.

        Args:
            chunk: As `feed` takes it.

        Raises:
            AudioError: The chunk can't be used. It is then as if it had not come.
            SnnVoiceError: The stream is over.
        """
        self._check_open()
        samples = self._reader.read(chunk)
        self._count += len(samples)
        step = max(1, round(_PIECE * self.sample_rate))
        self._pieces += (samples[begin : begin + step] for begin in range(0, len(samples), step))
        return self._sought()

    def more(self) -> Due:
        """What is to be run next, now that the answer to all before was given; often nothing."""
        return self._sought()

    def take_end(self) -> Due:
        """What is to be run if the stream ends and silence follows.

        Raises:
            SnnVoiceError: The stream is over.
        """
        self._check_open()
        self._over = True
        while self._pieces:
            self._hearing.push(self._resampler.push(self._pieces.popleft()))
        self._hearing.push(self._resampler.end())
        self._hearing.push_silence()
        return self._sought()

    def give(self, due: Due, outputs: Any) -> list[Event]:
        """Take what the network gave, and give the events.

        Args:
            due: What was to be run. Each `Due` is given back once, in the order in which they were taken.
            outputs: The network's rows for its `inputs`; None where there are none.

        Raises:
            CheckpointError: They are not finite.
        """
        if not due:
            return []
        self._asked = False
        try:
            scores, ends = self._hearing.scores(due, outputs), due.ends
        except SnnVoiceError:
            self._give_up()
            raise
        if self._search is not None:
            self._search.tell(scores[0])
            if (known := self._search.known()) is None:
                return []
            scores, ends = known
        events = self._detected(scores, ends)
        if self._search is not None and events and events[-1].time == ends[-1]:
            self._search.event()
        return events

    # --- what it hears ----------------------------------------------------------------------------

    @property
    def scores(self) -> dict[str, float]:
        """The newest score of each label that is known; all 0 before the first window is complete."""
        return dict(zip(self._labels, self._newest.tolist(), strict=True))

    @property
    def level(self) -> float:
        """How loud the newest sound is: dB of full scale over a hop, -120 for digital silence."""
        return self._hearing.level

    @property
    def spikes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which neurons fired in the newest step, by layer: `[C]`, all False at rest.

        Of a network whose steps are those of the sound; there are none of one that hears windows.
        """
        return self._hearing.spikes

    @property
    def raster(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which neurons fired in each step, by layer: `[T, C]`, oldest first; all False in silence.

        The T steps are those that the last `give` or `feed` came to know last, most often those of a hop.
        There are none unless `SnnVoice.stream` was asked for them.
        """
        return self._hearing.raster

    @property
    def seconds(self) -> float:
        """How much sound has come, in seconds."""
        return self._count / self.sample_rate

    @property
    def due_in(self) -> float:
        """After how many seconds of sound more something may be due; about, if they are resampled."""
        spare = 0.0 if self._search is None else self._search.spare * self.hop
        return self._hearing.due_in / self._target_rate + spare

    def _check_open(self) -> None:
        if self._over:
            raise SnnVoiceError("the stream is over", hint="reset() begins a new one", code="stream_over")

    def _next(self) -> SoughtWindow | None:
        """The next window of what has come."""
        while (window := self._hearing.next()) is None and self._pieces:
            self._hearing.push(self._resampler.push(self._pieces.popleft()))
        return window

    def _sought(self) -> Due:
        """What is to be run now."""
        if self._asked:
            return _NOTHING
        due = self._following() if self._search is None else self._searched(self._search)
        self._asked = bool(due)
        return due

    def _following(self) -> Due:
        """The next window that is no silence, and the silence before it."""
        rows: list[Any] = []
        ends: list[float] = []
        silent: list[bool] = []
        while not rows and len(ends) < _MOST and (window := self._next()) is not None:
            ends.append(window.end)
            silent.append(window.place is None)
            if window.place is not None:
                rows.append(self._hearing.row(window))
        return Due(rows, ends, silent)

    def _searched(self, search: Search) -> Due:
        count = 0
        while (window := search.ask()) is None and (heard := self._next()) is not None:
            search.push(heard)
            count += 1
            if count % _MOST == 0:
                self._settle(search)
        self._settle(search)
        return _NOTHING if window is None else Due([self._hearing.row(window)], [window.end], [False])

    def _settle(self, search: Search) -> None:
        """Tell the detector of silence, and of windows that cannot hold a word: no event."""
        if (known := search.known()) is not None:
            self._detected(*known)

    def _detected(self, scores: Scores, ends: Sequence[float]) -> list[Event]:
        self._newest = scores[-1]
        events = self._detector.feed(scores, ends)
        if not self._with_sound:
            return events
        # Now, as the next window may take its place.
        return [replace(event, sound=self._hearing.sound(event.time)) for event in events]

    def _give_up(self) -> None:
        """Go on without the answer to what was to be run: it is as if no word had been there."""
        self._asked = False
        if self._search is not None and self._search.waits:
            self._search.tell(np.zeros_like(self._newest))

    def _ran(self, due: Due) -> list[Event]:
        """The events of what is due, and of what is due then."""
        events = []
        while due:
            try:
                outputs = self._run(due.inputs) if len(due) else None
            except BaseException:
                self._give_up()
                raise
            events += self.give(due, outputs)
            due = self.more()
        return events


_NOTHING: Final = Due([], [], [])
