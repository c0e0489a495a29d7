"""`stream` and its like: sound that goes on in, events out."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np

from snn_voice_lite.audio import check_rate
from snn_voice_lite.config import DetectionConfig, ModelConfig, check_bool, check_choice, check_number
from snn_voice_lite.errors import AudioError, ConfigError
from snn_voice_lite.hearing.ringed import on_cpu
from snn_voice_lite.streaming.chunks import ENCODINGS, Samples
from snn_voice_lite.streaming.detector import UNTUNED, Detector, Event, Scores, chosen_words
from snn_voice_lite.streaming.ring import GATE
from snn_voice_lite.streaming.session import Due, Hearing, VoiceStream

_MIN_HOP = 0.01
_LOUDEST, _QUIETEST = 0.0, -120.0


class StreamOptions(TypedDict, total=False):
    """The keyword arguments of `SnnVoice.stream` but for the rate; their meaning stands there."""

    words: Iterable[str] | None
    threshold: float | Mapping[str, float] | None
    hop: float | None
    smoothing: float | None
    refractory: float | None
    gate: float | None
    encoding: str
    scores: bool
    spikes: bool
    sound: bool


class Listener:
    """The mixin of a model that hears words in sound that goes on."""

    config: ModelConfig

    def _hearing(
        self, hop: int, gate: float | None, back: int, *, spikes: bool = False, sound: bool = False
    ) -> Hearing:
        """What the model keeps of one stream; `hop` in samples, `back` in windows: see `Hearing.row`.

        Raises:
            ConfigError: Spikes of every step are asked for, and there are none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _hearing()")

    def _hop_of(self, seconds: float) -> int:
        """Samples between scores that are asked for every so many seconds."""
        return round(seconds * self.config.features.sample_rate)

    @property
    def remembers(self) -> bool:
        """Whether the network remembers the sound before; otherwise it hears windows, each by itself."""
        return False

    def run_inputs(self, inputs: Sequence[Any]) -> Any:
        """Run the network on rows of what streams have prepared: a tensor or an array, a row each."""
        raise NotImplementedError(f"{type(self).__name__} does not define run_inputs()")

    def stream(
        self,
        *,
        sample_rate: int,
        words: Iterable[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        hop: float | None = None,
        smoothing: float | None = None,
        refractory: float | None = None,
        gate: float | None = GATE,
        encoding: str = "pcm16",
        scores: bool = True,
        spikes: bool = False,
        sound: bool = False,
    ) -> VoiceStream:
        """Begin to listen to a stream of sound.

            stream = model.stream(sample_rate=48_000, words=["yes", "stop"])
            for event in stream.feed(chunk):
                print(event.label, event.score, event.start, event.end)

        The network hears a window of sound (that of `classify`) every `hop` seconds. A word is an event when
        its score stays over the threshold for the smoothing time. What is not given is the checkpoint's own
        operating point, `config.detection`, or where it has none, a threshold of 0.9, smoothing over 0.3 s,
        1 s between events and a hop of 0.1 s.

        Args:
            sample_rate: Rate of the chunks in Hz.
            words: Words to listen for; None for all.
            threshold: Score from which on a word counts, above 0 to 1; a dict has one for each of some words.
            hop: Seconds between windows, 0.01 to the length of a window. Multiples of the front end's own
                step (0.01 s for the default) cost least. A network whose steps are those of the sound has
                scores after whole steps: the nearest number of them is taken.
            smoothing: Seconds over which the score stays high; a single window is enough at 0.
            refractory: Seconds after an event without another.
            gate: Windows in which no part is louder than this, in dB of full scale, are silence, and the
                network does not run; None to run it always.
            encoding: How chunks that are bytes are read: "pcm16" or "float32", little-endian, one channel.
            scores: Whether `VoiceStream.scores` is to be told of every window. Where only events are asked
                for, windows that can be in none are not run: the same events, at a fraction of the work.
            spikes: Whether `VoiceStream.raster` is to tell which neurons fired in every step; some engines
                then run step by step, which takes longer. Spiking networks alone can, whose steps are those
                of the sound.
            sound: Whether `Event.sound` is to hold the second of sound (the model's window) that ends when
                the word was known.

        Returns:
            A `VoiceStream`: `feed`, `flush`, `reset`, `scores`, `level`, `spikes`, `raster`.

        Raises:
            AudioError: The rate is not legal.
            ConfigError: Another argument is not legal, or a word is none of the model's.
        """
        rate = check_rate(sample_rate, "sample_rate")
        features = self.config.features
        check_choice("encoding", encoding, tuple(ENCODINGS))
        check_bool("scores", scores)
        check_bool("spikes", spikes)
        check_bool("sound", sound)
        if gate is not None:
            check_number("gate", gate, low=_QUIETEST, high=_LOUDEST)
        if isinstance(words, str):
            raise ConfigError(f"words={words!r} is not legal", hint=f"a list: words=[{words!r}]")
        wanted = None if words is None else list(words)
        point = self._operating_point(wanted, threshold, hop, smoothing, refractory)
        step = self._hop_of(point.hop)
        detector = Detector(
            self.config.labels,
            point,
            window=features.seconds,
            hop=step / features.sample_rate,
            words=wanted,
        )
        sparse = not scores and not self.remembers
        back = detector.together - 1 if sparse else 0
        return VoiceStream(
            self._hearing(step, gate, back, spikes=spikes, sound=sound),
            self._run_one_by_one,
            detector,
            labels=self.config.labels,
            rates=(rate, features.sample_rate),
            encoding=encoding,
            sparse=sparse,
            sound=sound,
        )

    def listen(
        self, chunks: Iterable[Any], *, sample_rate: int, **options: Unpack[StreamOptions]
    ) -> Iterator[Event]:
        """The words in any iterable of chunks, each as soon as it is known.

        Args:
            chunks: As `VoiceStream.feed` takes them, of any length. It may be endless.
            sample_rate: Their rate in Hz.
            **options: The keyword arguments of `stream`; `scores` is False unless it is given.

        Yields:
            The events; after the last chunk, those that silence behind it brings.

        Raises:
            AudioError: A chunk can't be used; or `chunks` is one chunk, and no iterable of chunks.
            ConfigError: An argument is not legal.
        """
        _check_chunks(chunks, Iterable, "listen")
        options = {"scores": False, **options}
        return _listened(self.stream(sample_rate=sample_rate, **options), chunks)

    def alisten(
        self, chunks: AsyncIterable[Any], *, sample_rate: int, **options: Unpack[StreamOptions]
    ) -> AsyncIterator[Event]:
        """`listen` for `async for`; the network runs in a thread, so that the loop goes on meanwhile.

        Args:
            chunks: As `VoiceStream.feed` takes them, of any length.
            sample_rate: Their rate in Hz.
            **options: The keyword arguments of `stream`.

        Yields:
            The events.

        Raises:
            AudioError: A chunk can't be used; or `chunks` is no asynchronous iterable.
            ConfigError: An argument is not legal.
        """
        _check_chunks(chunks, AsyncIterable, "alisten")
        options = {"scores": False, **options}
        return _alistened(self.stream(sample_rate=sample_rate, **options), chunks)

    def scores_along(self, waveform: Samples, *, hop: float) -> tuple[Scores, list[float]]:
        """The scores that a stream has, along a whole recording.

        Args:
            waveform: `[N]` at the model's rate.
            hop: Seconds between them, as for `stream`.

        Returns:
            Scores `[W, C]`, and where in seconds each of the windows ends.
        """
        hearing = self._hearing(self._hop_of(hop), None, 0)
        hearing.push(np.asarray(waveform, dtype=np.float32))
        found, ends = [], []
        while (window := hearing.next()) is not None:
            due = Due([hearing.row(window)], [window.end], [False])
            found.append(hearing.scores(due, self._run_one_by_one(due.inputs)))
            ends.append(window.end)
        count = len(self.config.labels)
        return np.concatenate(found) if found else np.zeros((0, count), np.float32), ends

    def _run_one_by_one(self, rows: Sequence[Any]) -> Scores:
        # In another batch the sums of an engine may have another order, and a chunk of another length would
        # change scores.
        return np.concatenate([on_cpu(self.run_inputs([row])) for row in rows])

    def _operating_point(
        self,
        words: Sequence[str] | None,
        threshold: float | Mapping[str, float] | None,
        hop: float | None,
        smoothing: float | None,
        refractory: float | None,
    ) -> DetectionConfig:
        """The checkpoint's operating point, and what is asked for instead."""
        point = self.config.detection or UNTUNED
        change: dict[str, Any] = {"smoothing": smoothing, "refractory": refractory}
        for name, value in change.items():
            if value is not None:
                check_number(name, value, low=0.0, high=60.0)
        change["hop"] = check_number(
            "hop", point.hop if hop is None else hop, low=_MIN_HOP, high=self.config.features.seconds
        )
        if isinstance(threshold, Mapping):
            heard = {self.config.labels[i] for i in chosen_words(self.config.labels, words)}
            for word, value in threshold.items():
                if word not in heard:
                    what = f"threshold has {word!r}, which is not listened for"
                    raise ConfigError(what, hint=f"words are {', '.join(sorted(heard))}")
                check_number(f"threshold[{word!r}]", value, above=0.0, high=1.0)
            change["thresholds"] = {**point.thresholds, **threshold}
        elif threshold is not None:
            change["threshold"] = check_number("threshold", threshold, above=0.0, high=1.0)
            change["thresholds"] = {}
        return dataclasses.replace(point, **{k: v for k, v in change.items() if v is not None})


def _check_chunks(chunks: object, kind: type, name: str) -> None:
    # An array is an iterable of its samples, and `bytes` one of integers.
    one = isinstance(chunks, str | bytes | bytearray | memoryview) or hasattr(chunks, "ndim")
    if one or not isinstance(chunks, kind):
        legal = "an asynchronous iterable" if kind is AsyncIterable else "an iterable"
        what = f"{name}() takes {legal} of chunks, not {type(chunks).__name__}"
        raise AudioError(what, hint="stream().feed() takes one chunk", code="bad_type")


def _listened(stream: VoiceStream, chunks: Iterable[Any]) -> Iterator[Event]:
    for chunk in chunks:
        yield from stream.feed(chunk)
    yield from stream.flush()


async def _alistened(stream: VoiceStream, chunks: AsyncIterable[Any]) -> AsyncIterator[Event]:
    import asyncio  # takes as long as all else here, and few need it

    async for chunk in chunks:
        for event in await asyncio.to_thread(stream.feed, chunk):
            yield event
    for event in await asyncio.to_thread(stream.flush):
        yield event
