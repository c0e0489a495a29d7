"""The clips and recordings that a model is measured with, out of what a user has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.corpus import BACKGROUND, CORPUS, FOLDER, HELD_OUT_NOISE, LISTS, root_of
from snn_voice_hub.training.clips.data import Clips, ReadClips, Reader, check_readable, decode, list_entries
from snn_voice_hub.training.clips.items import items_of
from snn_voice_hub.training.clips.manifest import manifest_of, read_manifest

_TEST_LIST = LISTS[1]


def load_test(
    data: Path, noise: Path | None, *, sample_rate: int, num_samples: int
) -> tuple[Clips, dict[str, Tensor]]:
    """Clips and background recordings to measure with; nothing that is marked for training.

    Args:
        data: A folder of folders `word/clip.wav`, or a tar of one; of a folder with `testing_list.txt` the
            clips that it lists, of one with `test.tar` those in there. Or a manifest `.csv`: its rows of the
            part `test`, or all where no row has a part. Or `speech_commands`, as training takes it.
        noise: A folder or tar of background recordings; without it, the data's own `_background_noise_` or
            `background_noise.tar`, where there is one. Of Speech Commands' recordings only the two are taken
            that training leaves out (`corpus.HELD_OUT_NOISE`).
        sample_rate: Of the model, in Hz.
        num_samples: Length of its window.

    Raises:
        SnnVoiceError: The data or the recordings can't be read.
    """
    data = _corpus(data)
    source = data / "test.tar" if (data / "test.tar").is_file() else data
    skipped: list[tuple[str, str]] = []
    items = items_of(source)
    manifest = manifest_of(source)
    if manifest is not None:
        rows, skipped = read_manifest(manifest)
        divided = any(row.part for row in rows)
        items = (row.item() for row in rows if not divided or row.part == "test")
    if (data / _TEST_LIST).is_file():
        listed = set(list_entries((data / _TEST_LIST).read_bytes()))
        # Chosen before decoding: the test clips are a tenth of a data set.
        items = (item for item in items if item.word == BACKGROUND or item.name in listed)
    reading = decode(items, sample_rate=sample_rate, num_samples=num_samples, told=manifest is not None)
    check_readable(reading, source)
    reading.clips.skipped.extend(skipped)
    recordings = _waves(reading)
    own = data / "background_noise.tar"
    if noise is not None or own.is_file():
        recordings, unread = load_recordings(noise or own, sample_rate=sample_rate)
        reading.clips.skipped.extend(unread)
    if noise is None:  # of a corpus's own recordings training hears the others
        recordings = {name: recordings[name] for name in HELD_OUT_NOISE if name in recordings} or recordings
    return reading.clips, recordings


def load_recordings(source: Path, *, sample_rate: int) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """Background recordings of a folder or tar, for noise and false alarms.

    Args:
        source: The folder or tar.
        sample_rate: Rate in Hz to resample to.

    Returns:
        Waveforms `[N]` by name, and `(file, reason)` of those that can't be read.

    Raises:
        SnnVoiceError: The source can't be read, or holds no readable recording.
    """
    reading = Reader(sample_rate).recordings(source)
    if not reading.noises:
        raise SnnVoiceError(
            f"{source} holds no readable recording ({len(reading.clips.skipped)} skipped)",
            hint="a folder or tar of sound files in which nobody speaks",
        )
    return _waves(reading), reading.clips.skipped


def _waves(reading: ReadClips) -> dict[str, Tensor]:
    return {name: torch.from_numpy(wave) for name, wave in reading.noises.items()}


def _corpus(data: Path) -> Path:
    """The folder of Speech Commands where that was named, else what was given."""
    name, _, root = str(data).partition(":")
    return data if name != CORPUS or (not root and data.exists()) else root_of(str(data)) / FOLDER
