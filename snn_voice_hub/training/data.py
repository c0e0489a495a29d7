"""Labelled clips from a folder of folders (`word/clip.wav`) or a tar of one, in memory as int16."""

from __future__ import annotations

import hashlib
import io
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError, SnnVoiceError

logger = logging.getLogger(__name__)

# Words of Speech Commands with at least a few hundred training speakers in the data at hand; accuracy is
# averaged over these, and the others are reported apart.
COVERED = (
    *("one", "zero", "two", "five", "three", "four", "left", "right", "cat", "happy"),
    *("bed", "down", "up", "go", "stop", "yes", "no", "eight", "off", "on"),
)


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
        return torch.from_numpy(self.waveforms[index].astype(np.float32) / 32768)


def speaker(name: str) -> str:
    """The speaker of a Speech Commands file name: what stands before `_nohash_`."""
    return PurePosixPath(name).name.split("_nohash_")[0]


def encoded_files(source: Path) -> Iterator[tuple[str, bytes]]:
    """`(word/file, bytes)` of every sound file in a folder of folders or a tar of one.

    Raises:
        SnnVoiceError: The source is neither a folder nor a tar file.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in audio.SUFFIXES:
                yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in audio.SUFFIXES:
                    stream = archive.extractfile(member)
                    yield member.name.removeprefix("./"), stream.read() if stream else b""
    except FileNotFoundError as error:
        raise SnnVoiceError(
            f"{source} does not exist", hint="a folder of folders word/clip.wav, or a tar of one"
        ) from error
    except tarfile.TarError as error:
        raise SnnVoiceError(
            f"{source} is neither a folder nor a tar file",
            hint="a folder of folders word/clip.wav, or a tar of one",
        ) from error


def load_clips(source: Path, *, sample_rate: int = 16_000, num_samples: int = 16_000) -> Clips:
    """Decode every clip of a folder or tar.

    Args:
        source: A folder of folders, `word/clip.wav`, or a tar of one.
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.

    Returns:
        The clips; what could not be read is in `skipped`.

    Raises:
        SnnVoiceError: The source can't be read, or holds no readable clip in a folder named by its word.
    """
    rows, labels, names, skipped = [], [], [], []
    for name, data in encoded_files(source):
        word = PurePosixPath(name).parent.name
        if not word:
            skipped.append((name, "not in a folder named by its word"))
            continue
        try:
            wave = audio.load(data, target_rate=sample_rate)[:num_samples].numpy()
        except AudioError as error:
            skipped.append((name, error.message))
            continue
        row = np.zeros(num_samples, np.int16)
        row[: len(wave)] = np.clip(np.round(wave * 32768), -32768, 32767)
        rows.append(row)
        labels.append(word)
        names.append(name)
    if not rows:
        raise SnnVoiceError(
            f"{source} holds no readable clip ({len(skipped)} skipped)",
            hint="a folder of folders, word/clip.wav",
        )
    return Clips(np.stack(rows), labels, names, skipped)


def load_clips_cached(source: Path, cache: Path | None) -> Clips:
    """`load_clips`, kept as one `.npz` file in `cache` for the next run."""
    if cache is None:
        return load_clips(source)
    state = source.stat()
    key = hashlib.sha256(f"{source.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:16]
    path = cache / f"{source.stem}-{key}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Clips(kept["waveforms"], kept["labels"].tolist(), kept["names"].tolist(), [])
    clips = load_clips(source)
    logger.info("decoded %d clips of %s, %d skipped", len(clips), source, len(clips.skipped))
    cache.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, waveforms=clips.waveforms, labels=np.array(clips.labels), names=np.array(clips.names))
    path.write_bytes(buffer.getvalue())
    return clips


def load_noise(source: Path, *, sample_rate: int = 16_000) -> dict[str, torch.Tensor]:
    """Long background recordings of a folder or tar, `{name: waveform [N]}`."""
    return {
        PurePosixPath(name).stem: audio.load(data, target_rate=sample_rate)
        for name, data in encoded_files(source)
    }
