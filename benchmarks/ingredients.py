"""What each ingredient of the default's training brings: a network without it, beside one with all.

    python -m benchmarks.ingredients --data CORPUS --negatives FOLDER --synthetic FOLDER --answers ANSWERS.npz

The CNN twin of the default, from nothing, with equal epochs; docs/training.md says where all of that comes
from. Figures are of validation speakers and of other speech that was kept apart, since choices are made by
them. A second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import begin_training, make_parser
from benchmarks.report import Report, Table
from snn_voice_hub.config import is_word
from snn_voice_hub.notation import points
from snn_voice_hub.training.clips.corpus import COMMANDS
from snn_voice_hub.training.clips.cutting import Divided, windows, with_negatives
from snn_voice_hub.training.clips.data import Clips, as_floats, load_clips
from snn_voice_hub.training.clips.negatives import read_negatives
from snn_voice_hub.training.clips.sources import VAL_SHARE, Dataset, load_dataset
from snn_voice_hub.training.fitting.fit import fit
from snn_voice_hub.training.fitting.job import Job
from snn_voice_hub.training.fitting.recipe import Augmentation
from snn_voice_hub.training.fitting.recipes import RECIPES
from snn_voice_hub.training.measuring.listening import Sounds, choose, listen
from snn_voice_hub.training.measuring.logits import clip_logits
from snn_voice_hub.voice import SnnVoice

_MODEL = "resmel-cnn"


@dataclass(frozen=True)
class Row:
    """What is left out.

    Attributes:
        name: As the table says it.
        unknown: Whether other speech has a class of its own.
        negatives: Whether there is recorded other speech, noise, music and rooms.
        teacher: Whether a teacher's answers are learned.
        synthetic: Whether words by synthesisers are.
        robust: Whether clips are changed as by rooms, lines and other people; without, as by noise alone.
    """

    name: str
    unknown: bool = True
    negatives: bool = True
    teacher: bool = True
    synthetic: bool = True
    robust: bool = True


ROWS = (
    Row("everything"),
    Row("no class for other speech", unknown=False),
    Row("other speech from pieces of the words alone", negatives=False),
    Row("no teacher", teacher=False),
    Row("no words by synthesisers", synthetic=False),
    Row("noise, but no rooms, music, voices, lines and codecs", robust=False),
)


@dataclass(frozen=True)
class Given:
    """What there is to learn from.

    Attributes:
        dataset: Clips of words alone.
        divided: The same with what negatives add.
        synthetic: Words by synthesisers.
        answers: The teacher's file.
    """

    dataset: Dataset
    divided: Divided
    synthetic: Clips
    answers: Path


def trained(row: Row, given: Given, options: argparse.Namespace) -> SnnVoice:
    """Train one row; what the run in its folder came to, where there is one."""
    plain = RECIPES[_MODEL]
    recipe = dataclasses.replace(
        plain,
        epochs=options.epochs,
        distil=0.5 if row.teacher else 0.0,
        unknown=plain.unknown if row.unknown else 0.0,
        silence=0.07,
    )
    if not row.robust:
        recipe = dataclasses.replace(
            recipe, augmentation=Augmentation(shift=0.12, noise=0.6, bands=7, frames=15)
        )
    job = Job(
        name="without",
        recipe=recipe,
        precision="bfloat16",
        teachers=(str(given.answers),) if row.teacher else (),
    )
    # Windows of other speech are no clips to validate a network with that has no class for them.
    dataset = given.divided.dataset if row.negatives else given.dataset
    if not row.unknown:
        dataset = dataclasses.replace(dataset, val=given.dataset.val)
    out = options.runs / f"{ROWS.index(row)}-{options.epochs}"
    fit(
        job,
        dataset,
        out,
        synthetic=given.synthetic if row.synthetic else None,
        negatives=given.divided.learned if row.negatives else None,
        resume=True,
    )
    return SnnVoice.from_pretrained(out)


def measured(voice: SnnVoice, given: Given) -> list[str]:
    """Top-1 of words among words, other speech taken for a word, and what listening misses."""
    clips, kept = given.dataset.val, given.divided.kept
    words = [i for i, label in enumerate(voice.labels) if is_word(label)]
    best = clip_logits(voice, clips)[:, words].argmax(1).tolist()
    right = np.mean([voice.labels[words[i]] == word for i, word in zip(best, clips.labels, strict=True)])
    other = windows(kept, voice.labels, voice.config.features.num_samples)
    taken = np.isin(clip_logits(voice, other).argmax(1).numpy(), words).mean()
    noises = [as_floats(sound.wave) for sound in kept.of_kind("noise")]
    sounds = listen(voice, clips, noises, kept, snrs=(10,))
    return [points(float(right)), points(float(taken)), *_at_point(sounds)]


def _at_point(sounds: Sounds) -> list[str]:
    point = choose(sounds, COMMANDS)
    figures = sounds.at(point, COMMANDS)
    alarms = figures["false_alarms"]
    return [
        points(figures["missed"]["10_db"]),
        f"{alarms['speech']:.0f}",
        f"{alarms['noise']:.0f}",
        points(figures["single"]),
    ]


def main() -> None:
    """Train, and print a table of what is there after each run."""
    parser = make_parser(__doc__)
    parser.add_argument("--negatives", type=Path, nargs="+", required=True)
    parser.add_argument("--synthetic", type=Path, required=True, help="folder of words by synthesisers")
    parser.add_argument("--answers", type=Path, required=True, help="a teacher's answers")
    parser.add_argument("--epochs", type=int, default=6)
    options = begin_training(parser, "train.tar and val.tar")
    features = RECIPES[_MODEL].front_end
    dataset = load_dataset(options.data, cache=options.cache)
    divided = with_negatives(
        dataset,
        read_negatives(options.negatives, sample_rate=features.sample_rate),
        num_samples=features.num_samples,
        share=VAL_SHARE,
        unknown=True,
    )
    given = Given(dataset, divided, load_clips(options.synthetic, options.cache), options.answers)
    found: list[list[str]] = []
    for row in ROWS:
        found.append([row.name, *measured(trained(row, given, options), given)])
        write(options, given, found)


def write(options: argparse.Namespace, given: Given, found: list[list[str]]) -> None:
    """The report of what is there."""
    report = Report("ingredients", "What each ingredient of the training brings", options.out)
    report.add(
        f"`{_MODEL}` from nothing, {options.epochs} epochs of {len(given.divided.dataset.train)} clips, "
        f"one seed each. Of {len(given.dataset.val)} clips of validation speakers; listening for the ten "
        "commands in noise at 10 dB, at the point with up to 10 false alarms an hour that misses the fewest."
    )
    table = Table(
        "training",
        "top-1 among words, %",
        "other speech taken for a word, %",
        "commands missed, %",
        "false alarms an hour: speech",
        "noise and music",
        "other single words, %",
    )
    for cells in found:
        table.add(*cells)
    report.add(table)


if __name__ == "__main__":
    main()
