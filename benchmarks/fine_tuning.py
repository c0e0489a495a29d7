"""A few clips of new words: is it better to start from a model that knows other words, or from nothing?

    python -m benchmarks.fine_tuning --data CORPUS --runs runs/fine_tuning

A base model learns thirty words of Speech Commands. Then five others are learned from 5, 20 and 50 clips
each, every clip by another speaker where there are so many: with all layers, with the last layer alone, and
by the same network from nothing, which trains for three times as many steps. All are measured on the test
speakers' clips of these five words, and their epochs are chosen by nothing but their own clips. A second call
goes on where the first one stopped.
"""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import numpy as np

from benchmarks.common import begin_training, make_parser, share_right, stop
from benchmarks.report import Report, Table
from snn_voice_hub.notation import percent, points
from snn_voice_hub.training.clips.corpus import speaker
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.sources import Dataset, load_dataset
from snn_voice_hub.training.clips.splits import by_word
from snn_voice_hub.training.fitting.fit import Fitted, Job, fit
from snn_voice_hub.training.fitting.recipes import RECIPES, fine_tuning
from snn_voice_hub.training.measuring.logits import clip_logits
from snn_voice_hub.voice import SnnVoice

# Every fourth of the covered words in the order of the alphabet.
NEW = ("bed", "five", "left", "one", "two")
SIZES = (5, 20, 50)
WAYS = ("all layers", "last layer", "from nothing")
_MORE_STEPS = 3


def of_words(clips: Clips, words: set[str]) -> Clips:
    """The clips of some words."""
    return clips.pick([i for i, word in enumerate(clips.labels) if word in words])


def few(clips: Clips, size: int, seed: int) -> Clips:
    """`size` clips of each word, of as many speakers as there are."""
    rng = np.random.default_rng(seed)
    index: list[int] = []
    for word in sorted(set(clips.labels)):
        own = rng.permutation([i for i, label in enumerate(clips.labels) if label == word])
        seen: dict[str, int] = {}
        for i in own:
            seen.setdefault(speaker(clips.names[i]), int(i))
        firsts = list(seen.values())
        index += (firsts + [int(i) for i in own if int(i) not in set(firsts)])[:size]
    return clips.pick(index)


def divided(clips: Clips, whole: Dataset) -> Dataset:
    """A user's clips: a tenth of them chooses the epoch."""
    kept = by_word(clips.names, clips.labels, 0.1)
    return dataclasses.replace(
        whole,
        train=clips.pick([i for i, own in enumerate(kept) if not own]),
        val=clips.pick([i for i, own in enumerate(kept) if own]),
        rule="by word, a tenth to validate with",
    )


def learn(way: str, base: Path, small: Dataset, out: Path, seed: int) -> Fitted:
    """Learn the new words in one of the `WAYS`."""
    config = SnnVoice.from_pretrained(base).config
    recipe = fine_tuning(config, len(small.train))
    if way == "from nothing":
        lr = RECIPES[config.name].lr if config.name in RECIPES else 2e-3
        recipe = dataclasses.replace(recipe, epochs=_MORE_STEPS * recipe.epochs, lr=lr, patience=0)
        return fit(Job(name="new", recipe=recipe, seed=seed), small, out, resume=True)
    job = Job(name="new", recipe=recipe, seed=seed, start=base, freeze=way == "last layer")
    return fit(job, small, out, resume=True)


def right(folder: Path, test: Clips) -> float:
    """Share of the test clips that a checkpoint names."""
    voice = SnnVoice.from_pretrained(folder)
    return share_right(clip_logits(voice, test), test, voice.labels)


def main() -> None:
    """Train, measure, print a table."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", default="resmel-snn", choices=sorted(RECIPES))
    parser.add_argument("--base-epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3, help="draws of the clips")
    given = begin_training(parser, "train.tar, val.tar and test.tar")
    whole = load_dataset(given.data, cache=given.cache)
    if whole.test is None or not set(NEW) <= set(whole.test.labels):
        stop(f"the data have no test clips of {', '.join(NEW)}")
    others = set(whole.train.labels) - set(NEW)
    base = given.runs / "base"
    fit(
        Job(name=given.model, recipe=dataclasses.replace(RECIPES[given.model], epochs=given.base_epochs)),
        dataclasses.replace(whole, train=of_words(whole.train, others), val=of_words(whole.val, others)),
        base,
        resume=True,
        on_epoch=lambda row: print(f"base: {row}", flush=True),
    )
    test = of_words(whole.test, set(NEW))
    new = of_words(whole.train, set(NEW))
    table = Table("clips a word", *WAYS)
    for size in SIZES:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(given.seeds):
            small = divided(few(new, size, seed), whole)
            for way in WAYS:
                out = given.runs / f"{size}-{way.replace(' ', '-')}-{seed}"
                found[way].append(right(learn(way, base, small, out, seed).folder, test))
                print(f"{size} clips a word, {way}, draw {seed}: {percent(found[way][-1])}", flush=True)
        table.add(size, *(told(found[way]) for way in WAYS))
    report = Report("fine_tuning", "Few clips of new words", given.out)
    report.add(
        f"`{given.model}` with {len(others)} words ({given.base_epochs} epochs) as the base; then "
        f"{', '.join(NEW)}, a tenth of whose clips chooses the epoch. Top-1 in % on {len(test)} clips of "
        f"test speakers: mean (least to largest) over {given.seeds} draws of clips and seeds; a fifth by "
        f"chance. From nothing: {_MORE_STEPS} times as many steps."
    )
    report.add(table)


def told(shares: list[float]) -> str:
    """Mean of some shares in %, and the least and the largest of several; nothing of none."""
    if len(shares) < 2:
        return points(shares[0]) if shares else ""
    low, high = min(shares), max(shares)
    return f"{points(statistics.fmean(shares))} ({points(low)} to {points(high)})"


if __name__ == "__main__":
    main()
