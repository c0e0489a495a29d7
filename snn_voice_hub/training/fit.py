"""One training run, from clips to a checkpoint folder; with Lightning."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snn_voice_hub.config import VoiceConfig, check_choice
from snn_voice_hub.errors import ConfigError, SnnVoiceError, needs_extra
from snn_voice_hub.features import Features
from snn_voice_hub.hub.checkpoints import write_config
from snn_voice_hub.hub.choice import CONFIG_FILE
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import get_architecture
from snn_voice_hub.tensors import as_usual
from snn_voice_hub.training.augment import HELD_OUT_NOISE
from snn_voice_hub.training.constants import measure_constants
from snn_voice_hub.training.conversion import convert
from snn_voice_hub.training.data import Clips
from snn_voice_hub.training.evaluate import calibrated
from snn_voice_hub.training.files import GO_ON, LOG, STATE, first_process
from snn_voice_hub.training.recipe import Recipe
from snn_voice_hub.training.sampling import Draw
from snn_voice_hub.training.sources import Dataset
from snn_voice_hub.training.teaching import Source, Teacher, adopt
from snn_voice_hub.visible import module_logger
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import write_whole, writing_into

if TYPE_CHECKING:
    from snn_voice_hub.training.keeping import Keeper

logger = module_logger(__name__)

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
JOB = "job.json"

# Features that were computed once are kept in memory up to so many bytes.
_CACHED_BYTES = 3 << 30
_KEEP_SECONDS = 120.0
_ELSEWHERE = "another folder, or the right to write there"
# Clips by which thresholds are set.
_TO_CONVERT = 512


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides what a run becomes, besides its clips.

    Attributes:
        name: The checkpoint's name.
        recipe: How to train.
        seed: Of weights, sampling and augmentation.
        precision: "float32", or "bfloat16" or "float16" for the products (weights stay in float32).
        start: The CNN twin, or the same network, whose weights to start from: a `Source`, or whatever
            `SnnVoice.from_pretrained` takes.
        teachers: Models whose mean answer to imitate as well; their front ends may differ.
        freeze: Whether only the last layer is trained.
    """

    name: str
    recipe: Recipe
    seed: int = 0
    precision: str = "float32"
    start: Source | str | os.PathLike[str] | None = None
    teachers: tuple[Source | str | os.PathLike[str], ...] = ()
    freeze: bool = False

    def __post_init__(self) -> None:
        """Check every value, and find the checkpoints.

        Raises:
            CheckpointError: One of them is not there.
            ConfigError: A value is not legal.
        """
        check_choice("precision", self.precision, tuple(PRECISIONS))
        if self.freeze and self.start is None:
            raise ConfigError("freeze needs weights to start from", hint="start=, or without freeze")
        # Now, and once: minutes of decoding come before they are opened.
        object.__setattr__(self, "start", None if self.start is None else Source.of(self.start))
        object.__setattr__(self, "teachers", tuple(map(Source.of, self.teachers)))

    @property
    def begins_with(self) -> Source | None:
        """Where `start` is."""
        return None if self.start is None else Source.of(self.start)

    @property
    def learns_from(self) -> list[Source]:
        """Where the `teachers` are."""
        return [Source.of(teacher) for teacher in self.teachers]

    def facts(self) -> dict[str, Any]:
        """What `config.json` says about the run."""
        facts = self.recipe.to_dict() | {
            "seed": self.seed,
            "precision": self.precision,
            "start": self.begins_with and self.begins_with.name,
            "teachers": [teacher.name for teacher in self.learns_from],
            "freeze": self.freeze,
        }
        del facts["features"]  # they stand in the configuration itself
        return facts


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


def fit(
    job: Job,
    dataset: Dataset,
    out: Path,
    *,
    synthetic: Clips | None = None,
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
    from snn_voice_hub.training.keeping import Interrupted, Keeper, alone
    from snn_voice_hub.training.module import Spotter

    with writing_into(out, _ELSEWHERE):
        told = _told(job, dataset)
        state = _state_of(out, told, resume)
    if (made := _over(out)) is not None:
        return made
    torch.manual_seed(job.seed)
    recipe = job.recipe
    words = sorted(set(dataset.train.labels))
    labels = words + [label for label in recipe.extra_labels if label not in words]
    architecture = get_architecture(recipe.architecture)
    architecture.check_front_end(recipe.features)
    network = architecture.from_arguments({**recipe.network, "num_classes": len(labels)})
    config = _config(job, dataset, network.arguments(), labels, synthetic)
    features = Features(config.features)
    if (start := job.begins_with) is not None:
        voice = start.open()
        earlier = voice.config
        unused = adopt(network, voice.network.state_dict(), labels, earlier.labels)
        if unused:
            logger.info("not used of %s: %s", start.name, ", ".join(unused))
        # A run that goes on from one of its own kind is only understood with what came before.
        if earlier.architecture == recipe.architecture:
            config.training["before"] = earlier.training
        elif recipe.threshold_percentile and isinstance(network, SpikingNetwork):
            found = convert(network, _some(features, dataset.train), recipe.threshold_percentile)
            config.training["thresholds"] = {name: float(f"{value:.4g}") for name, value in found.items()}
    spotter = Spotter(
        network,
        features,
        recipe,
        Draw(dataset.train, synthetic, labels, recipe, job.seed),
        dataset.val,
        labels,
        noises=_long_enough(dataset.noises, dataset.train),
        teachers=[Teacher(source, labels) for source in job.learns_from],
        cached=_computed_once(features, dataset.train, synthetic, job),
        freeze=job.freeze,
        done=_steps_taken(state),
    )
    keeper = Keeper(out, config, keep_every, on_epoch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator=accelerator,
            devices=devices,
            precision=PRECISIONS[job.precision],
            gradient_clip_val=recipe.gradient_clip or None,
            callbacks=[keeper],
            logger=_loggers(lightning, out),
            log_every_n_steps=10,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            use_distributed_sampler=False,  # `sampling.Share` does it
            num_sanity_val_steps=0,
        )
        try:
            with writing_into(out, _ELSEWHERE), keeper.listening(), alone(out):
                # Not before: what a run is refused for is mended in the same folder.
                if state is None and first_process():
                    write_whole(out / JOB, told, hint=_ELSEWHERE)
                with writing_into(out, GO_ON), as_usual():
                    trainer.fit(spotter, ckpt_path=state, weights_only=True)
        except Interrupted:
            raise KeyboardInterrupt from None
    if not keeper.best:
        if trainer.is_global_zero:
            (out / STATE).unlink(missing_ok=True)  # nobody can go on from it
        raise SnnVoiceError(
            "training diverged: no epoch had a finite validation loss", hint="a lower learning rate: lr"
        )
    if trainer.is_global_zero:
        with writing_into(out, GO_ON):
            _finish(out, dataset.val, keeper)
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


def _loggers(lightning: Any, out: Path) -> list[Any]:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    found: list[Any] = [CSVLogger(out, name="logs", version="csv")]
    if importlib.util.find_spec("tensorboard") is not None:
        found.append(TensorBoardLogger(out, name="logs", version="tensorboard"))
    return found


def _told(job: Job, dataset: Dataset) -> str:
    """What `job.json` says of a run."""
    told = json.loads(json.dumps(dataclasses.asdict(job), default=str))
    told["start"] = job.begins_with and job.begins_with.path
    told["teachers"] = [teacher.path for teacher in job.learns_from]
    told["clips"] = {"train": len(dataset.train), "val": len(dataset.val), "split": dataset.rule}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _state_of(out: Path, told: str, resume: bool) -> Path | None:
    """The state to go on from, if there is one and it is of this run.

    A run that failed before it kept a state or a checkpoint holds nothing: another one may take its place.

    Raises:
        SnnVoiceError: The folder holds another run, or other things.
    """
    state = out / STATE
    going_on = state if resume and state.exists() else None
    if not first_process():  # of several, the first one has seen to it
        return going_on
    path = out / JOB
    if state.exists() or (path.exists() and (out / CONFIG_FILE).exists()):
        if not resume:
            raise SnnVoiceError(f"{out} holds a run already", hint="resume it, or another folder")
        before, wanted = json.loads(path.read_text(encoding="utf-8")), json.loads(told)
        other = [name for name in wanted if before.get(name) != wanted[name]]
        if other:
            raise SnnVoiceError(
                f"the run in {out} has another {other[0]}", hint="resume with what it was begun with"
            )
        return going_on
    if out.exists() and not path.exists():
        left = {inside.name for inside in out.iterdir()} if out.is_dir() else {out.name}
        if left - {STATE.parts[0]}:  # of a run that could not write its first file
            raise SnnVoiceError(f"{out} is not empty, and holds no run", hint="a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return None


def _steps_taken(state: Path | None) -> int:
    if state is None:
        return 0
    return int(torch.load(state, map_location="cpu", weights_only=True)["global_step"])


def _config(
    job: Job, dataset: Dataset, network: dict[str, Any], labels: list[str], synthetic: Clips | None
) -> VoiceConfig:
    recipe = job.recipe
    features = recipe.features
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
    return torch.cat([features(c.batch(slice(i, i + 128))) for c in sets for i in range(0, len(c), 128)])


def _finish(out: Path, val: Clips, keeper: Keeper) -> None:
    """Calibrate the best weights, and note how the run went; a run without that note is not over."""
    voice = SnnVoice.from_pretrained(out, device="cpu", engine="torch")
    config = calibrated(voice, val)
    how = {"best_epoch": int(keeper.best["epoch"]), "stopped": keeper.stopped}
    write_config(out, dataclasses.replace(config, training={**config.training, **how}))


def _over(out: Path) -> Fitted | None:
    """What a run has made, if it is over."""
    path = out / CONFIG_FILE
    how = VoiceConfig.load(path).training if path.exists() else {}
    if "best_epoch" not in how:
        return None
    rows = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    return Fitted(out, rows, how["best_epoch"], how["stopped"])
