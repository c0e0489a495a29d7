"""Which clips a step of training hears, and how they are changed: decided by seed, epoch and step alone.

Nothing is remembered from step to step, so a run that was cut off hears the same from where it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

from snn_voice_hub.config import SILENCE, UNKNOWN, is_word
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.answers import mixed_answers
from snn_voice_hub.training.fitting.augment import Augmenter
from snn_voice_hub.training.fitting.others import Others
from snn_voice_hub.training.fitting.recipe import Recipe

Indices = npt.NDArray[np.int64]


def seed_of(*parts: int) -> int:
    """One number that depends on each of several."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class Draw:
    """Draws clips so that rare words are heard more often than they occur.

    Args:
        recorded: Clips of people.
        synthetic: Clips of machines, or None.
        labels: The model's.
        recipe: How much more often, and how many at a time.
        seed: Of the drawing.

    Attributes:
        targets: Class index of each clip, the synthetic ones at the end.
        chance: Of each clip to be drawn; they sum to 1.
        steps: Batches an epoch.
    """

    def __init__(
        self,
        recorded: Clips,
        synthetic: Clips | None,
        labels: Sequence[str],
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.sets = [recorded] if synthetic is None else [recorded, synthetic]
        index = {label: i for i, label in enumerate(labels)}
        self.targets = np.concatenate([[index[word] for word in clips.labels] for clips in self.sets])
        weight = np.concatenate(
            [np.full(len(c), w) for c, w in zip(self.sets, (1.0, recipe.synthetic), strict=False)]
        )
        mass = np.bincount(self.targets, weights=weight, minlength=len(labels))
        self.chance = weight * mass[self.targets] ** (recipe.class_power - 1)
        self.chance /= self.chance.sum()
        self.seed = seed
        self.size = recipe.batch_size - recipe.quiet - recipe.strange
        self.each_once = recipe.class_power == 1 and len(self.sets) == 1 and not recipe.steps
        # With few clips, one batch of all of them.
        self.steps = recipe.steps or max(1, len(recorded) // recipe.batch_size)

    def picks(self, epoch: int, step: int) -> Indices:
        """The clips of a step, in order."""
        if self.each_once:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.targets))
            return np.sort(order[step * self.size : (step + 1) * self.size])
        rng = np.random.default_rng([self.seed, epoch, step])
        return np.sort(rng.choice(len(self.chance), self.size, p=self.chance))

    def clips(self, picks: Indices) -> tuple[Tensor, Tensor]:
        """Clips `[B, N]` and their class indices `[B]`."""
        first = len(self.sets[0])
        parts = [self.sets[0].batch(picks[picks < first])]
        if len(self.sets) > 1:
            parts.append(self.sets[1].batch(picks[picks >= first] - first))
        return torch.cat(parts), torch.from_numpy(self.targets[picks])


@dataclass(frozen=True)
class Share:
    """Which part of a batch a process of several takes.

    Attributes:
        rank: Its number.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1


class Steps(Dataset[dict[str, Any]]):
    """The batch of an epoch and a step.

    Args:
        draw: Which clips.
        augmenter: How they are changed; None leaves them alone.
        recipe: How much silence and other speech is among them.
        labels: The model's.
        share: Which part of each batch.
        features: Of each clip `[n, 1, ...]`, where they were computed once; they take the place of the sound.
        answers: Log-probabilities `[k, n, C]` that k teachers gave to each clip before; NaN where they
            did not.
        others: Makes other speech.
    """

    def __init__(
        self,
        draw: Draw,
        augmenter: Augmenter | None,
        recipe: Recipe,
        labels: Sequence[str],
        share: Share,
        features: Tensor | None = None,
        answers: Tensor | None = None,
        others: Others | None = None,
    ) -> None:
        self.draw = draw
        self.augmenter = augmenter
        self.labels = list(labels)
        self.quiet, self.strange = recipe.quiet, recipe.strange
        self.length = recipe.chain
        self.running = round(recipe.running * recipe.batch_size / recipe.chain)
        self.others = others
        self.share = share
        self.features = features
        self.answers = answers

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Sound `[B, N]` (or features), class indices `[B]`, and the seed of what else is drawn.

        Where clips are mixed, `others` are the second class indices, and `part` is that of the first. Where
        teachers were asked before, `answers` are what they said, `[k, B, C]`. And `running` is other speech
        that goes on, `[S * L, N]`, window by window.
        """
        epoch, step = key
        rank, world = self.share.rank, self.share.world
        seed = seed_of(self.draw.seed, epoch, step, rank)
        picks = self.draw.picks(epoch, step)[rank::world]
        if self.features is not None:
            targets = torch.from_numpy(self.draw.targets[picks])
            return {"features": self.features[picks], "targets": targets, "seed": seed}
        waves, targets = self.draw.clips(picks)
        mixed: dict[str, Tensor] = {}
        answers = None if self.answers is None else self.answers[:, picks]
        if self.augmenter is not None:
            self.augmenter.reseed(seed)
            waves, targets, strange = self._with_others(waves, targets, seed)
            waves = self.augmenter.waveforms(waves, fixed=strange)
            if answers is not None:  # of what was made just now there are none
                answers = functional.pad(answers, (0, 0, 0, strange), value=torch.nan)
            if self.augmenter.settings.mixup:
                waves, other, part = self.augmenter.mixed(waves)
                mixed = {"others": targets[other], "part": part}
                if answers is not None:
                    answers = mixed_answers(answers, other, part)
            if quiet := len(range(rank, self.quiet, world)):
                waves = torch.cat([waves, self.augmenter.silence(quiet, waves.shape[1])])
                silence = self._all(SILENCE, quiet)
                targets = torch.cat([targets, silence])
                if answers is not None:
                    answers = functional.pad(answers, (0, 0, 0, quiet), value=torch.nan)
                if mixed:
                    mixed["others"] = torch.cat([mixed["others"], silence])
                    mixed["part"] = torch.cat([mixed["part"], torch.ones(quiet, **FLOAT32)])
            if (running := self._running(waves.shape[1], seed)) is not None:
                mixed["running"] = running
        if answers is not None:
            mixed["answers"] = answers
        return {"waves": waves, "targets": targets, "seed": seed, **mixed}

    def _with_others(self, waves: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor, int]:
        """Put other speech around some of the words, and clips of it after them; how many those are."""
        if self.others is None or self.augmenter is None:
            return waves, targets, 0
        rng = np.random.default_rng([seed, 2])
        context = self.augmenter.settings.context
        if context and self.others.can_surround:
            for row in np.flatnonzero(rng.random(len(waves)) < context):
                if is_word(self.labels[int(targets[row])]):
                    waves[row] = torch.from_numpy(self.others.surrounded(waves[row].numpy(), rng))
        if not (strange := len(range(self.share.rank, self.strange, self.share.world))):
            return waves, targets, 0
        waves = torch.cat([waves, self.others.clips(strange, rng)])
        return waves, torch.cat([targets, self._all(UNKNOWN, strange)]), strange

    def _running(self, length: int, seed: int) -> Tensor | None:
        """Other speech that goes on, through the same rooms and noises as all else."""
        count = len(range(self.share.rank, self.running, self.share.world))
        if not count or self.others is None or not self.others.can_surround or self.augmenter is None:
            return None
        waves = self.others.running(count, self.length, np.random.default_rng([seed, 3]))
        return self.augmenter.waveforms(waves, fixed=len(waves))

    def _all(self, label: str, count: int) -> Tensor:
        return torch.full((count,), self.labels.index(label), device="cpu")


class Order(Sampler[tuple[int, int]]):
    """Epoch and number of each step; the first epoch may begin in its middle.

    Args:
        steps: Of an epoch.
        done: Steps of the whole training that have been taken before.
    """

    def __init__(self, steps: int, done: int = 0) -> None:
        self.steps = steps
        self.done = done
        self.epoch = done // steps

    def set_epoch(self, epoch: int) -> None:
        """Is called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Steps of a whole epoch: Lightning counts those that have been taken itself."""
        return self.steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The keys of the steps that are left of the epoch."""
        first = self.done % self.steps if self.epoch == self.done // self.steps else 0
        return iter([(self.epoch, step) for step in range(first, self.steps)])


class StepLoader(DataLoader[dict[str, Any]]):
    """Batches in the order of an `Order`."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the number of steps that were taken, which a checkpoint holds, says where to go on."""
        return {}

    def load_state_dict(self, _: dict[str, Any]) -> None:
        """See `state_dict`."""
