"""The clips and recordings that a model is measured with, out of what a user has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from snn_voice_hub.training.clips.corpus import BACKGROUND, HELD_OUT_NOISE
from snn_voice_hub.training.clips.data import Clips, check_readable, decode, list_entries
from snn_voice_hub.training.clips.items import Item, file_content, source_items
from snn_voice_hub.training.clips.manifest import manifest_of, read_manifest
from snn_voice_hub.training.clips.sources import CORPUS, ROOT_VARIABLE
from snn_voice_hub.training.measuring.robustness import load_recordings

_TEST_LIST = "testing_list.txt"
_CORPUS_FOLDER = Path("SpeechCommands", "speech_commands_v0.02")


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
    manifest = manifest_of(source)
    told = manifest is not None
    if manifest is not None:
        items, skipped = _manifest(manifest)
    else:
        items = source_items(source)
    if (data / _TEST_LIST).is_file():
        listed = set(list_entries((data / _TEST_LIST).read_bytes()))
        # Chosen before decoding: the test clips are a tenth of a data set.
        items = (item for item in items if item.word == BACKGROUND or item.name in listed)
    reading = decode(items, sample_rate=sample_rate, num_samples=num_samples, told=told)
    check_readable(reading, source)
    reading.clips.skipped.extend(skipped)
    recordings = {name: torch.from_numpy(wave) for name, wave in reading.noises.items()}
    own = data / "background_noise.tar"
    if noise is not None or own.is_file():
        recordings, unread = load_recordings(noise or own, sample_rate=sample_rate)
        reading.clips.skipped.extend(unread)
    if noise is None:  # of a corpus's own recordings training hears the others
        recordings = {name: recordings[name] for name in HELD_OUT_NOISE if name in recordings} or recordings
    return reading.clips, recordings


def _corpus(data: Path) -> Path:
    """The folder of Speech Commands where that was named, else what was given."""
    name, _, root = str(data).partition(":")
    if name != CORPUS or (not root and data.exists()):
        return data
    folder = Path(root or os.environ.get(ROOT_VARIABLE) or ".").expanduser()
    return folder / (_CORPUS_FOLDER.name if folder.name == _CORPUS_FOLDER.parent.name else _CORPUS_FOLDER)


def _manifest(source: Path) -> tuple[Iterator[Item], list[tuple[str, str]]]:
    rows, left_out = read_manifest(source)
    divided = any(row.part for row in rows)

    def items() -> Iterator[Item]:
        for row in rows:
            if not divided or row.part == "test":
                content = file_content(row.path)
                known, reason = (None, content) if isinstance(content, str) else (content, "")
                yield Item(row.name, row.label, known, reason, row.part, row.speaker)

    return items(), left_out
