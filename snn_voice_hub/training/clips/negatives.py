"""Sound in which none of a model's words is said: other speech, noise, music; and rooms to put sound into.

A folder, or a tar of one, with an `index.json` that says what is known of each file, or without: then folders
called `noise`, `music`, `rir` and `words` hold that, and everything else is speech without the words.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from snn_voice_lite.visible import visible

from snn_voice_hub import audio
from snn_voice_hub.config import is_word
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.training.clips.data import Wave16, as_int16
from snn_voice_hub.training.clips.items import items_of
from snn_voice_hub.training.clips.splits import position

INDEX = "index.json"
# Connected speech; speech chosen because it holds rare words, at known times; single words; no speech at all.
SPOKEN = ("speech", "thin", "words")
KINDS = (*SPOKEN, "noise", "music", "rir")

# Seconds by which the time of a word is widened: who aligned it erred by up to 0.2 s.
_WIDENED = 0.3
# A piece between two words that is shorter is no window worth hearing.
_SHORTEST = 0.4
# Reverberation of churches says little about rooms in which somebody talks to a machine.
_LONGEST_RT60 = 1.5
# Of the words of a text: letters and apostrophes of any script.
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
# So many sources of one licence whose names begin alike are told as one.
_TOLD = 3


@dataclass(frozen=True)
class NegativeSound:
    """A file of negatives, and what is known of it.

    Attributes:
        name: Its path inside the source.
        kind: One of `KINDS`.
        wave: `[N]` int16, so that hours fit into memory.
        speaker: Whose voice it is; "" where nobody said so.
        source: Where it comes from.
        licence: Of the recording; "" where nobody said so.
        times: `(word, start, end)` in seconds of words of interest that are said in it.
        untimed: Words that may be said, at an unknown time.
        text: What is said, where that is known.
        segments: `(start, end)` in seconds of each of several single words.
        rt60: Reverberation time in seconds of a room; 0 where unknown.
    """

    name: str
    kind: str
    wave: Wave16
    speaker: str = ""
    source: str = ""
    licence: str = ""
    times: tuple[tuple[str, float, float], ...] = ()
    untimed: tuple[str, ...] = ()
    text: str = ""
    segments: tuple[tuple[float, float], ...] = ()
    rt60: float = 0.0

    @property
    def unit(self) -> str:
        """What must not be torn apart by a split: a speaker, or a file of unknown ones."""
        return self.speaker or f"/{self.name}"


@dataclass(frozen=True)
class Span:
    """A piece of a sound in which no word of the model is said.

    Attributes:
        sound: Its index.
        start: First sample.
        end: Sample after the last.
        single: Whether it is a single word, which a window should hold as a whole.
    """

    sound: int
    start: int
    end: int
    single: bool = False


@dataclass(frozen=True)
class Negatives:
    """Sound in which none of a model's words is said, and rooms.

    Attributes:
        sounds: One a file.
        sample_rate: Of all of them, in Hz.
        skipped: `(name, reason)` of each file that could not be used.
    """

    sounds: tuple[NegativeSound, ...]
    sample_rate: int
    skipped: tuple[tuple[str, str], ...] = ()

    def of_kind(self, *kinds: str) -> list[NegativeSound]:
        """The sounds of some kinds."""
        return [sound for sound in self.sounds if sound.kind in kinds]

    def rooms(self) -> list[npt.NDArray[np.float32]]:
        """Room impulse responses `[N]` of rooms in which people talk, scaled to a loudest sample of 1."""
        found = []
        for sound in self.of_kind("rir"):
            peak = int(np.abs(sound.wave.astype(np.int32)).max(initial=0))
            if peak and sound.rt60 <= _LONGEST_RT60:
                found.append(sound.wave.astype(np.float32) / np.float32(peak))
        return found

    def spans(self, labels: Collection[str], kinds: Collection[str] = SPOKEN) -> list[Span]:
        """Where in the speech none of some words is said.

        Words at known times are left out with 0.3 s on both sides. Of a sound whose text holds a word at an
        unknown time, nothing is taken.

        Args:
            labels: The words, and whatever else a model has for labels.
            kinds: Of the sounds.
        """
        words = {label.casefold() for label in labels if is_word(label)}
        found = []
        for i, sound in enumerate(self.sounds):
            if sound.kind not in kinds or _maybe_said(sound, words):
                continue
            pieces = _outside(
                [(start, end) for word, start, end in sound.times if word.casefold() in words],
                len(sound.wave) / self.sample_rate,
            )
            if sound.kind == "words":
                single = sound.segments or ((0.0, len(sound.wave) / self.sample_rate),)
                pieces = [s for s in single if any(a <= s[0] and s[1] <= b + 0.01 for a, b in pieces)]
            for start, end in pieces:
                first, last = round(start * self.sample_rate), round(end * self.sample_rate)
                found.append(Span(i, first, min(last, len(sound.wave)), sound.kind == "words"))
        return found

    def divided(self, share: float) -> tuple[Negatives, Negatives]:
        """What to learn from, and what to keep for validation: whole speakers, and whole files of noise.

        Which side one is on depends on its name alone, by the rule of Speech Commands. Where that would keep
        no speech at all, or no noise, one speaker or file is kept, if there are several.

        Args:
            share: About how much is kept.
        """
        kept = {
            unit for kinds in (SPOKEN, ("noise", "music")) for unit in _share_of(self.of_kind(*kinds), share)
        }
        keep = [sound.kind != "rir" and sound.unit in kept for sound in self.sounds]
        one, other = (
            tuple(sound for sound, own in zip(self.sounds, keep, strict=True) if own == part)
            for part in (False, True)
        )
        return Negatives(one, self.sample_rate, self.skipped), Negatives(other, self.sample_rate)

    def digest(self) -> str:
        """Of all that a run hears of it; the same wherever it is."""
        digest = hashlib.sha256(f"{self.sample_rate}".encode())
        for s in self.sounds:
            about = (s.name, s.kind, s.speaker, s.times, s.untimed, s.text, s.segments, s.rt60, s.wave.shape)
            digest.update(repr(about).encode("utf-8", "backslashreplace"))
            digest.update(np.ascontiguousarray(s.wave).data)
        return digest.hexdigest()

    def facts(self) -> list[dict[str, str]]:
        """Minutes by source and licence, for the checkpoint's configuration; the rooms by licence."""
        minutes: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        count: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        sources: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for sound in self.sounds:
            key = (sound.kind if sound.kind == "rir" else "", sound.source, sound.licence)
            minutes[key] += len(sound.wave) / self.sample_rate / 60
            count[key] += 1
        facts = []
        for (room, source, licence), spent in minutes.items():
            if room:
                sources[room, licence] += [source] * count[room, source, licence]
            else:
                name = f"{source or 'negatives'} ({spent:.0f} minutes without the words)"
                facts.append({"name": name} | ({"license": licence} if licence else {}))
        for (_, licence), names in sources.items():
            name = f"{len(names)} room impulse responses: {'; '.join(_shortened(names))}"
            facts.append({"name": name} | ({"license": licence} if licence else {}))
        return facts


def _share_of(sounds: Iterable[NegativeSound], share: float) -> set[str]:
    """The units that are kept to validate with."""
    units = {sound.unit for sound in sounds}
    found = {unit for unit in units if position(unit) < share}
    return found or ({min(units, key=position)} if len(units) > 1 else set())


def _shortened(names: Sequence[str]) -> list[str]:
    """Each name once; of many that begin alike, how they begin."""
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        alike[name.split(",")[0]].add(name)
    return [
        text for first, same in alike.items() for text in ([first] if len(same) > _TOLD else sorted(same))
    ]


def _maybe_said(sound: NegativeSound, words: Set[str]) -> bool:
    """Whether one of some words may be said in a sound at a time that nobody knows."""
    if any(word.casefold() in words for word in sound.untimed):
        return True
    timed = {word.casefold() for word, _, _ in sound.times}
    said = _WORD.findall(sound.text.casefold())
    if any(word in words and word not in timed for word in said):
        return True
    text = f" {' '.join(said)} "
    return any(f" {phrase} " in text for phrase in words - timed if " " in phrase)


def _outside(times: Iterable[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    """The pieces of a sound between some times, widened; those that are too short are left out."""
    pieces = []
    begin = 0.0
    for start, end in sorted(times):
        pieces.append((begin, start - _WIDENED))
        begin = max(begin, end + _WIDENED)
    pieces.append((begin, seconds))
    return [(start, end) for start, end in pieces if end - start >= min(_SHORTEST, seconds)]


# --- reading --------------------------------------------------------------------------------------


def read_negatives(sources: Iterable[Path], *, sample_rate: int = 16_000) -> Negatives:
    """Decode folders or tars of negatives.

    Args:
        sources: Each with an `index.json`, at its top or in a folder inside it, or without.
        sample_rate: Rate in Hz to resample to.

    Returns:
        What is in all of them.

    Raises:
        SnnVoiceError: A source or its index can't be read, or holds no readable sound.
    """
    sounds: list[NegativeSound] = []
    skipped: list[tuple[str, str]] = []
    sources = list(sources)
    check_there(sources)
    for source in sources:
        found, left_out = _read(source, sample_rate)
        sounds += found
        skipped += left_out
    return Negatives(tuple(sounds), sample_rate, tuple(skipped))


def check_there(sources: Iterable[Path]) -> None:
    """See that sources are there, before minutes of decoding.

    Raises:
        SnnVoiceError: One is not.
    """
    for source in sources:
        if not source.exists():
            hint = "a folder or tar of speech without the words, noise and music"
            raise SnnVoiceError(f"{source} does not exist", hint=hint)


def _read(source: Path, sample_rate: int) -> tuple[list[NegativeSound], list[tuple[str, str]]]:
    waves: dict[str, Wave16] = {}
    skipped: list[tuple[str, str]] = []
    index: dict[str, Mapping[str, Any]] | None = None
    for item in items_of(source, (INDEX,)):
        path = PurePosixPath(item.name)
        if item.content is None:
            skipped.append((f"{source.name}/{item.name}", item.reason))
        elif path.name == INDEX:
            index = (index or {}) | _index(item.content, path.parent, f"{source}/{item.name}")
        else:
            try:
                wave = audio.load(item.content, target_rate=sample_rate, max_seconds=math.inf).numpy()
            except AudioError as error:
                skipped.append((f"{source.name}/{item.name}", error.message))
                continue
            waves[str(path)] = as_int16(wave)
    if index is None:
        title = source.resolve().name
        sounds = [
            NegativeSound(name, _kind_of(name), wave, source=title) for name, wave in sorted(waves.items())
        ]
    else:
        sounds = [_sound(name, about, waves[name]) for name, about in index.items() if name in waves]
        skipped += [(f"{source.name}/{n}", "not there") for n in index if n not in waves]
    if not sounds:
        reason = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise SnnVoiceError(f"{source} holds no readable sound{reason}", hint="WAV, FLAC, MP3 or Ogg files")
    return sounds, skipped


def _kind_of(name: str) -> str:
    """The kind that a folder on the way to a file is called by."""
    return next((part for part in PurePosixPath(name).parts[:-1] if part in KINDS), "speech")


def _index(content: bytes, folder: PurePosixPath, label: str) -> dict[str, Mapping[str, Any]]:
    """The items of an index by their path inside the source."""
    hint = 'an object with "items", each with "path" and "kind"'
    try:
        items = json.loads(content)["items"]
        found = {str(folder / item["path"]): item for item in items}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SnnVoiceError(f"{label} is no index of negatives", hint=hint) from error
    for name, item in found.items():
        if item.get("kind") not in KINDS:
            kind = visible(repr(item.get("kind")), 40)
            raise SnnVoiceError(
                f"{label}: {visible(name)} is of the kind {kind}", hint=f"one of {', '.join(KINDS)}"
            )
    return found


def _sound(name: str, about: Mapping[str, Any], wave: Wave16) -> NegativeSound:
    """A file as the index describes it.

    Raises:
        SnnVoiceError: A time is no number, or something else is not as it should be.
    """
    try:
        return NegativeSound(
            name=name,
            kind=about["kind"],
            wave=wave,
            speaker=str(about.get("speaker") or ""),
            source=str(about.get("source") or ""),
            licence=str(about.get("licence") or about.get("license") or ""),
            times=tuple((str(w), float(a), float(b)) for w, a, b in about.get("word_times") or ()),
            untimed=tuple(map(str, _untimed(about))),
            text=str(about.get("transcript") or ""),
            segments=tuple((float(a), float(b)) for _, a, b in about.get("segments") or ()),
            rt60=float(about.get("rt60_s") or 0.0),
        )
    except (TypeError, ValueError) as error:
        raise SnnVoiceError(
            f"{INDEX} does not describe {visible(name)} rightly: {error}",
            hint="word_times and segments are lists of [word, start, end] in seconds",
        ) from error


def _untimed(about: Mapping[str, Any]) -> Iterator[str]:
    """Words that the index names without a time."""
    timed = {word for word, _, _ in about.get("word_times") or ()}
    yield from about.get("untimed_words") or ()
    yield from (word for word in about.get("words") or () if word not in timed)
