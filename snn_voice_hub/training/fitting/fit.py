"""One training run, from clips to a checkpoint folder; with Lightning."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from snn_voice_lite.visible import module_logger
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.features import Features
from snn_voice_hub.hub.choice import CONFIG_FILE
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import get_architecture
from snn_voice_hub.tensors import as_usual
from snn_voice_hub.training.clips.corpus import HELD_OUT_NOISE
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.fitting.answers import Answers
from snn_voice_hub.training.fitting.channel import stacked
from snn_voice_hub.training.fitting.constants import measure_constants
from snn_voice_hub.training.fitting.conversion import convert
from snn_voice_hub.training.fitting.folder import GO_ON, LOG, first_process
from snn_voice_hub.training.fitting.job import PRECISIONS, Job, told, write_job
from snn_voice_hub.training.fitting.others import Others
from snn_voice_hub.training.fitting.recipe import Recipe
from snn_voice_hub.training.fitting.sampling import Draw
from snn_voice_hub.training.fitting.teaching import Teacher, adopt
from snn_voice_hub.training.measuring.evaluate import calibrated
from snn_voice_hub.training.measuring.listening import PointRule, with_point
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import writing_into

if TYPE_CHECKING:
    from snn_voice_hub.training.fitting.keeping import Keeper

logger = module_logger(__name__)

# Features that were computed once are kept in memory up to so many bytes.
_CACHED_BYTES = 3 << 30
_KEEP_SECONDS = 120.0
_ELSEWHERE = "another folder, or the right to write there"
# Clips by which thresholds are set.
_TO_CONVERT = 512


@dataclass(frozen=True)
class Fitted:
    """What a run has made.

    Attributes:
        folder: Checkpoint folder with the weights of the best epoch.
        history: A row an epoch: `epoch`, `train_loss`, `val_loss`, `val_top1`, `val_top2`, `val_top5`,
            `val_covered`, `seconds` (of training alone) and `clips_per_second`.
        best_epoch: The one with the lowest validation loss.
        stopped: Why training ended before its last epoch; "" if it did not.
    """

    folder: Path
    history: list[dict[str, float]]
    best_epoch: int
    stopped: str


def network_of(recipe: Recipe, num_classes: int) -> Network:
    """The network that a recipe asks for, with fresh weights.

    Raises:
        ConfigError: There is no such architecture, or it takes other arguments or other features.
    """
    architecture = get_architecture(recipe.architecture)
    architecture.check_front_end(recipe.front_end)
    return architecture.from_arguments({**recipe.network, "num_classes": num_classes})


def fit(
    job: Job,
    dataset: Dataset,
    out: Path,
    *,
    synthetic: Clips | None = None,
    negatives: Negatives | None = None,
    kept: Negatives | None = None,
    rule: PointRule | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    keep_every: float = _KEEP_SECONDS,
    progress: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """Train, and keep the weights of the best epoch with the temperature that fits them.

    Args:
        job: What to do.
        dataset: Clips to learn from, and clips to validate with.
        out: Folder of the run: the checkpoint, `log.jsonl`, Lightning's logs, and its state.
        synthetic: Clips of machines, which are drawn as well.
        negatives: Sound without the words: other speech, noise, music, rooms.
        kept: More of it that is not learned from: the operating point is chosen by it.
        rule: By what; None for the usual one.
        resume: Go on with the run in `out`, if there is one.
        accelerator: Lightning's: "auto", "cpu", "gpu", "mps".
        devices: How many of them; a batch is shared among them.
        keep_every: Seconds after which the state is kept in the middle of an epoch.
        progress: Whether to show a progress bar.
        on_epoch: Is told each row of the history.

    Returns:
        Where the checkpoint is, and how it went.

    Raises:
        SnnVoiceError: The folder holds another run, another process trains in it, it can't be written (a full
            disk: the state that was kept last stays), the clips do not fit the job, or training diverged.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state is kept.
    """
    lightning = load_lightning()
    from snn_voice_hub.training.fitting.keeping import Interrupted, Keeper, alone
    from snn_voice_hub.training.fitting.module import Spotter
    from snn_voice_hub.training.fitting.state import FinishedRun, States, forget, settle, standing

    noted = told(job, dataset, synthetic, negatives)
    with writing_into(out, _ELSEWHERE):
        stands = standing(out, noted, resume)
        if stands.made is not None:
            rows = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
            return Fitted(out, rows, stands.made.best_epoch, stands.made.stopped)
        out.mkdir(parents=True, exist_ok=True)
    state = stands.state
    torch.manual_seed(job.seed)
    recipe = job.recipe
    words = sorted(set(dataset.train.labels))
    labels = words + [label for label in recipe.extra_labels if label not in words]
    network = network_of(recipe, len(labels))
    config = _config(job, dataset, network.arguments(), labels, synthetic)
    features = Features(config.features)
    if (start := job.begins_with) is not None:
        voice = start.open()
        earlier = voice.config
        unused = adopt(network, voice.network.state_dict(), labels, earlier.labels)
        if unused:
            logger.info("not used of %s: %s", start.name, ", ".join(unused))
        if earlier.detection is not None and config.features.seconds == earlier.features.seconds:
            # Without negatives no other can be chosen; and where words are new, none of their own.
            point = dataclasses.replace(earlier.detection, thresholds={})
            config = dataclasses.replace(config, detection=point)
        # A run that goes on from one of its own kind is only understood with what came before.
        if earlier.architecture == recipe.architecture:
            config.training["before"] = earlier.training
        elif recipe.threshold_percentile and isinstance(network, SpikingNetwork):
            found = convert(network, _some(features, dataset.train), recipe.threshold_percentile)
            config.training["thresholds"] = {name: float(f"{value:.4g}") for name, value in found.items()}
    sets = [dataset.train] if synthetic is None else [dataset.train, synthetic]
    answers = [t.table(sets, labels) for t in job.learns_from if isinstance(t, Answers)]
    spotter = Spotter(
        network,
        features,
        recipe,
        Draw(dataset.train, synthetic, labels, recipe, job.seed),
        dataset.val,
        labels,
        noises=_long_enough(dataset.noises, dataset.train) + _recordings(negatives, "noise", dataset.train),
        music=_recordings(negatives, "music", dataset.train),
        rooms=stacked(negatives.rooms(), dataset.train.waveforms.shape[1]) if negatives else None,
        others=Others(dataset.train, negatives, labels, recipe.mixture),
        teachers=[Teacher(t, labels) for t in job.learns_from if not isinstance(t, Answers)],
        answers=torch.stack(answers) if answers else None,
        cached=_computed_once(features, dataset.train, synthetic, job),
        freeze=job.freeze,
        done=state.steps if state else 0,
    )
    keeper = Keeper(out, noted, config, keep_every, on_epoch)
    with ExitStack() as held:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer = lightning.Trainer(
                max_epochs=recipe.epochs,
                accelerator=accelerator,
                devices=devices,
                precision=PRECISIONS[job.precision],
                gradient_clip_val=recipe.gradient_clip or None,
                callbacks=[keeper],
                plugins=[States(state)],
                logger=False,  # the keeper does it, so that a run that goes on loses no row
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=progress,
                use_distributed_sampler=False,  # `sampling.Share` does it
                num_sanity_val_steps=0,
            )
            try:
                with writing_into(out, _ELSEWHERE), keeper.listening():
                    held.enter_context(alone(out))  # until all is written
                    # Not before: what a run is refused for is mended in the same folder.
                    if first_process():
                        settle(out, stands)
                        write_job(out, noted, _ELSEWHERE)
                    path = state and state.path
                    del state, stands  # as large as all that is trained
                    with writing_into(out, GO_ON), as_usual():
                        trainer.fit(spotter, ckpt_path=path, weights_only=True)
            except Interrupted:
                raise KeyboardInterrupt from None
        if not keeper.best:
            if trainer.is_global_zero:
                forget(out)  # nobody can go on from it
            raise SnnVoiceError(
                "training diverged: no epoch had a finite validation loss", hint="a lower learning rate: lr"
            )
        if trainer.is_global_zero:
            with writing_into(out, GO_ON):
                _finish(out, dataset, kept, rule or PointRule(), job.seed, keeper)
                made = FinishedRun.of(out, int(keeper.best["epoch"]), keeper.stopped)
                # From here on the run is over.
                write_job(out, noted | {"made": dataclasses.asdict(made)}, GO_ON)
    return Fitted(out, spotter.history, int(keeper.best["epoch"]), keeper.stopped)


def load_lightning() -> Any:
    """Lightning, or an error that says how to get it.

    Raises:
        MissingExtraError: It is not installed.
    """
    with needs_extra("training", "train", "Lightning", ("lightning",)):
        import lightning
    # What it says about accelerators and loggers is nothing that a user can act upon.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning


def _config(
    job: Job, dataset: Dataset, network: dict[str, Any], labels: list[str], synthetic: Clips | None
) -> VoiceConfig:
    recipe = job.recipe
    features = recipe.front_end
    if recipe.constants != "none" and features.normalization == "fixed":
        features = measure_constants(features, dataset.train, waveform=recipe.constants == "all")
    return VoiceConfig(
        architecture=recipe.architecture,
        architecture_package=package_of(get_architecture(recipe.architecture)),
        network=network,
        features=features,
        labels=labels,
        name=job.name,
        description=recipe.description,
        data=list(dataset.facts),
        training=job.facts()
        | {
            "clips": len(dataset.train),
            "validation_clips": len(dataset.val),
            "split": dataset.rule,
            "synthetic_clips": len(synthetic) if synthetic else 0,
        },
    )


@torch.no_grad()
def _some(features: Features, clips: Clips) -> list[Tensor]:
    """Features of a few hundred clips from everywhere in the set."""
    index = np.arange(0, len(clips), max(1, len(clips) // _TO_CONVERT))
    return [features(clips.batch(index[i : i + 64])) for i in range(0, len(index), 64)]


def _long_enough(noises: dict[str, Tensor], clips: Clips) -> list[Tensor]:
    """Recordings from which a piece of a clip's length can be taken anywhere."""
    length = clips.waveforms.shape[1] + 1
    heard = [wave for name, wave in noises.items() if name not in HELD_OUT_NOISE and bool(wave.any())]
    return [wave.repeat(-(-length // len(wave))) for wave in heard]


def _recordings(negatives: Negatives | None, kind: str, clips: Clips) -> list[Tensor]:
    """Noise or music of negatives, long enough as well; int16, as there may be hours of it."""
    length = clips.waveforms.shape[1] + 1
    waves = [sound.wave for sound in negatives.of_kind(kind)] if negatives else []
    return [torch.from_numpy(np.tile(w, -(-length // len(w)))) for w in waves if w.any()]


@torch.no_grad()
def _computed_once(features: Features, clips: Clips, synthetic: Clips | None, job: Job) -> Tensor | None:
    """The features of all clips, where no step changes the clips and there is room for them."""
    recipe = job.recipe
    if recipe.augmentation is not None or job.teachers or features.config.normalization == "batch":
        return None
    sets = [clips] if synthetic is None else [clips, synthetic]
    size = features(clips.batch(slice(0, 1))).numel() * 4
    if size * sum(map(len, sets)) > _CACHED_BYTES:
        return None
    return torch.cat([features(waves) for each in sets for waves in each.batches(128)])


def _finish(
    out: Path, dataset: Dataset, kept: Negatives | None, rule: PointRule, seed: int, keeper: Keeper
) -> None:
    """Calibrate the best weights, choose their operating point, and note how the run went."""
    voice = SnnVoice.from_pretrained(out, device="cpu", engine="torch")
    voice.config = calibrated(voice, dataset.val)
    if kept is not None:
        # Windows by the ten thousand: the fastest engine gives the same answers in a third of the time.
        voice.engine = "auto"
        heard = [wave.numpy() for name, wave in dataset.noises.items() if name not in HELD_OUT_NOISE]
        voice.config = with_point(voice, dataset.val, heard, kept, rule, seed)
    how = {"best_epoch": int(keeper.best["epoch"]), "stopped": keeper.stopped}
    config = voice.config
    dataclasses.replace(config, training={**config.training, **how}).save(out / CONFIG_FILE)
