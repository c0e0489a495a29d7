"""What a user gives of each word -> windows of sound with the word in the middle."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from snn_voice_lite.samples import are_several
from snn_voice_lite.streaming.ring import GATE, level_of

from snn_voice_hub.config import UNKNOWN, is_word
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.inference.ends import Clip, Ends
from snn_voice_hub.spoken import SAME_REVERSED, at_edge, extent, part, side_by_side

Wave = npt.NDArray[np.float32]

# Of each kind of what is made of words and is none: more of them change nothing.
_MADE: Final = 20
_EXAMPLE: Final = 'enroll({"lumos": ["anna_1.wav", "ben_1.wav"], "nox": [...]})'
# What could be iterated, but is one clip.
_ONE: Final = (str, bytes, bytearray, memoryview, os.PathLike, Mapping, np.ndarray)


@dataclass(frozen=True, eq=False)
class ShownClip:
    """A clip of a word.

    Attributes:
        middle: A window `[N]` with the word in the middle.
        room: How many samples earlier, and later, the word may come in it.
    """

    middle: Wave
    room: tuple[int, int]

    @classmethod
    def of(cls, wave: Wave, length: int) -> ShownClip:
        """The window of a clip that holds its word; silence fills it up.

        Args:
            wave: The clip, `[M]`.
            length: Of a window, N.
        """
        if len(wave) <= length:
            wave = np.pad(wave, (0, length - len(wave)))
        begin, end = extent(wave)
        if end - begin > length:
            # Longer than the model hears at once: where it is loudest.
            power = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
            begin = int((power[length:] - power[:-length]).argmax())
            end = begin + length
        room = length - (end - begin)
        first = begin - room // 2
        padded = np.pad(wave, length)
        return cls(padded[length + first : 2 * length + first].copy(), (room // 2, room - room // 2))

    def windows(self) -> list[Wave]:
        """With the word in the middle, where the window begins, and where it ends: as a stream brings it."""
        earlier, later = self.room
        return [self.middle, _shifted(self.middle, -earlier), _shifted(self.middle, later)]


def checked_words(given: Any) -> dict[str, Any]:
    """The clips by word, as they were given; `_unknown_` may be among them.

    Raises:
        ConfigError: It is no dict, holds no word, or one that is none or comes twice.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"words and their clips can't be {type(given).__name__}", hint=_EXAMPLE)
    found: dict[str, Any] = {}
    for word, clips in given.items():
        if not isinstance(word, str) or not word.strip():
            raise ConfigError(f"{word!r} is no word", hint=_EXAMPLE)
        name = unicodedata.normalize("NFC", word.strip())
        if not is_word(name) and name != UNKNOWN:
            hint = f"labels that begin and end with _ are no words; {UNKNOWN} takes clips of other speech"
            raise ConfigError(f"{name!r} is no word", hint=hint)
        if name in found:
            raise ConfigError(f"{name!r} is listed twice", hint="all clips of a word together")
        found[name] = clips
    if not any(map(is_word, found)):
        raise ConfigError("there is no word to learn", hint=_EXAMPLE)
    return found


def read_shown(ends: Ends, word: str, clips: Any) -> list[ShownClip]:
    """The clips of a word.

    Args:
        ends: Of the model; says the rate of arrays, and how long a clip may be.
        word: The word, for messages.
        clips: One clip, or any iterable of clips, as `classify` takes them.

    Raises:
        AudioError: A clip can't be used, or holds no sound; the message says which.
        ConfigError: There is none.
    """
    found = []
    for number, clip in enumerate(_each(clips, word), 1):
        which = f"clip {number} of {word!r}"
        try:
            wave = ends.load(clip).numpy()
        except AudioError as error:
            raise AudioError(f"{which}: {error.message}", hint=error.hint, code=error.code) from error
        if level_of(wave) <= GATE:
            # Of a path that can't be read, the message names it.
            which += f", {os.fspath(clip)}" if isinstance(clip, str | os.PathLike) else ""
            raise AudioError(f"{which}: there is no sound in it", hint="record it again, or leave it out")
        found.append(ShownClip.of(wave, ends.config.features.num_samples))
    if not found:
        raise ConfigError(f"there is no clip of {word!r}", hint=_EXAMPLE)
    return found


def no_words(shown: Mapping[str, Sequence[ShownClip]]) -> list[Wave]:
    """Windows made of words that hold none: pieces of one, ends and beginnings joined, words turned round.

    Args:
        shown: Of each word.

    Returns:
        Windows `[N]`, `_MADE` of each kind; the same ones for the same words.
    """
    waves = [clip.middle for given in shown.values() for clip in given]
    turned = [clip.middle for word, given in shown.items() if word not in SAME_REVERSED for clip in given]
    rng = np.random.default_rng(0)

    def drawn(among: list[Wave], *, end: bool) -> Wave:
        return part(among[int(rng.integers(len(among)))], rng, end=end)

    length = len(waves[0])
    found = [
        at_edge(drawn(waves, end=end), length, end=end) for end in (True, False) for _ in range(_MADE // 2)
    ]
    for _ in range(_MADE):
        found.append(side_by_side(drawn(waves, end=True), drawn(waves, end=False), length, rng))
    order = rng.permutation(len(turned))[:_MADE] if turned else ()
    return found + [turned[i][::-1].copy() for i in order]


def _each(clips: Any, word: str) -> Iterator[Clip]:
    if isinstance(clips, _ONE) or (isinstance(clips, tuple) and not are_several(clips)):
        return iter([clips])
    # A tensor is iterable, and its rows are no clips.
    if not isinstance(clips, Iterable) or hasattr(clips, "read") or callable(getattr(clips, "detach", None)):
        if clips is None or isinstance(clips, bool | int | float):
            raise ConfigError(f"the clips of {word!r} can't be {type(clips).__name__}", hint=_EXAMPLE)
        return iter([clips])
    return iter(clips)


def _shifted(wave: Wave, by: int) -> Wave:
    """A window `[N]` in which everything comes `by` samples later, or earlier if it is below 0."""
    out = np.zeros_like(wave)
    out[max(0, by) : len(wave) + min(0, by)] = wave[max(0, -by) : len(wave) - max(0, by)]
    return out
