"""Made-up results and a stand-in for training, for the tests of the grid and of its report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.checkpoints import write_checkpoint
from snn_voice_hub.machine import Machine
from snn_voice_hub.registry import describe_network, get_architecture
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.study.paper_recipes import paper_recipe
from snn_voice_hub.training.study.results import Run, RunResult, Tested

LABELS = ["no", "up", "yes"]
TEN = [*"abcdefghij", "yes"]
HERE = Machine(cores=2, threads=1, torch="2.9", device="cpu")


def run(architecture: str, num_steps: int | None = None, beta: bool = False, **more: Any) -> Run:
    return Run(architecture=architecture, num_steps=num_steps, learn_beta=beta, **{"epochs": 5, **more})


def result(
    what: Run, right: int = 50, rate: float = 100.0, parameters: int = 1_000, **more: Any
) -> RunResult:
    """One with `right` of 100 clips right: 10 of each of ten words; wrong ones are taken for "yes"."""
    confusion = [[0] * 11 for _ in range(11)]
    for word in range(10):
        hits = min(10, max(0, right - 10 * word))
        confusion[word][word], confusion[word][10] = hits, 10 - hits
    row = {"train_loss": 1.0, "val_loss": 1.0, "val_top1": right / 100, "val_top2": 0.9, "val_top5": 1.0}
    values: dict[str, Any] = {
        "run": what,
        "recipe": "the paper's",
        "best_epoch": 2,
        "stopped": "",
        "history": [
            {"epoch": float(epoch), **row, "seconds": 600 / rate, "clips_per_second": rate}
            for epoch in (1, 2)
        ],
        "tested": Tested(
            part="test",
            clips=100,
            top1=right / 100,
            top2=0.9,
            top5=1.0,
            labels=TEN,
            confusion=confusion,
        ),
        "parameters": parameters,
        "train_words": {**dict.fromkeys("abcdefghij", 300), "yes": 10},
        "split": "by speaker",
        "machine": HERE,
    }
    return RunResult(**(values | more))


def clips(count: int) -> Clips:
    rng = np.random.default_rng(count)
    labels = [LABELS[i % 3] for i in range(count)]
    waves = (rng.standard_normal((count, 16_000)) * 1000).astype(np.int16)
    return Clips(waves, labels, [f"{word}/{i}.wav" for i, word in enumerate(labels)], [])


def dataset(train: int = 9, test: int | None = 7) -> Any:
    return SimpleNamespace(
        train=clips(train),
        val=clips(6),
        test=None if test is None else clips(test),
        noises={},
        skipped=[],
        rule="by speaker",
        facts=[],
    )


def train_nothing(what: Run, data: Any, folder: Path) -> Any:
    """A checkpoint folder with the weights that a network starts with."""
    recipe = paper_recipe(
        what.architecture, num_steps=what.num_steps, learn_beta=what.learn_beta, epochs=what.epochs
    )
    torch.manual_seed(what.seed)
    arguments = {**recipe.network, "num_classes": len(LABELS)}
    network = get_architecture(recipe.architecture).from_arguments(arguments)
    config = VoiceConfig(
        architecture=recipe.architecture,
        network=network.arguments(),
        features=recipe.features,
        labels=LABELS,
        name=what.name,
    )
    write_checkpoint(folder, config, network.state_dict(), describe_network(config).state_dict())
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "last.ckpt").write_bytes(b"state")
    history = [
        {"epoch": float(n), "train_loss": 2.0, "val_loss": 2.0, "val_top1": 0.4, "val_top2": 0.6}
        | {"val_top5": 1.0, "seconds": 3.0, "clips_per_second": len(data.train) / 3}
        for n in range(1, what.epochs + 1)
    ]
    return SimpleNamespace(folder=folder, history=history, best_epoch=1, stopped="")
