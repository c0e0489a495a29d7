"""Clips to learn from, to validate and to test with, from any of the forms that `--data` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.audio import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from snn_voice_hub.config import check_int, check_number, is_word
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.folders import is_litter
from snn_voice_hub.training.clips.corpus import CORPUS, FOLDER, LISTS, corpus_rows, facts_of, root_of
from snn_voice_hub.training.clips.data import Clips, ReadClips, Reader, check_readable, squeezed
from snn_voice_hub.training.clips.items import item_of
from snn_voice_hub.training.clips.manifest import manifest_of, read_manifest
from snn_voice_hub.training.clips.splits import PARTS, by_lists, by_speaker, by_word, speakers_of
from snn_voice_hub.training.clips.synthetic import facts_of_folder

# Of clips and of negatives, where nobody says what to validate with.
VAL_SHARE = 0.1


@dataclass(frozen=True)
class Dataset:
    """What a run learns from, and what it is judged by.

    Attributes:
        train: Clips to learn from.
        val: Clips to choose the best epoch by.
        test: Clips that nothing is chosen by; None where there are none.
        noises: Background recordings, each `[N]`; may be empty.
        skipped: `(name, reason)` of each file of any part that could not be used.
        rule: How the clips were split, in a sentence.
        facts: Where they came from, for the checkpoint's configuration.
    """

    train: Clips
    val: Clips
    test: Clips | None
    noises: dict[str, Tensor]
    skipped: list[tuple[str, str]]
    rule: str
    facts: list[dict[str, str]]


def load_dataset(
    data: str | Path,
    *,
    val: Path | None = None,
    val_share: float = VAL_SHARE,
    sample_rate: int = 16_000,
    num_samples: int = 16_000,
    seed: int = 0,
    cache: Path | None = None,
    download: bool = False,
    alone: bool = False,
) -> Dataset:
    """Load and split labelled clips, and check that something can be learned from them.

    Args:
        data: `"speech_commands"` (torchaudio's corpus, under `$SNN_VOICE_DATA` or the current folder) or
            `"speech_commands:ROOT"`; a folder of folders, `word/clip.wav`, or a tar of one; a folder with
            a `train` and a `val` (perhaps a `test` and a `background_noise`), each a tar or a folder of
            folders; or a manifest (`.csv`, `.tsv`, `.jsonl`, `.json`).
        val: Folder of folders or tar to validate with, where `data` says nothing about that.
        val_share: Share of the clips to validate with, where nobody says which.
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.
        seed: Of the split.
        cache: Folder for decoded clips, so that the next run need not decode them; None for none.
        download: Whether to fetch Speech Commands where it is not there.
        alone: Whether one word is enough, as it is where other speech is a class too.

    Returns:
        The clips by part.

    Raises:
        SnnVoiceError: The clips can't be found or read, or are not fit to learn from; the message says
            why.
    """
    check_number("val_share", val_share, above=0.0)
    if val_share >= 1:
        raise ConfigError(f"val_share={val_share!r} is not legal", hint="between 0 and 1")
    check_int("num_samples", num_samples, low=1)
    if not MIN_SAMPLE_RATE <= check_int("sample_rate", sample_rate, low=1) <= MAX_SAMPLE_RATE:
        raise ConfigError(
            f"sample_rate={sample_rate} is not legal", hint=f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        )
    reader = Reader(sample_rate, num_samples, cache)
    if isinstance(data, str) and (data == CORPUS or data.startswith(f"{CORPUS}:")):
        name, (parts, noises, skipped, rule) = data, _corpus(data, download, reader)
    else:
        source = Path(data)
        if not source.exists():
            forms = "a folder of folders word/clip.wav, a tar of one, a manifest such as clips.csv"
            raise SnnVoiceError(f"{source} does not exist", hint=f"{forms}, or {CORPUS}")
        name = source.resolve().name
        parts, noises, skipped, rule = _local(source, reader)
    if val is not None:
        if "val" in parts:
            raise SnnVoiceError(f"{data} has validation clips of its own", hint="leave out one of the two")
        reading = check_readable(reader.read(val), val)
        parts["val"] = reading.clips
        skipped += _prefixed(val.name, reading.clips.skipped)
        rule = f"{rule}; " * bool(rule) + f"validated with {val.resolve().name}"
    elif "val" not in parts:
        parts["train"], parts["val"], how = _divided(parts["train"], val_share, seed)
        rule = f"{rule}; the rest {how}" if rule else how
    _check(parts, str(data), alone)
    parts = {part: _plain(clips) for part, clips in parts.items()}
    waves = {title: torch.from_numpy(np.ascontiguousarray(wave)) for title, wave in noises.items()}
    facts = _facts(name, parts, facts_of_folder(Path(data)))
    return Dataset(parts["train"], parts["val"], parts.get("test"), waves, skipped, rule, facts)


# --- where clips come from ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Told(Clips):
    """Clips of which somebody told the speakers."""

    speakers: list[str]


_Found = tuple[dict[str, Clips], dict[str, Any], list[tuple[str, str]], str]


def _plain(clips: Clips) -> Clips:
    return Clips(clips.waveforms, clips.labels, clips.names, [])


def _local(source: Path, reader: Reader) -> _Found:
    """A file or folder of the user's."""
    if source.is_dir():
        places = _places(source)
        if places:
            return _by_place(places, reader)
    if (manifest := manifest_of(source)) is not None:
        reading = check_readable(_manifest(manifest, reader), manifest)
        given = [part or "train" for part in reading.parts]
        rule = f"as the column split of {manifest.name} says" if any(reading.parts) else ""
    else:
        reading = check_readable(reader.read(source), source)
        given = by_lists(reading.clips.names, reading.lists)
        rule = f"as {' and '.join(n for n in LISTS if n in reading.lists)} say" if reading.lists else ""
        if len(reading.lists) == 1:
            rule += "s"
    _check_lost(reading, str(source))
    told = speakers_of(reading.clips.names, reading.speakers)
    return _cut(reading.clips, told, given), reading.noises, list(reading.clips.skipped), rule


def _places(folder: Path) -> dict[str, Path]:
    """The tar, or else the folder of folders, of each part; empty where the folder is none of parts."""
    found = {}
    for part in (*PARTS, "background_noise"):
        tar, inside = folder / f"{part}.tar", folder / part
        if tar.is_file():
            found[part] = tar
        elif inside.is_dir() and (part == "background_noise" or _has_folders(inside)):
            found[part] = inside
    # A word may be called "test": only what stands beside a "train" is a part.
    return found if "train" in found else {}


def _has_folders(folder: Path) -> bool:
    try:
        return any(inside.is_dir() and not is_litter(inside.name) for inside in folder.iterdir())
    except OSError:  # the reading says so
        return True


def _by_place(places: dict[str, Path], reader: Reader) -> _Found:
    parts: dict[str, Clips] = {}
    noises: dict[str, Any] = {}
    skipped: list[tuple[str, str]] = []
    for part in PARTS:
        if part not in places:
            continue
        reading = check_readable(reader.read(places[part]), places[part])
        if part == "train":
            _check_lost(reading, str(places[part]))
        parts[part] = reading.clips
        noises |= reading.noises
        skipped += _prefixed(places[part].name, reading.clips.skipped)
    if place := places.get("background_noise"):
        reading = reader.recordings(place)
        noises |= reading.noises
        skipped += _prefixed(place.name, reading.clips.skipped)
    named = [places[part].name for part in PARTS if part in places]
    rule = "" if "val" not in parts and "test" not in parts else f"as divided into {' and '.join(named)}"
    return parts, noises, skipped, rule


def _manifest(source: Path, reader: Reader) -> ReadClips:
    rows, left_out = read_manifest(source)
    reading = reader.keep(
        source,
        lambda: [source, *(row.path for row in rows)],
        lambda: (row.item() for row in rows),
        told=True,
    )
    clips = reading.clips
    return replace(reading, clips=replace(clips, skipped=[*clips.skipped, *left_out]))


def _corpus(data: str, download: bool, reader: Reader) -> _Found:
    """Speech Commands as torchaudio keeps it, divided by its own lists."""
    root = root_of(data)
    rows = corpus_rows(root, download)
    folder = root / FOLDER.parent
    lists = [f"{FOLDER.name}/{name}" for name in LISTS]
    reading = reader.keep(
        folder,
        lambda: [folder / name for name in [*(row[0] for row in rows), *lists]],
        lambda: (item_of(folder / name, name, word, part) for name, word, part in rows),
        CORPUS,
        told=True,
    )
    check_readable(reading, folder)
    _check_lost(reading, str(folder))
    parts = _cut(reading.clips, [""] * len(reading.parts), reading.parts)
    return parts, reading.noises, list(reading.clips.skipped), "by the lists of Speech Commands"


# --- division -------------------------------------------------------------------------------------


def _cut(clips: Clips, speakers: list[str], given: list[str]) -> dict[str, Clips]:
    """Clips by their parts; those to learn from stay in the same memory."""
    found: dict[str, Clips] = {}
    for part in ("val", "test", "train"):
        index = [i for i, own in enumerate(given) if own == part]
        if not index and part != "train":
            continue
        waveforms = squeezed(clips.waveforms, index) if part == "train" else clips.waveforms[index]
        found[part] = _Told(
            waveforms,
            [clips.labels[i] for i in index],
            [clips.names[i] for i in index],
            [],
            [speakers[i] for i in index],
        )
    return found


def _divided(clips: Clips, share: float, seed: int) -> tuple[Clips, Clips, str]:
    told = clips.speakers if isinstance(clips, _Told) else [""] * len(clips)
    speakers = speakers_of(clips.names, told)
    kept = by_speaker(clips.names, clips.labels, speakers, share, seed) if any(speakers) else None
    rule = f"by speaker, about {100 * share:g} % of the clips to validate with, seed {seed}"
    if kept is None:
        kept = by_word(clips.names, clips.labels, share, seed)
        rule = f"by word, about {100 * share:g} % of each to validate with, seed {seed}; "
        rule += "the same speakers may be on both sides"
    parts = _cut(clips, speakers, ["val" if own else "train" for own in kept])
    if "val" not in parts:
        raise SnnVoiceError(
            "there is one clip of each word, so none is left to validate with",
            hint="two clips of a word or more, or validation clips of their own",
        )
    return parts["train"], parts["val"], rule


# --- checks ---------------------------------------------------------------------------------------


def _prefixed(source: str, skipped: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{source}/{name}", reason) for name, reason in skipped]


def _check_lost(reading: ReadClips, source: str) -> None:
    for word in sorted(set(reading.lost) - set(reading.clips.labels)):
        raise SnnVoiceError(
            f"no clip of the word {word!r} in {source} can be read",
            hint="see that its files are there, and convert them to WAV; or take the word away",
        )


def _check(parts: Mapping[str, Clips], data: str, alone: bool) -> None:
    words = sorted(set(parts["train"].labels))
    if not words:
        raise SnnVoiceError(f"{data} has no clips to learn from", hint="clips that are not all held back")
    for part in ("val", "test"):
        if part in parts and (strange := sorted(set(parts[part].labels) - set(words))):
            raise SnnVoiceError(
                f"the word {strange[0]!r} has clips in {part}, and none to learn from",
                hint="training clips of every word, or without it",
            )
    if len(words) == 1 and not (alone and is_word(words[0])):
        raise SnnVoiceError(
            f"{data} has clips of one word only, {words[0]!r}",
            hint="a folder for each of two words or more; or other speech, by --negatives, for a model that "
            "knows what is no word",
        )


def _facts(name: str, parts: Mapping[str, Clips], told: Mapping[str, str]) -> list[dict[str, str]]:
    """What the clips are, for the model card: their makers, where the folder or the names tell."""
    names = [title for clips in parts.values() for title in clips.names]
    facts = told or facts_of(names, {word for clips in parts.values() for word in clips.labels})
    title = f"{facts.get('name', name)} ({len(parts['train']):,} training clips)"
    return [{**facts, "name": title}]
