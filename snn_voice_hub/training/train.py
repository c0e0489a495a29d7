"""A small training loop: `python -m snn_voice_hub.training.train RECIPE --data FOLDER --out RUN`.

The folder holds `train.tar`, `val.tar` and `background_noise.tar`. After each epoch the averaged weights
are measured on the validation speakers, and the best so far (by their loss, see `Validation`) are written to
`RUN/` as a checkpoint folder. The test speakers are never looked at here.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from snn_voice_hub.config import SILENCE, FeatureConfig, VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.features import Features
from snn_voice_hub.registry import build_network
from snn_voice_hub.training.augment import Augmenter
from snn_voice_hub.training.data import COVERED, Clips, load_clips_cached, load_noise
from snn_voice_hub.training.recipes import RECIPES, Recipe

logger = logging.getLogger(__name__)

# Kept out of training, so that false alarms on background noise can be measured.
HELD_OUT_NOISE = ("exercise_bike", "running_tap")


class Average:
    """Exponential moving average of a network's weights and buffers, with a short warm-up."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mean, value in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


class Teacher:
    """What a trained checkpoint would answer, for another network to learn from.

    It hears the same sound through its own front end, so a network on 4 kHz sound can learn from one that
    hears 16 kHz.

    Args:
        folder: Its checkpoint folder.
        labels: The student's labels.

    Raises:
        SnnVoiceError: The student has a label that the teacher does not know.
    """

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        config = VoiceConfig.load(folder / "config.json")
        unknown = [label for label in labels if label not in config.labels]
        if unknown:
            raise SnnVoiceError(
                f"{folder} can't teach {unknown[0]!r}", hint="a teacher has all labels of its student"
            )
        self.columns = [config.labels.index(label) for label in labels]
        self.features = Features(config.features)
        self.network = build_network(config)
        self.network.load_state_dict(load_file(folder / "model.safetensors"))
        self.network.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor) -> Tensor:
        """Probabilities `[B, C]` of the student's labels for waveforms `[B, N]`."""
        logits: Tensor = self.network(self.features(waveforms))
        return logits[:, self.columns].softmax(1)


class Sampler:
    """Draws clips so that rare words are heard more often than they occur."""

    def __init__(
        self, recorded: Clips, synthetic: Clips | None, labels: list[str], recipe: Recipe, seed: int
    ) -> None:
        self.sets = [recorded] if synthetic is None else [recorded, synthetic]
        self.targets = np.concatenate([[labels.index(word) for word in clips.labels] for clips in self.sets])
        weight = np.concatenate(
            [np.full(len(c), w) for c, w in zip(self.sets, (1.0, recipe.synthetic), strict=False)]
        )
        mass = np.bincount(self.targets, weights=weight, minlength=len(labels))
        self.chance = weight * mass[self.targets] ** (recipe.class_power - 1)
        self.chance /= self.chance.sum()
        self.rng = np.random.default_rng(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """`count` clips `[B, N]` and their class indices `[B]`."""
        picks = np.sort(self.rng.choice(len(self.chance), count, p=self.chance))
        first = len(self.sets[0])
        parts = [self.sets[0].batch(picks[picks < first])]
        if len(self.sets) > 1:
            parts.append(self.sets[1].batch(picks[picks >= first] - first))
        return torch.cat(parts), torch.from_numpy(self.targets[picks])


def measure_constants(config: FeatureConfig, clips: Clips, count: int = 4000) -> FeatureConfig:
    """Mean and deviation for "fixed" normalisation, over `count` training clips."""
    if config.normalization != "fixed":
        return config
    plain = Features(dataclasses.replace(config, feature_mean=0.0, feature_std=1.0))
    picks = np.random.default_rng(0).choice(len(clips), min(count, len(clips)), replace=False)
    values = torch.cat([plain(clips.batch(part)).flatten() for part in np.array_split(picks, 20)])
    return dataclasses.replace(
        config, feature_mean=round(values.mean().item(), 4), feature_std=round(values.std().item(), 4)
    )


@dataclasses.dataclass(frozen=True)
class Validation:
    """How a network does on the validation speakers.

    Attributes:
        top1: Share of clips that are right.
        covered: Its mean over the covered words (over all words where none of those is there).
        loss: Cross-entropy, averaged over the clips of a word and then over those words. The best epoch is
            chosen by it: where a word has seven clips, one of them moves its accuracy by a seventh.
    """

    top1: float
    covered: float
    loss: float


@torch.inference_mode()
def validate(network: nn.Module, features: Features, clips: Clips, labels: list[str]) -> Validation:
    """Measure a network on labelled clips."""
    targets = torch.tensor([labels.index(word) for word in clips.labels])
    logits = torch.cat([network(features(clips.batch(slice(i, i + 128)))) for i in range(0, len(clips), 128)])
    losses = functional.cross_entropy(logits, targets, reduction="none").numpy()
    right = (logits.argmax(1) == targets).numpy()
    words = np.array(clips.labels)
    heard = [word for word in COVERED if (words == word).any()] or sorted(set(clips.labels))
    return Validation(
        float(right.mean()),
        float(np.mean([right[words == word].mean() for word in heard])),
        float(np.mean([losses[words == word].mean() for word in heard])),
    )


def train(
    name: str,
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    synthetic: Path | None = None,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
    cache: Path | None = None,
    seed: int = 0,
    precision: str = "float32",
) -> None:
    """Train one recipe and keep the best weights of its epochs in `out`.

    Args:
        name: The checkpoint's name.
        recipe: How to train.
        data: Folder with `train.tar`, `val.tar`, `background_noise.tar`.
        out: Checkpoint folder to write.
        synthetic: Folder of synthetic clips, `word/clip.wav`.
        start: Checkpoint folder of the CNN twin, or of the same network, whose weights to start from.
        teachers: Checkpoint folders whose mean answer to imitate as well; their front ends may differ.
        cache: Where to keep decoded clips.
        seed: Seed of weights, sampling and augmentation.
        precision: "float32", or "bfloat16" for the convolutions' products (weights stay in float32).
    """
    torch.manual_seed(seed)
    recorded = load_clips_cached(data / "train.tar", cache)
    val = load_clips_cached(data / "val.tar", cache)
    made = load_clips_cached(synthetic, cache) if synthetic else None
    noises = [
        wave for key, wave in load_noise(data / "background_noise.tar").items() if key not in HELD_OUT_NOISE
    ]
    labels = sorted(set(recorded.labels)) + recipe.extra_labels
    config = VoiceConfig(
        architecture=recipe.architecture,
        network={**recipe.network, "num_classes": len(labels)},
        features=measure_constants(recipe.features, recorded),
        labels=labels,
        name=name,
        description=recipe.description,
        license="MIT",
        data=[
            {
                "name": "Speech Commands v0.02 (a part: 27,410 training clips)",
                "license": "CC-BY-4.0",
                "attribution": "Pete Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech "
                "Recognition, 2018",
                "url": "https://arxiv.org/abs/1804.03209",
            }
        ],
        training={
            **dataclasses.asdict(recipe),
            "features": None,
            "seed": seed,
            "precision": precision,
            "synthetic_clips": len(made) if made else 0,
            "start": start.name if start else None,
            "teachers": [teacher.name for teacher in teachers],
        },
    )
    config.training.pop("features")
    network = build_network(config)
    if start:
        adopt(network, load_file(start / "model.safetensors"))
        # A run that goes on from one of its own kind is only understood with what came before.
        earlier = VoiceConfig.load(start / "config.json")
        if earlier.architecture == recipe.architecture:
            config.training["before"] = earlier.training
    guides = [Teacher(folder, labels) for folder in teachers]
    features = Features(config.features)
    sampler = Sampler(recorded, made, labels, recipe, seed)
    augmenter = Augmenter(recipe.augmentation, noises, config.features.sample_rate, seed)
    average = Average(network, recipe.ema)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.lr,
    )
    steps = len(recorded) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.2
    )
    out.mkdir(parents=True, exist_ok=True)
    best = math.inf
    began = time.time()
    for epoch in range(recipe.epochs):
        network.train()
        losses = []
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = batch_loss(network, guides, features, sampler, augmenter, recipe, labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update(network)
            losses.append(loss.item())
        found = validate(average.network, features, val, labels)
        row = {"epoch": epoch + 1, "loss": float(np.mean(losses))}
        row |= {f"val_{name}": value for name, value in dataclasses.asdict(found).items()}
        row = {key: round(value, 4) for key, value in row.items()} | {
            "minutes": round((time.time() - began) / 60, 1)
        }
        logger.info("%s %s", name, json.dumps(row))
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")
        if found.loss < best:
            best = found.loss
            config.save(out / "config.json")
            save_file({k: v.contiguous() for k, v in average.network.state_dict().items()}, out / "part.tmp")
            (out / "part.tmp").replace(out / "model.safetensors")


def batch_loss(
    network: nn.Module,
    guides: Sequence[Teacher],
    features: Features,
    sampler: Sampler,
    augmenter: Augmenter,
    recipe: Recipe,
    labels: list[str],
) -> Tensor:
    """Draw and change one batch, and return its loss."""
    with torch.no_grad():
        quiet = round(recipe.silence * recipe.batch_size)
        waves, targets = sampler.draw(recipe.batch_size - quiet)
        waves = augmenter.waveforms(waves)
        if quiet:
            waves = torch.cat([waves, augmenter.silence(quiet, waves.shape[1])])
            targets = torch.cat([targets, torch.full((quiet,), labels.index(SILENCE))])
        x = augmenter.features(features(waves))
        wanted = torch.stack([guide(waves) for guide in guides]).mean(0) if guides else None
    logits = network(x)
    loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
    if wanted is None:
        return loss
    # Cross-entropy with the teacher's answers differs from their KL divergence by a constant.
    return (1 - recipe.distil) * loss + recipe.distil * functional.cross_entropy(logits, wanted)


def adopt(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Start from the weights of the CNN twin (whose blocks are `cnn.` where the SNN's are `snn.`)."""
    own = network.state_dict()
    taken = {
        key.replace("cnn.", "snn.", 1) if key not in own else key: value for key, value in weights.items()
    }
    for key, value in taken.items():
        if key in own and own[key].shape == value.shape:
            own[key] = value
        else:
            logger.warning("%s is not used", key)
    network.load_state_dict(own)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    for option in ("data", "out"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    for option in ("synthetic", "start", "cache"):
        parser.add_argument(f"--{option}", type=Path)
    parser.add_argument(
        "--teacher", type=Path, action="append", default=[], dest="teachers", help="may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the recipe",
    )
    given = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.pop("threads"))
    name = given.pop("recipe")
    changes = {key: json.loads(value) for key, value in (item.split("=", 1) for item in given.pop("set"))}
    train(name, dataclasses.replace(RECIPES[name], **changes), **given)


if __name__ == "__main__":
    main()
