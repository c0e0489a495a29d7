"""What one client has sent: sound -> words, with their times on the client's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np

from snn_voice_lite.containers.faults import audio_error
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import VoiceStream
from snn_voice_lite.wyoming.offered import Vocabulary

# Bytes of a sample.
_WIDTH: Final = 2
_MAX_CHANNELS: Final = 2


class SoundFormat(NamedTuple):
    """How samples are sent.

    Attributes:
        rate: In Hz.
        width: Bytes of a sample.
        channels: Samples that belong together.
    """

    rate: int
    width: int
    channels: int


class SaidWord(NamedTuple):
    """A word that was said.

    Attributes:
        name: The word.
        score: How sure that is, 0 to 1.
        milliseconds: When it was known, on the client's clock.
    """

    name: str
    score: float
    milliseconds: int


class WakeStream:
    """The sound of one client, as it comes; nothing of it outlives the client, or its next `begin`.

    Time is the client's: that of its chunks where they have timestamps, and otherwise counted in samples from
    `begin`.

    Args:
        vocabulary: The words there are.

    Attributes:
        words: Those that are listened for.
        found: Whether one of them was said since `begin`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.words = vocabulary.chosen(None)
        self.begin(None)

    def begin(self, timestamp: float | None) -> None:
        """A new stream of sound.

        Args:
            timestamp: When it begins, in milliseconds; None for 0.
        """
        self._streams: list[VoiceStream] = []
        self._format: SoundFormat | None = None
        self._clock = timestamp or 0.0
        self._rest = b""
        self.found = False

    def choose(self, names: Iterable[str] | None) -> None:
        """Listen for these words from now on, anew; None for all that there are.

        Raises:
            ConfigError: There is no such word.
        """
        self.words = self._vocabulary.chosen(names)
        self.begin(self._clock)

    def expect(self, form: SoundFormat, timestamp: float | None, size: int) -> None:
        """A chunk of sound follows. Its format counts, whatever was said before; another one begins anew.

        Args:
            form: Its format.
            timestamp: When it begins, in milliseconds; None for where the last one has ended.
            size: Its length in bytes.

        Raises:
            AudioError: It can't be used.
        """
        if form.width != _WIDTH:
            what = f"samples of {form.width} bytes can't be used"
            raise audio_error("bad_width", what, f"width={_WIDTH}: 16 bit")
        if not 1 <= form.channels <= _MAX_CHANNELS:
            raise audio_error("bad_channels", f"{form.channels} channels can't be used", "1 or 2")
        if size % (_WIDTH * form.channels):
            raise audio_error(
                "cut_off", f"a chunk of {size} bytes does not hold whole samples of {form.channels} channels"
            )
        if form != self._format:
            self._streams = self._vocabulary.streams(form.rate, self.words)
            self._format, self._rest = form, b""
        if timestamp is not None:
            self._clock = timestamp

    def is_light(self, size: int) -> bool:
        """Whether to feed so many bytes runs no network.

        Where sound is resampled nobody knows, as it leaves the resampler in bursts.
        """
        assert self._format is not None, "expect() comes first"
        seconds = size / (_WIDTH * self._format.channels * self._format.rate)
        if self._vocabulary.is_resampled(self._format.rate):
            return False
        return all(stream.due_in > seconds for stream in self._streams)

    def feed(self, data: bytes) -> list[SaidWord]:
        """Take bytes of the chunk that was expected, cut anywhere.

        Returns:
            The words that are known to be said now.

        Raises:
            CheckpointError: A network gives no finite scores.
        """
        assert self._format is not None, "expect() comes first"
        data = self._rest + data
        frames, cut = divmod(len(data), _WIDTH * self._format.channels)
        self._rest = data[len(data) - cut :]
        samples = np.frombuffer(data, "<i2", frames * self._format.channels)
        if self._format.channels > 1:
            mixed = samples.reshape(frames, self._format.channels).mean(1, dtype=np.float32)
            samples = mixed * np.float32(2.0**-15)
        said = self._said(lambda stream: stream.feed(samples))
        self._clock += 1000 * frames / self._format.rate
        return said

    def end(self) -> list[SaidWord]:
        """End the stream as if silence followed; the last words."""
        said = self._said(VoiceStream.flush)
        self._streams, self._format = [], None
        return said

    def _said(self, heard: Callable[[VoiceStream], list[Event]]) -> list[SaidWord]:
        events: list[tuple[float, Event]] = []
        for stream in self._streams:
            before = stream.seconds
            # What silence behind the last sample brings is known with that sample.
            events += [(min(e.time, stream.seconds) - before, e) for e in heard(stream)]
        self.found = self.found or bool(events)
        events.sort(key=lambda pair: pair[0])
        return [SaidWord(e.label, e.score, round(self._clock + 1000 * late)) for late, e in events]
