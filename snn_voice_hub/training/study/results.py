"""What one run of the paper's grid was, and what came out of it; as strict JSON."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from snn_voice_hub.config import check_bool, check_int, read_dataclass
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.machine import Machine
from snn_voice_hub.text import read_text
from snn_voice_hub.training.fitting.folder import SEAL, seal_of
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.measuring.metrics import top_shares
from snn_voice_hub.training.study.paper_recipes import TITLES, paper_recipe
from snn_voice_hub.writing import write_whole, writing_into

T = TypeVar("T")

RESULT_FILE = "result.json"
RUNS = "runs"

_MAKE_ROOM = "make room or choose another --out; the same command goes on where it stopped"

# Names on the command line -> prefix of the classes.
MODELS = {prefix.lower(): prefix for prefix in TITLES}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run of the grid.

    Attributes:
        architecture: "M5CNN", "M5SNN", … "TcySNN".
        num_steps: T of a spiking network; None for a CNN.
        learn_beta: Whether the decay of the membranes is learned.
        seed: Of weights, sampling and dropout.
        epochs: At most so many.
    """

    architecture: str
    num_steps: int | None = None
    learn_beta: bool = False
    seed: int = 0
    epochs: int = 15

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is not legal, or the paper has no such network.
        """
        check_int("seed", self.seed, low=0)
        check_int("epochs", self.epochs, low=1)
        check_bool("learn_beta", self.learn_beta)
        if self.num_steps is not None:
            check_int("num_steps", self.num_steps, low=1)
        paper_recipe(self.architecture, num_steps=self.num_steps, learn_beta=self.learn_beta)
        if self.twin == "snn" and self.num_steps is None:
            raise ConfigError(f"{self.architecture} needs num_steps", hint="for example 5")

    @property
    def family(self) -> str:
        """Prefix of the CNN and of its twin: "M5", "Piczak", "Hjh" or "Tcy"."""
        return self.architecture[:-3]

    @property
    def twin(self) -> str:
        """Which of the two: "cnn" or "snn"."""
        return self.architecture[-3:].lower()

    @property
    def name(self) -> str:
        """Of its folder, for example "hjh-snn-t5-learn-beta-5epochs-seed0"."""
        steps = f"-t{self.num_steps}" if self.num_steps is not None else ""
        beta = "-learn-beta" if self.learn_beta else ""
        return f"{self.family.lower()}-{self.twin}{steps}{beta}-{self.epochs}epochs-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """How a trained network does on clips that had no part in training.

    Attributes:
        part: "test", or "validation" where the data have no test clips.
        clips: How many.
        top1: Share of clips that are right.
        top2: Share of clips whose word is among the best two.
        top5: The same of the best five.
        labels: The model's labels, then the words that it does not know.
        confusion: Clips by true word (row) and answer (column), in the order of `labels`.
    """

    part: str
    clips: int
    top1: float
    top2: float
    top5: float
    labels: list[str]
    confusion: list[list[int]]

    def __post_init__(self) -> None:
        """Check that the table fits.

        Raises:
            ConfigError: Not a square table of all clips.
        """
        size = len(self.labels)
        square = len(self.confusion) == size and all(len(row) == size for row in self.confusion)
        if not square or sum(map(sum, self.confusion)) != self.clips:
            raise ConfigError(f"confusion is no table of {self.clips} clips by {size} labels")

    @property
    def counts(self) -> dict[str, int]:
        """Clips of each word."""
        return {word: sum(row) for word, row in zip(self.labels, self.confusion, strict=True)}

    @property
    def recall(self) -> dict[str, float]:
        """Share of the clips of each word that are right; words without clips are left out."""
        rows = enumerate(zip(self.labels, self.confusion, strict=True))
        return {word: row[i] / sum(row) for i, (word, row) in rows if sum(row)}


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        run: What was trained.
        recipe: By which recipe, in words.
        best_epoch: The one whose weights were measured.
        stopped: Why training ended before its last epoch; "" if it did not.
        history: A row an epoch; see `fitting.fit.Fitted`.
        tested: How it does.
        parameters: Number of trained values.
        train_words: Training clips of each word.
        split: How the clips were split, in words.
        machine: Where.
        content: Digest of all clips; "" in results of before it was kept.
    """

    run: Run
    recipe: str
    best_epoch: int
    stopped: str
    history: list[dict[str, float]]
    tested: Tested
    parameters: int
    train_words: dict[str, int]
    split: str
    machine: Machine
    content: str = ""

    def __post_init__(self) -> None:
        """Check the curve.

        Raises:
            ConfigError: No epochs, or the best one is not among them.
        """
        if self.best_epoch not in self.epochs_run:
            raise ConfigError(f"best_epoch={self.best_epoch} is none of the history's epochs")

    @property
    def epochs_run(self) -> list[int]:
        """The epochs of the history."""
        return [int(row["epoch"]) for row in self.history]

    @property
    def best_row(self) -> dict[str, float]:
        """The best epoch's row of the history."""
        return self.history[self.epochs_run.index(self.best_epoch)]

    @property
    def train_clips(self) -> int:
        """Clips that it learned from."""
        return sum(self.train_words.values())

    @property
    def seconds_per_epoch(self) -> float:
        """Median seconds of training an epoch; validation is not counted."""
        return statistics.median(row["seconds"] for row in self.history)

    @property
    def clips_per_second(self) -> float:
        """Median over the epochs."""
        return statistics.median(row["clips_per_second"] for row in self.history)

    def recall_over(self, words: Iterable[str]) -> tuple[float, int] | None:
        """Share right of all clips of some words together, and how many these are; None without any."""
        picks = [self.tested.labels.index(word) for word in words if word in self.tested.labels]
        clips = sum(sum(self.tested.confusion[i]) for i in picks)
        return (sum(self.tested.confusion[i][i] for i in picks) / clips, clips) if clips else None

    def save(self, path: Path) -> None:
        """Write it, so that at no time there is a half of it."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> RunResult:
        """Read it, strictly.

        Raises:
            SnnVoiceError: It can't be read, or is no result; the message names the file and the field.
        """
        return read_json(cls, path)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON as a whole with a digest of itself, into a folder that is made if missing.

    Raises:
        SnnVoiceError: It can't be written.
    """
    with writing_into(path.parent, _MAKE_ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data | {SEAL: seal_of(data)}, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n", hint=_MAKE_ROOM)


def read_json(cls: type[T], path: Path) -> T:
    """Read a dataclass from a JSON file.

    Raises:
        SnnVoiceError: It can't be read, or does not fit; the message names the file.
    """
    try:
        data = json.loads(read_text(path))
        seal = data.pop(SEAL, "") if isinstance(data, dict) else ""
        if seal and seal != seal_of(data):  # what earlier versions wrote has none
            raise ValueError("it is not what was written")
        return read_dataclass(cls, data)
    except (OSError, ValueError, RecursionError) as error:  # broken JSON and illegal values are ValueErrors
        raise SnnVoiceError(f"{path} can't be read: {error}", hint="delete it, and run again") from error


def measure(logits: Tensor, words: Sequence[str], labels: Sequence[str], part: str) -> Tested:
    """Count what a network answered.

    Args:
        logits: `[n, C]`.
        words: The n true words; one that is no label counts as wrong.
        labels: The model's C labels.
        part: "test" or "validation".
    """
    counted = Confusion.of(logits, words, labels)
    names = [*labels, *sorted(set(words) - set(labels))]
    square = np.zeros((len(names), len(names)), np.int64)
    square[[names.index(word) for word in counted.words], : len(labels)] = counted.counts
    return Tested(
        part=part,
        clips=len(words),
        **top_shares(logits, words, labels),
        labels=names,
        confusion=square.tolist(),
    )


def counted(words: Iterable[str]) -> dict[str, int]:
    """How often each word occurs, in the order of the alphabet."""
    return dict(sorted(Counter(words).items()))


def load_results(out: Path) -> list[RunResult]:
    """The finished runs of a grid's folder, which must have learned from and been measured on the same clips.

    Raises:
        SnnVoiceError: A result can't be read, or the runs are of different data.
    """
    found = [RunResult.load(path) for path in sorted((out / RUNS).glob(f"*/{RESULT_FILE}"))]
    for other in found[1:]:
        tested = other.tested
        check_same_data(found[0], other.train_words, other.split, tested.part, tested.clips, other.content)
    return found


def check_same_data(
    known: RunResult, train_words: dict[str, int], split: str, part: str, clips: int, content: str
) -> None:
    """Compare the clips of a finished run with those of another.

    Raises:
        SnnVoiceError: They are not the same.
    """
    hint = "runs are compared on the same clips only: another --out for other data"
    before = (known.train_words, known.split, known.tested.part, known.tested.clips)
    if before != (train_words, split, part, clips):
        raise SnnVoiceError(
            f"{known.run.name} learned from {known.train_clips} clips and was measured on "
            f"{known.tested.clips} ({known.split}), not on {sum(train_words.values())} and {clips} ({split})",
            hint=hint,
        )
    if known.content and content and known.content != content:
        raise SnnVoiceError(f"{known.run.name} learned from, or was measured on, other clips", hint=hint)
