"""Labelled clips from a folder of folders (`word/clip.wav`) or a tar of one, in memory as int16."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from snn_voice_lite.visible import module_logger

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.text import decoded_text
from snn_voice_hub.training.clips.corpus import BACKGROUND, LISTS
from snn_voice_hub.training.clips.items import Item, files_of, items_of
from snn_voice_hub.writing import replacing
from snn_voice_hub.zips import ZIP_ERRORS

logger = module_logger(__name__)

_CACHE_VERSION = 3  # of the cached files' layout, and of what decoding does

Wave = npt.NDArray[np.float32]
Wave16 = npt.NDArray[np.int16]


def as_int16(wave: Wave) -> Wave16:
    """A waveform as it is kept, so that hours fit into memory."""
    return np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)


def as_floats(wave: Wave16) -> Wave:
    """A waveform in [-1, 1), as it is heard."""
    return wave.astype(np.float32) / np.float32(32768)


@dataclass(frozen=True)
class Clips:
    """Labelled clips at one rate.

    Attributes:
        waveforms: `[n, N]` int16, zero-padded or cut at the end.
        labels: One word a clip.
        names: `word/file` of each clip.
        skipped: `(name, reason)` of each file that could not be read.
    """

    waveforms: npt.NDArray[np.int16]
    labels: list[str]
    names: list[str]
    skipped: list[tuple[str, str]]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.labels)

    def batch(self, index: npt.NDArray[np.int64] | slice) -> torch.Tensor:
        """Clips as float32 `[B, N]` in [-1, 1)."""
        return torch.from_numpy(as_floats(self.waveforms[index]))

    def pick(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Clips:
        """Some of them, copied; none is skipped."""
        chosen = np.asarray(index, np.int64)
        labels, names = ([column[i] for i in chosen] for column in (self.labels, self.names))
        return Clips(self.waveforms[chosen], labels, names, [])

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """All clips in their order, at most `size` at a time."""
        return (self.batch(slice(start, start + size)) for start in range(0, len(self), size))


@dataclass(frozen=True)
class ReadClips:
    """All that was found in a source.

    Attributes:
        clips: The clips of words, with what was skipped.
        parts: Part of each clip, "" where nobody said so.
        speakers: Speaker of each clip, "" where nobody said so.
        noises: Background recordings by name.
        lists: Entries of each of `LISTS` that was there.
        lost: Words that at least one unreadable file belongs to.
    """

    clips: Clips
    parts: list[str]
    speakers: list[str]
    noises: dict[str, Wave]
    lists: dict[str, list[str]]
    lost: list[str]


# --- decoding -------------------------------------------------------------------------------------


def decode(
    items: Iterable[Item], *, sample_rate: int = 16_000, num_samples: int = 16_000, told: bool = False
) -> ReadClips:
    """Decode clips as they come.

    Args:
        items: What to decode.
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.
        told: Whether words were told otherwise, so that folders mean nothing.

    Returns:
        What was readable; there may be none. Clips in a folder inside a word's folder are skipped.
    """
    rows = np.zeros((256, num_samples), np.int16)
    found: list[Item] = []
    skipped: list[tuple[str, str]] = []
    noises: dict[str, Wave] = {}
    lists: dict[str, list[str]] = {}
    lost: set[str] = set()
    for item in items:
        path = PurePosixPath(item.name)
        if item.content is not None and path.name in LISTS and not told:
            lists.setdefault(path.name, []).extend(list_entries(item.content))
            continue
        try:
            if item.content is None or not item.word:
                skipped.append((item.name, item.reason or "not in a folder named by its word"))
                if told:
                    lost.add(item.word)
                continue
            wave = audio.load(item.content, target_rate=sample_rate).numpy()
        except AudioError as error:
            skipped.append((item.name, error.message))
            lost.add(item.word)
            continue
        if item.word == BACKGROUND:
            noises[path.stem if path.stem not in noises else item.name] = wave
            continue
        if len(found) == len(rows):
            # In place: a list of arrays that is joined at the end would need twice the memory.
            rows.resize((len(rows) + max(256, len(rows) // 4), num_samples), refcheck=False)
        wave = wave[:num_samples]
        rows[len(found), : len(wave)] = as_int16(wave)
        found.append(item._replace(content=b""))
    misplaced = {} if told else _misplaced([item.name for item in found])
    kept = [i for i, item in enumerate(found) if item.name not in misplaced]
    squeezed(rows, kept)
    rows.resize((len(kept), num_samples), refcheck=False)
    rest = [found[i] for i in kept]
    skipped += [(item.name, misplaced[item.name]) for item in found if item.name in misplaced]
    clips = Clips(rows, [item.word for item in rest], [item.name for item in rest], skipped)
    parts, speakers = [item.part for item in rest], [item.speaker for item in rest]
    return ReadClips(clips, parts, speakers, noises, lists, sorted(lost - {BACKGROUND, ""}))


def squeezed(rows: npt.NDArray[np.int16], kept: list[int]) -> npt.NDArray[np.int16]:
    """The rows of ascending indices, moved to the front of the same memory."""
    for new, old in enumerate(kept):
        if new != old:
            rows[new] = rows[old]
    return rows[: len(kept)]


def list_entries(content: bytes) -> list[str]:
    """The clips that a list such as `testing_list.txt` names, `word/clip.wav`."""
    lines = decoded_text(content, "replace").replace("\\", "/").splitlines()
    return [line.strip().removeprefix("./") for line in lines if line.strip()]


def _misplaced(names: list[str]) -> dict[str, str]:
    """Clips in a folder whose clips and whose folders' clips can't both be words, and why."""
    inside = [PurePosixPath(name).parent for name in names]
    folders = Counter(inside)
    below: Counter[PurePosixPath] = Counter()
    for folder, count in folders.items():
        below.update({above: count for above in folder.parents if above in folders})
    reasons = {}
    for folder in folders:
        words = [above for above in folder.parents if 0 < below[above] <= folders[above]]
        if below[folder] > folders[folder]:
            reasons[folder] = "not in a folder named by its word"
        elif words:
            reasons[folder] = f"in a folder inside the folder of the word {words[-1].name!r}"
    return {name: reasons[folder] for name, folder in zip(names, inside, strict=True) if folder in reasons}


# --- loading --------------------------------------------------------------------------------------


def load_clips(
    source: Path, cache: Path | None = None, *, sample_rate: int = 16_000, num_samples: int = 16_000
) -> Clips:
    """Decode every clip of a folder or tar.

    Args:
        source: A folder of folders, `word/clip.wav`, or a tar of one.
        cache: Folder to keep decoded clips in, so that the next run need not decode them; None for none.
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.

    Returns:
        The clips; what could not be read is in `skipped`.

    Raises:
        SnnVoiceError: The source can't be read, or holds no readable clip in a folder named by its word; or
            the cache's folder can't be made.
    """
    return check_readable(Reader(sample_rate, num_samples, cache).read(source), source).clips


def check_readable(reading: ReadClips, source: Path) -> ReadClips:
    """A reading in which there is at least one clip.

    Raises:
        SnnVoiceError: There is none; the message says how many were skipped, and why the first one was.
    """
    if len(reading.clips):
        return reading
    skipped = reading.clips.skipped
    if not skipped:
        raise SnnVoiceError(
            f"{source} holds no sound files of words", hint="a folder of folders, word/clip.wav"
        )
    name, reason = skipped[0]
    raise SnnVoiceError(
        f"{source} holds no readable clip ({len(skipped)} skipped), for example {name}: {reason}",
        hint="a folder of folders, word/clip.wav",
    )


@dataclass(frozen=True)
class Reader:
    """Decodes clips, or takes what was decoded before where no file of it has changed.

    Attributes:
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.
        cache: Folder for decoded clips, or None.
    """

    sample_rate: int = 16_000
    num_samples: int = 16_000
    cache: Path | None = None

    def read(self, source: Path) -> ReadClips:
        """What is in a folder of folders, `word/clip.wav`, or in a tar of one.

        Raises:
            SnnVoiceError: The source can't be read, or the cache's folder can't be made.
        """
        return self.keep(source, lambda: files_of(source), lambda: items_of(source))

    def recordings(self, source: Path) -> ReadClips:
        """The same where all of it is background, whatever its folders are called.

        Raises:
            SnnVoiceError: The source can't be read, or the cache's folder can't be made.
        """

        def items() -> Iterator[Item]:
            return (item._replace(word=BACKGROUND) for item in items_of(source, lists=()))

        return self.keep(source, lambda: files_of(source), items, "noise", told=True)

    def keep(
        self,
        source: Path,
        files: Callable[[], Iterable[Path]],
        items: Callable[[], Iterable[Item]],
        *key: str,
        told: bool = False,
    ) -> ReadClips:
        """Decode items, or take what was kept of them.

        Args:
            source: Where they are; names the file in the cache.
            files: All that they depend on.
            items: What to decode.
            *key: What else tells them from others of the same source.
            told: See `decode`.

        Raises:
            SnnVoiceError: The cache's folder can't be made.
        """
        if self.cache is None:
            return self._decoded(items(), told)
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SnnVoiceError(
                f"{self.cache} can't be made: {error.strerror}", hint="another folder as cache"
            ) from error
        settings = (_CACHE_VERSION, str(source.resolve()), *key, self.sample_rate, self.num_samples)
        begin = f"{source.stem}-{_digest(settings)[:12]}-"
        path = self.cache / f"{begin}{_digest(map(_state, files()))[:20]}.npz"
        try:
            return _load_reading(path)
        except FileNotFoundError:
            pass
        except (*ZIP_ERRORS, KeyError, TypeError):
            logger.warning("%s is damaged; decoding %s again", path, source)
        reading = self._decoded(items(), told)
        clips = reading.clips
        logger.info("decoded %d clips of %s, %d skipped", len(clips), source, len(clips.skipped))
        try:
            _save_reading(path, reading)
            for older in self.cache.glob("*.npz"):
                if older != path and older.name.startswith(begin):
                    older.unlink(missing_ok=True)
        except OSError as error:  # the clips are there; the next run decodes them again
            logger.warning("decoded clips can't be kept in %s: %s", self.cache, error.strerror)
        return reading

    def _decoded(self, items: Iterable[Item], told: bool) -> ReadClips:
        return decode(items, sample_rate=self.sample_rate, num_samples=self.num_samples, told=told)


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _state(path: Path) -> tuple[object, ...]:
    """What changes when a file does; the time of its status too, as copying may set the other one back."""
    try:
        state = path.stat()
    except OSError as error:
        return str(path), error.errno
    return str(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _save_reading(path: Path, reading: ReadClips) -> None:
    clips = reading.clips
    about = {
        "labels": clips.labels,
        "names": clips.names,
        "skipped": clips.skipped,
        "parts": reading.parts,
        "speakers": reading.speakers,
        "noises": list(reading.noises),
        "lists": reading.lists,
        "lost": reading.lost,
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {
        f"noise_{i}": wave for i, wave in enumerate(reading.noises.values())
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, waveforms=clips.waveforms, **arrays)  # type: ignore[arg-type]


def _load_reading(path: Path) -> ReadClips:
    with np.load(path, allow_pickle=False) as kept:
        about = json.loads(kept["about"].tobytes())
        noises = {name: kept[f"noise_{i}"] for i, name in enumerate(about["noises"])}
        skipped = [(name, reason) for name, reason in about["skipped"]]
        clips = Clips(kept["waveforms"], about["labels"], about["names"], skipped)
    if not len(clips.waveforms) == len(clips.labels) == len(clips.names) == len(about["parts"]):
        raise ValueError("rows are missing")
    return ReadClips(clips, about["parts"], about["speakers"], noises, about["lists"], about["lost"])
