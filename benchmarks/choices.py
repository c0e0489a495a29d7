"""What helps a spiking network learn: where it starts, its surrogate gradient, its decay, a teacher.

    python -m benchmarks.choices --data CORPUS --runs runs/choices

One change at a time to the recipe of the default network, with equal epochs and the same clips in the same
order. Figures are of the validation clips, since choices are made by them. A second call goes on where the
first one stopped; rows with fewer seeds say so.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.common import begin_training, make_parser
from benchmarks.report import Report, Table
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.notation import percent, points
from snn_voice_hub.training.clips.sources import Dataset, load_dataset
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.recipes import RECIPES


@dataclass(frozen=True)
class Choice:
    """One row: the recipe with a change.

    Attributes:
        name: As the table says it.
        network: Changed arguments of the network.
        start: Whether the CNN's weights are where it starts.
        percentile: For thresholds from the CNN's activations.
        distil: Weight of the CNN's answers in the loss.
        precision: Of the products.
    """

    name: str
    network: dict[str, Any] = dataclasses.field(default_factory=dict)
    start: bool = False
    percentile: float = 0.0
    distil: float = 0.0
    precision: str = "float32"


CHOICES = (
    Choice("reference: from nothing, arctan, one learned beta a layer"),
    Choice("weights of the CNN", start=True),
    Choice("weights of the CNN, thresholds at its 95th percentile", start=True, percentile=95.0),
    Choice("weights, thresholds, and the CNN as teacher", start=True, percentile=95.0, distil=0.5),
    Choice("the CNN as teacher", distil=0.5),
    Choice("surrogate: fast sigmoid", {"surrogate": "fast_sigmoid"}),
    Choice("surrogate: spikes only, as the paper's snnTorch", {"surrogate": "heaviside"}),
    Choice("surrogate: straight through", {"surrogate": "straight_through"}),
    Choice("beta fixed", {"learn_beta": False}),
    Choice("beta learned for each channel", {"beta_per_channel": True}),
    Choice("products in bfloat16", precision="bfloat16"),
)


def trained(choice: Choice, seed: int, given: argparse.Namespace, dataset: Dataset) -> dict[str, float]:
    """Train one row with one seed; the best epoch's row of the history."""
    plain = RECIPES["resmel-snn"]
    recipe = dataclasses.replace(
        plain,
        epochs=given.epochs,
        network=plain.network | choice.network,
        threshold_percentile=choice.percentile,
        distil=choice.distil,
    )
    cnn = bundled_root() / given.cnn
    job = Job(
        name="choice",
        recipe=recipe,
        seed=seed,
        precision=choice.precision,
        start=cnn if choice.start else None,
        teachers=(cnn,) if choice.distil else (),
    )
    out = given.runs / f"{''.join(c if c.isalnum() else '-' for c in choice.name)}-{seed}"
    fitted = fit(job, dataset, out, resume=True)
    return next(row for row in fitted.history if row["epoch"] == fitted.best_epoch)


def main() -> None:
    """Train, and print a table of what is there after each run."""
    parser = make_parser(__doc__)
    parser.add_argument("--cnn", default="resmel-cnn", help="bundled CNN twin, for starts and as the teacher")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    given = begin_training(parser, "train.tar and val.tar")
    dataset = load_dataset(given.data, cache=given.cache)
    found: dict[str, list[dict[str, float]]] = {choice.name: [] for choice in CHOICES}
    for seed in range(given.seeds):
        for choice in CHOICES:
            row = trained(choice, seed, given, dataset)
            found[choice.name].append(row)
            print(f"{choice.name}, seed {seed}: {percent(row['val_top1'])}", flush=True)
            if choice is CHOICES[-1] or seed:
                write(given, dataset, found)


def write(given: argparse.Namespace, dataset: Dataset, found: dict[str, list[dict[str, float]]]) -> None:
    """The report of what is there."""
    report = Report("choices", "What helps a spiking network learn", given.out)
    report.add(
        f"`resmel-snn`'s recipe with T = {RECIPES['resmel-snn'].network['num_steps']}, {given.epochs} epochs "
        f"of {len(dataset.train)} clips; top-1 in % on {len(dataset.val)} validation clips at the epoch with "
        f"the lowest loss: mean over the seeds (least to largest). The CNN is `{given.cnn}`."
    )
    table = Table("change", "top-1", "mean over covered words", "loss", "seeds")
    for name, rows in found.items():
        if rows:
            shares, covered, losses = (
                [row[key] for row in rows] for key in ("val_top1", "val_covered", "val_loss")
            )
            spread = f" ({points(min(shares))} to {points(max(shares))})" if len(rows) > 1 else ""
            table.add(
                name,
                f"{points(statistics.fmean(shares))}{spread}",
                f"{points(statistics.fmean(covered))}",
                f"{statistics.fmean(losses):.3f}",
                len(rows),
            )
    report.add(table)


if __name__ == "__main__":
    main()
