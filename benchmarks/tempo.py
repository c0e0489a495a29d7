"""What a network on frames owes to its shape, its readout, its delays and its teacher.

    python -m benchmarks.tempo --data CORPUS --answers ANSWERS.npz --runs runs/tempo

One change at a time with equal epochs. What is about the shape is learned by the CNN twin, what is about
spikes by the spiking network, which begins with the twin of the first row. Figures are of validation clips,
since choices are made by them. A second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import begin_training, make_parser
from benchmarks.report import Report, Table
from snn_voice_hub.models.architectures.tempo import Shape, SpikingBlock, TempoCNN, TempoSNN
from snn_voice_hub.models.base import blocks
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.network import Pass
from snn_voice_hub.models.registered import register_architecture
from snn_voice_hub.notation import percent, points
from snn_voice_hub.registry import get_architecture
from snn_voice_hub.training.clips.sources import Dataset, load_dataset
from snn_voice_hub.training.fitting.fit import fit
from snn_voice_hub.training.fitting.job import Job
from snn_voice_hub.training.fitting.recipe import Augmentation, Recipe

_SHAPES = TempoCNN.block_shapes


def _dilated(factor: float) -> tuple[Shape, ...]:
    return tuple(
        shape._replace(
            dilation1=max(1, int(shape.dilation1 * factor)), dilation2=max(1, int(shape.dilation2 * factor))
        )
        for shape in _SHAPES
    )


def _wide(factor: float) -> tuple[Shape, ...]:
    return tuple(shape._replace(channels=round(shape.channels * factor / 16) * 16) for shape in _SHAPES)


@register_architecture
class UndilatedCNN(TempoCNN):
    """Neighbouring steps alone."""

    block_shapes = _dilated(0)


@register_architecture
class FarCNN(TempoCNN):
    """Twice the distance between the taps."""

    block_shapes = _dilated(2)


@register_architecture
class NarrowCNN(TempoCNN):
    """Three quarters of the channels."""

    stem_shape = (96, 7, 2)
    block_shapes = _wide(0.75)


@register_architecture
class WideCNN(TempoCNN):
    """Five quarters of the channels."""

    stem_shape = (160, 7, 2)
    block_shapes = _wide(1.25)


@register_architecture
class SlowCNN(TempoCNN):
    """25 steps a second; the taps reach as far."""

    frames_per_step = 4
    stem_shape = (128, 9, 4)
    block_shapes = (
        Shape(128, 1, 1),
        Shape(128, 1, 1),
        Shape(144, 2, 2),
        Shape(160, 1, 1),
        Shape(160, 2, 2),
    )


@register_architecture
class SlowingCNN(TempoCNN):
    """50 steps a second, 25 from the fourth block on."""

    frames_per_step = 4
    block_shapes = (*_SHAPES[:3], Shape(160, 1, 1, 2), Shape(160, 2, 2))


class _Weighted(TempoSNN):
    """Its answer is a weighted sum of outputs, the newest one last."""

    def weights(self) -> Tensor:
        """`[num_steps]`, with the sum of those of a plain one."""
        raise NotImplementedError

    def forward_encoded(self, x: Tensor) -> Tensor:
        """See `Network.forward_encoded`."""
        outputs = self.layers(x, Pass(x.shape[0]))[-self.num_steps :]
        weights = self.weights()
        return (outputs * (weights * self.num_steps / weights.sum()).view(-1, 1, 1)).sum(0)


@register_architecture
class LeakySNN(_Weighted):
    """Its readout forgets with a time constant of half a second."""

    def weights(self) -> Tensor:
        """See `_Weighted`."""
        return 0.96 ** torch.arange(self.num_steps - 1, -1, -1, dtype=torch.float32)


@register_architecture
class LastSNN(_Weighted):
    """Its answer is that of the last fifth of a second."""

    def weights(self) -> Tensor:
        """See `_Weighted`."""
        return (torch.arange(self.num_steps) >= self.num_steps - 10).float()


class _Delayed(CausalConvNorm):
    """Each tap of each channel has a delay that is learned, between those of two whole steps.

    The weight of a tap is shared among the two steps beside its place, as in I. Hammouamri et al., "Learning
    delays in spiking neural networks using dilated convolutions with learnable spacings" (2023).
    """

    def __init__(self, like: CausalConvNorm) -> None:
        conv = like.conv
        super().__init__(conv.in_channels, conv.out_channels, like.kernel, like.stride, like.dilation)
        places = torch.arange(like.kernel).float() * like.dilation
        self.place = nn.Parameter(places.unsqueeze(1).repeat(1, conv.in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[past + N, B, C]` -> `[N, B, C']`."""
        count = x.shape[0] - self.past
        steps = torch.arange(self.past + 1, dtype=x.dtype)
        near = (1 - (steps.view(-1, 1, 1) - self.place.clamp(0, self.past)).abs()).clamp(min=0)
        weight = torch.einsum("ock,tkc->tco", self.conv.weight, near).flatten(0, 1)
        rows = torch.cat([x[t : t + count] for t in range(self.past + 1)], -1)
        out: Tensor = self.bn(rows.flatten(0, 1) @ weight)
        return out.view(count, -1, out.shape[-1])


@register_architecture
class DelayedSNN(TempoSNN):
    """Its delays are learned."""

    def build(self) -> None:
        """See `Network.build`."""
        super().build()
        for block in blocks(self.snn, SpikingBlock):
            block.conv1, block.conv2 = _Delayed(block.conv1), _Delayed(block.conv2)


@dataclass(frozen=True)
class Row:
    """One change.

    Attributes:
        name: As the table says it.
        architecture: Name of its class.
        network: Changed arguments of the network.
        teacher: Whether a teacher's answers are learned.
        start: Whether a spiking network begins with the CNN's weights.
    """

    name: str
    architecture: str = "TempoCNN"
    network: dict[str, Any] = dataclasses.field(default_factory=dict)
    teacher: bool = True
    start: bool = True

    @property
    def spikes(self) -> bool:
        """Whether it is a spiking network."""
        return self.architecture.endswith("SNN")


ROWS = (
    Row("CNN: 50 steps a second, taps 1, 2, 4 steps apart"),
    Row("taps beside each other", "UndilatedCNN"),
    Row("taps twice as far apart", "FarCNN"),
    Row("25 steps a second", "SlowCNN"),
    Row("50 steps a second, 25 in the last two blocks", "SlowingCNN"),
    Row("channels times 0.75", "NarrowCNN"),
    Row("channels times 1.25", "WideCNN"),
    Row("no teacher", teacher=False),
    Row("SNN: mean of the newest second, one learned beta a layer", "TempoSNN"),
    Row("a beta for each channel", "TempoSNN", {"beta_per_channel": True}),
    Row("readout forgets in half a second", "LeakySNN"),
    Row("readout of the last fifth of a second", "LastSNN"),
    Row("a learned delay for each tap of each channel", "DelayedSNN"),
    Row("no teacher", "TempoSNN", teacher=False),
    Row("from nothing, not from the CNN", "TempoSNN", start=False),
)


@dataclass
class Trainer:
    """Trains rows.

    Attributes:
        options: Of the command line.
        dataset: Clips.
    """

    options: argparse.Namespace
    dataset: Dataset

    def trained(self, row: Row) -> dict[str, float]:
        """The best epoch's row of the history."""
        network: dict[str, Any] = {}
        if issubclass(get_architecture(row.architecture), SlowCNN | SlowingCNN):
            network = {"num_steps": 25}
        if row.spikes:
            network = {"learn_beta": True} | row.network
        recipe = Recipe(
            architecture=row.architecture,
            network=network,
            augmentation=Augmentation(shift=0.12, speed=0.12, noise=0.6, bands=7, frames=15),
            epochs=self.options.epochs,
            batch_size=64,
            lr=2e-3 if row.spikes else 3e-3,
            distil=0.5 if row.teacher else 0.0,
            threshold_percentile=95.0 if row.spikes else 0.0,
            constants="none",
        )
        job = Job(
            name="choice",
            recipe=recipe,
            start=self.folder(ROWS[0]) if row.spikes and row.start else None,
            teachers=(str(self.options.answers),) if row.teacher else (),
        )
        fitted = fit(job, self.dataset, self.folder(row), resume=True)
        return next(epoch for epoch in fitted.history if epoch["epoch"] == fitted.best_epoch)

    def folder(self, row: Row) -> Path:
        """Where a row's run is."""
        runs: Path = self.options.runs
        return runs / f"{ROWS.index(row):02}-{self.options.epochs}"

    def rows(self) -> Iterator[tuple[Row, dict[str, float]]]:
        """Train all rows, one after the other."""
        for row in ROWS:
            best = self.trained(row)
            print(f"{row.name}: {percent(best['val_top1'])}", flush=True)
            yield row, best


def main() -> None:
    """Train, and write a table of what is there after each run."""
    parser = make_parser(__doc__)
    parser.add_argument("--answers", type=Path, required=True, help="a teacher's answers")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--every", type=int, default=3, help="learn from every so many-th clip")
    options = begin_training(parser, "train.tar and val.tar")
    dataset = load_dataset(options.data, cache=options.cache)
    some = dataset.train.pick(np.arange(0, len(dataset.train), options.every))
    trainer = Trainer(options, dataclasses.replace(dataset, train=some))
    found: list[tuple[Row, dict[str, float]]] = []
    for pair in trainer.rows():
        found.append(pair)
        write(options, trainer.dataset, found)


def write(options: argparse.Namespace, dataset: Dataset, found: list[tuple[Row, dict[str, float]]]) -> None:
    """The report of what is there."""
    report = Report("tempo", "What a network on frames owes to what", options.out)
    report.add(
        f"{options.epochs} epochs of {len(dataset.train)} clips, one seed each; top-1 in % on "
        f"{len(dataset.val)} validation clips at the epoch with the lowest loss. The spiking rows begin with "
        "the first CNN and learn as long again."
    )
    table = Table("change", "top-1", "mean over covered words", "loss", "parameters")
    for row, best in found:
        cls = get_architecture(row.architecture)
        size = sum(p.numel() for p in cls(35, **row.network).parameters())
        shares = (points(best[key]) for key in ("val_top1", "val_covered"))
        table.add(row.name, *shares, f"{best['val_loss']:.3f}", f"{size:,}")
    report.add(table)


if __name__ == "__main__":
    main()
