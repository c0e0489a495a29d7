"""Words that follow each other over noise: the sound in which a model's misses are counted.

A word counts as heard where its event comes between its beginning and a second after its end, as in the
streaming benchmark of MLPerf Tiny.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from snn_voice_lite.streaming.detector import Event

from snn_voice_hub.spoken import extent
from snn_voice_hub.training.clips.data import Clips, as_floats

Floats = npt.NDArray[np.float32]

# Seconds after its end in which a word may still be heard.
_LATE = 1.0
# Level of a spoken word: full scale is 0 dB.
LEVEL_DB = -25.0
_GAPS = (1.0, 3.0)
# With thirty words, a share of misses moves between 18 and 38 % by their order and the noise alone. So fewer
# words than these are said again, and at most so many times: no saying makes new people.
_ENOUGH_SAID: Final = 200
_MOST_TIMES: Final = 8


@dataclass(frozen=True)
class Said:
    """A word in a stream.

    Attributes:
        label: The word.
        start: Where it begins, in seconds.
        end: Where it ends.
    """

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Stream:
    """Sound in which words are said at known times.

    Attributes:
        waveform: `[N]`.
        said: The words, in order.
    """

    waveform: Floats
    said: list[Said]


def rms(wave: Floats) -> float:
    """Loudness of a sound `[N]`; 0 of one without samples."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def word_stream(
    clips: Clips,
    noises: Sequence[Floats],
    snr_db: float,
    *,
    sample_rate: int,
    seed: int | Sequence[int] = 0,
) -> Stream:
    """Clips one after the other, 1 to 3 s apart, over noise that goes on.

    Args:
        clips: Of words.
        noises: Recordings `[N]` in which nobody speaks, each taken as a whole, one after the other.
        snr_db: Loudness of each word over that of the noise, in dB.
        sample_rate: Of all, in Hz.
        seed: Of the order, the gaps, and whose turn the noises are.
    """
    rng = np.random.default_rng(seed)
    pieces: list[Floats] = []
    said = []
    length = 0
    for i in rng.permutation(len(clips)).tolist():
        gap = np.zeros(round(rng.uniform(*_GAPS) * sample_rate), dtype=np.float32)
        wave = as_floats(clips.waveforms[i])
        first, last = extent(wave)
        level = rms(wave[first:last])
        if level < 1e-4:
            continue  # nobody can hear it
        length += len(gap)
        said.append(Said(clips.labels[i], (length + first) / sample_rate, (length + last) / sample_rate))
        pieces += [gap, wave * np.float32(10 ** (LEVEL_DB / 20) / level)]
        length += len(wave)
    pieces.append(np.zeros(round(_GAPS[1] * sample_rate), dtype=np.float32))
    stream = np.concatenate(pieces)
    if noises:
        level = 10 ** ((LEVEL_DB - snr_db) / 20)
        usable = [wave * np.float32(level / rms(wave)) for wave in noises if rms(wave) > 1e-4]
        turn = [usable[i] for i in rng.permutation(len(usable)).tolist()]
        while turn and sum(map(len, turn)) < len(stream):
            turn += turn
        if turn:
            stream = stream + np.concatenate(turn)[: len(stream)]
    return Stream(stream.clip(-1, 1), said)


def times_said(count: int) -> int:
    """How many times so many clips are said, so that a share of misses says something of them."""
    return min(_MOST_TIMES, max(1, -(-_ENOUGH_SAID // count))) if count else 0


def sayings(
    clips: Clips, noises: Sequence[Floats], snr_db: float, *, sample_rate: int, seed: int = 0
) -> list[Stream]:
    """Clips said once where they are many, and else several times.

    Each time is in another order, with other gaps, over another piece of the noise.

    Args:
        clips: Of words.
        noises: Recordings `[N]` in which nobody speaks; each time they begin elsewhere.
        snr_db: Loudness of each word over that of the noise, in dB.
        sample_rate: Of all, in Hz.
        seed: Of all that is drawn; the first stream is that of `word_stream`.

    Returns:
        `times_said` of the clips streams.
    """
    times = times_said(len(clips))
    return [
        word_stream(
            clips,
            [np.roll(noise, -(turn * len(noise) // times)) for noise in noises],
            snr_db,
            sample_rate=sample_rate,
            seed=(seed, turn) if turn else seed,
        )
        for turn in range(times)
    ]


def missed(said: Sequence[Said], events: Iterable[Event]) -> tuple[list[Said], list[Event]]:
    """Which words were not heard, and which events belong to no word; an event counts for one word."""
    left = list(said)
    alarms = []
    for event in events:
        fitting = [w for w in left if w.label == event.label and w.start <= event.time <= w.end + _LATE]
        if fitting:
            left.remove(fitting[0])
        else:
            alarms.append(event)
    return left, alarms
