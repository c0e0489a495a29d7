"""Recordings that somebody brings: folders or zips of clips, by the word that is said in them."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from snn_voice_lite.visible import visible

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.folders import is_litter, is_sound, no_sound, walk
from snn_voice_hub.notation import some
from snn_voice_hub.spoken import extent
from snn_voice_hub.training.clips.data import Clips, Wave16, as_int16
from snn_voice_hub.zips import ZIP_ERRORS, what_is_wrong

# Of a recording, seconds; whoever says one word needs no more.
_LONGEST: Final = 30.0
# Seconds around a word that are kept.
_AROUND: Final = 0.1
# So much longer than a window a word may be: it loses its quieter end.
_SLACK: Final = 0.15
_SILENT: Final = 10 ** (-60 / 20)
# Of a zip: more than a few thousand clips have.
_MOST_FILES: Final = 10_000
_MOST_BYTES: Final = 2 << 30
_NAMED: Final = 5
_LAYOUT: Final = "a folder, or a zip of one, with a folder for each word: 'hey robot/anna_1.wav'"


def read_recordings(
    sources: Iterable[Path], words: Sequence[str], *, sample_rate: int, num_samples: int
) -> Clips:
    """Decode recordings, and cut each around its word.

    Args:
        sources: Folders, or zips of one: of a folder for each word, or of the clips of the only word.
        words: What is said in them. Folders are called by them, in any case, and perhaps with `_` or `-` for
            a space.
        sample_rate: Of the clips, in Hz.
        num_samples: Length of a clip.

    Returns:
        The clips; `skipped` says which files could not be used, and why.

    Raises:
        SnnVoiceError: A source is not there, is neither, holds no sound, or has a folder of another word.
    """
    rows: list[Wave16] = []
    labels: list[str] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for source in sources:
        for path, given in _files(source):
            word = _word_of(path, words, source)
            try:
                rows.append(_around_its_word(given, sample_rate, num_samples))
            except AudioError as error:
                skipped.append((f"{source.name}/{path}", error.message))
                continue
            labels.append(word)
            # The file's own name stays: training tells speakers by it.
            names.append(f"{word}/{path.name}")
    waveforms = np.stack(rows) if rows else np.zeros((0, num_samples), np.int16)
    return Clips(waveforms, labels, names, skipped)


def _files(source: Path) -> Iterator[tuple[PurePosixPath, str | bytes]]:
    """The sound files of a source by their paths in it: where they lie, or what they hold, one at a time."""
    empty = True
    if source.is_dir():
        for file in walk(source):
            path = PurePosixPath(Path(file.path).relative_to(source).as_posix())
            if not file.problem:
                empty = False
                yield path, file.path
            elif not file.lossless:
                raise SnnVoiceError(f"{file.path}: {file.problem}")
        if empty:
            raise no_sound(source)
        return
    if not source.is_file():
        what = "is no file and no folder" if source.exists() else "does not exist"
        raise SnnVoiceError(f"{source} {what}", hint=_LAYOUT)
    zipped = _zipped(source)
    while True:
        # What is done with a clip may raise the same errors, so only the reading stands in here.
        try:
            path, content = next(zipped)
        except StopIteration:
            break
        except ZIP_ERRORS as error:
            raise SnnVoiceError(f"{source} is no zip that can be read: {error}", hint=_LAYOUT) from error
        empty = False
        yield path, content
    if empty:
        raise SnnVoiceError(f"{source} holds no sound files", hint=_LAYOUT)


def _zipped(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Nothing is unpacked onto the disk, so names can lead nowhere."""
    with zipfile.ZipFile(source) as archive:
        for info in _inside(archive, source):
            with archive.open(info) as file:
                # One that is too long is read as far as its decoder needs to say so.
                yield (
                    PurePosixPath(info.filename),
                    file.read(min(info.file_size, audio.MAX_ENCODED_BYTES + 1)),
                )


def _inside(archive: zipfile.ZipFile, source: Path) -> list[zipfile.ZipInfo]:
    """The sound files of a zip, which are not too much."""
    inside = [
        info
        for info in archive.infolist()
        if is_sound(PurePosixPath(info.filename).name)
        and not any(is_litter(part) for part in _parts(PurePosixPath(info.filename)))
    ]
    if len(inside) > _MOST_FILES:
        raise SnnVoiceError(f"{source} holds {len(inside):,} sound files", hint=f"at most {_MOST_FILES:,}")
    if wrong := what_is_wrong(inside, source.stat().st_size, _MOST_BYTES):
        raise SnnVoiceError(f"{source} is refused: {wrong}", hint=_LAYOUT)
    return inside


def _word_of(path: PurePosixPath, words: Sequence[str], source: Path) -> str:
    """Which word a file says: one of the folders above it is called by it.

    Raises:
        SnnVoiceError: None is.
    """
    known = {_key(word): word for word in words}
    folders = _parts(path)[:-1]
    for folder in reversed(folders):
        if word := known.get(_key(folder)):
            return word
    # The folder, or the zip, may itself be called by the word.
    if not folders or (len(words) == 1 and _key(folders[-1]) == _key(source.stem)):
        if len(words) == 1:
            return words[0]
        raise SnnVoiceError(f"{source}: nothing says which word {visible(path.name)} is", hint=_LAYOUT)
    raise SnnVoiceError(
        f"{source} has a folder {visible(folders[-1])!r}, and that is none of the words",
        hint=f"{some(list(words), _NAMED)}; other folders elsewhere",
    )


def _parts(path: PurePosixPath) -> list[str]:
    """The names on a way, without its turns."""
    return [part for part in path.parts if part not in (".", "..", "/")]


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).casefold()
    return " ".join(re.sub(r"[_\-\s]+", " ", plain).split())


def _around_its_word(given: str | bytes, sample_rate: int, num_samples: int) -> Wave16:
    """A clip `[N]` that begins shortly before its word.

    Raises:
        AudioError: It can't be read, is silent, or holds more than a word.
    """
    wave = audio.load(given, target_rate=sample_rate, max_seconds=_LONGEST).numpy()
    if not len(wave) or np.abs(wave).max() < _SILENT:
        raise AudioError("it is silent")
    first, last = extent(wave)
    over = (last - first) - num_samples
    if over > _SLACK * num_samples:
        raise AudioError(
            f"{(last - first) / sample_rate:.1f} s are said in it, more than the "
            f"{num_samples / sample_rate:g} s that the model hears"
        )
    if over > 0:
        loudness = np.square(wave, dtype=np.float64)
        first, last = (
            (first + over, last)
            if loudness[first : first + over].sum() < loudness[last - over : last].sum()
            else (first, last - over)
        )
    around = round(_AROUND * sample_rate)
    begin = max(0, first - min(around, (num_samples - (last - first)) // 2))
    piece = wave[begin : min(begin + num_samples, last + around)]
    row = np.zeros(num_samples, np.int16)
    row[: len(piece)] = as_int16(piece)
    return row
