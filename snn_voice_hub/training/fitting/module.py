"""One network in training, as Lightning sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from snn_voice_hub.config import UNKNOWN, is_word
from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.head import head_of
from snn_voice_hub.training.clips.corpus import COVERED
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.answers import agreed
from snn_voice_hub.training.fitting.augment import Augmenter
from snn_voice_hub.training.fitting.average import Average
from snn_voice_hub.training.fitting.chains import Chain, along
from snn_voice_hub.training.fitting.others import Others
from snn_voice_hub.training.fitting.recipe import Recipe
from snn_voice_hub.training.fitting.sampling import Draw, Order, Share, StepLoader, Steps
from snn_voice_hub.training.fitting.teaching import Teacher
from snn_voice_hub.training.measuring.metrics import mean_by_word, right_answers, top_shares

_VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Validation:
    """How a network does on clips that it does not learn from.

    Attributes:
        top1: Share of clips that are right.
        top2: Share of clips whose word is among the best two.
        top5: The same of the best five.
        covered: Mean of `top1` over the covered words (over all words where none of those is there).
        loss: Cross-entropy, averaged over the clips of a word and then over those words. The best epoch is
            chosen by it: where a word has seven clips, one of them moves its accuracy by a seventh. Where
            `_unknown_` is learned, its clips have the share that they have in training.
        unknown: Share of the clips of `_unknown_` that are taken for no word; None where there are none. They
            count in none of the other figures but the loss.
    """

    top1: float
    top2: float
    top5: float
    covered: float
    loss: float
    unknown: float | None = None


def validation_of(
    logits: Tensor, words: Sequence[str], labels: Sequence[str], unknown: float = 0.0
) -> Validation:
    """Measure logits `[n, C]` of n clips; every word must be among the labels.

    Args:
        logits: The answers.
        words: What is said.
        labels: The model's.
        unknown: Share of the clips of `_unknown_` in the loss; with 0, that is a label like others.
    """
    if unknown and UNKNOWN in words and set(words) != {UNKNOWN}:
        strange = torch.tensor([word == UNKNOWN for word in words], device="cpu")
        found = validation_of(logits[~strange], [word for word in words if word != UNKNOWN], labels)
        rest = logits[strange]
        target = torch.full((len(rest),), list(labels).index(UNKNOWN), device="cpu")
        loss = float(functional.cross_entropy(rest, target))
        is_one = torch.tensor([is_word(label) for label in labels], device="cpu")
        rejected = float((~is_one[rest.argmax(1)]).float().mean())
        loss = (1 - unknown) * found.loss + unknown * loss
        return replace(found, loss=loss, unknown=rejected)
    index = {label: i for i, label in enumerate(labels)}
    targets = torch.tensor([index[word] for word in words], device="cpu")
    losses = functional.cross_entropy(logits, targets, reduction="none").numpy()
    right = right_answers(logits, words, labels).numpy()
    names = np.array(words)
    heard = [word for word in COVERED if (names == word).any()] or sorted(set(words))
    return Validation(
        **top_shares(logits, words, labels),
        covered=mean_by_word(right, names, heard),
        loss=mean_by_word(losses, names, heard),
    )


class Spotter(lightning.LightningModule):
    """A network, its averaged weights, and how both are trained.

    Args:
        network: What is trained.
        features: Its front end.
        recipe: How.
        draw: Which clips.
        val: Clips to validate with.
        labels: The model's.
        noises: Background recordings, each `[N]`.
        music: Recordings of music, each `[N]`.
        rooms: Impulse responses `[n, M]`.
        others: Makes other speech.
        teachers: What else to learn from: they hear each batch.
        answers: Log-probabilities `[k, n, C]` that k teachers gave to each clip of `draw` before; NaN where
            they did not.
        cached: Features of each training clip, where they were computed once.
        freeze: Whether only the last layer is trained.
        done: Steps that were taken before, by the run that this one goes on from.

    Attributes:
        history: A row an epoch.
        losses: Of the steps of the present epoch.
        measured: The last validation's values; in the history they are rounded.
    """

    def __init__(
        self,
        network: nn.Module,
        features: Features,
        recipe: Recipe,
        draw: Draw,
        val: Clips,
        labels: Sequence[str],
        *,
        noises: Sequence[Tensor] = (),
        music: Sequence[Tensor] = (),
        rooms: Tensor | None = None,
        others: Others | None = None,
        teachers: Sequence[Teacher] = (),
        answers: Tensor | None = None,
        cached: Tensor | None = None,
        freeze: bool = False,
        done: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = Average(network, recipe.ema)
        self.features = features
        self.recipe = recipe
        self.history: list[dict[str, float]] = []
        self._draw, self._val, self._labels = draw, val, labels
        self._noises, self._music, self._rooms, self._others = list(noises), music, rooms, others
        self._teachers = list(teachers)  # a plain list: their weights are no part of this module's state
        self._no_words = [i for i, label in enumerate(labels) if not is_word(label)]
        # Those that say at each step what this network is to say, and those that only know windows.
        self._beside = [t for t in self._teachers if recipe.along and t.fits(network, features)]
        self._apart = [t for t in self._teachers if t not in self._beside]
        self._answers = answers
        self._cached = cached
        self.done = done
        self._head = head_of(network) if freeze else ""
        self._augmenter = self._new_augmenter()
        self.losses: list[float] = []
        self.measured: dict[str, float] = {}
        self._spent = 0.0
        self._begun = 0.0
        self._logits: list[Tensor] = []
        if freeze:
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith(f"{self._head}."))

    def _new_augmenter(self) -> Augmenter | None:
        settings = self.recipe.augmentation
        rate = self.features.config.sample_rate
        if settings is None:
            return None
        others = self._others
        return Augmenter(
            settings,
            self._noises,
            rate,
            self._draw.seed,
            music=self._music,
            rooms=self._rooms,
            speech=others.speech if others is not None and others.can_surround else None,
        )

    # --- data -------------------------------------------------------------------------------------

    def train_dataloader(self) -> StepLoader:
        """See Lightning."""
        share = Share(self.trainer.global_rank, self.trainer.world_size)
        augmenter = self._new_augmenter()
        steps = Steps(
            self._draw, augmenter, self.recipe, self._labels, share, self._cached, self._answers, self._others
        )
        return StepLoader(steps, sampler=Order(self._draw.steps, self.done), batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """See Lightning; every process validates with all clips."""
        return DataLoader(list(self._val.batches(_VALIDATION_BATCH)), batch_size=None)  # type: ignore[arg-type]  # a list is a data set

    # --- steps ------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """See Lightning."""
        for teacher in self._teachers:
            teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """See Lightning."""
        if self._head:  # what does not learn keeps its statistics as well
            for name, module in self.network.named_modules():
                if not name.startswith(self._head):
                    module.training = False
        self._begun = time.monotonic()

    def training_step(self, batch: dict[str, Any]) -> Tensor:
        """The loss of a batch."""
        torch.manual_seed(int(batch["seed"]))  # dropout draws too
        targets = batch["targets"]
        chain = self._chain(batch)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            told = None
            if "features" in batch:
                x = batch["features"]
            else:
                waves = batch["waves"]
                x = self._changed_features(waves, chain, int(batch["seed"]))
                if self._teachers or self._answers is not None:
                    told = agreed([teacher(waves) for teacher in self._teachers], batch.get("answers"))
        beside: Tensor | float = 0.0
        if chain is None:
            logits = self.network(x)
        else:
            assert isinstance(self.network, Framed)
            streams, running = len(x), self._running_features(batch)
            outputs = self.network.forward_steps(x if running is None else torch.cat([x, running]))
            if running is not None:
                beside = self.recipe.running * self._no_word(outputs[:, streams:])
                outputs = outputs[:, :streams]
            logits, between = chain.answers(outputs)
            beside = beside + self._along(chain, outputs)
            if between is not None and self._apart:
                beside = beside + self.recipe.between * self._between(chain, between)
        losses = functional.cross_entropy(
            logits,
            both(batch, logits.shape[1]),
            label_smoothing=self.recipe.label_smoothing,
            reduction="none",
        )
        if told is not None:
            wanted, known = told
            # Cross-entropy with the teacher's answers differs from their KL divergence by a constant.
            distil = self.recipe.distil * known.to(losses)
            losses = (1 - distil) * losses + distil * functional.cross_entropy(
                logits, wanted, reduction="none"
            )
        loss = losses.mean() + beside
        self.losses.append(float(loss.detach()))
        self.log("train_loss", self.losses[-1], prog_bar=True, logger=False, batch_size=len(targets))
        return loss

    def _chain(self, batch: dict[str, Any]) -> Chain | None:
        """The clips of a batch as streams, where the network is to learn from such."""
        network = self.network
        if self.recipe.chain == 1 or "waves" not in batch or not isinstance(network, Framed):
            return None
        return Chain.of(batch["waves"], self.recipe.chain, network.num_steps, int(batch["seed"]) ^ 2)

    def _changed_features(self, waves: Tensor, chain: Chain | None, seed: int) -> Tensor:
        changed: Callable[[Tensor], Tensor] = _unchanged
        if self._augmenter is not None:
            self._augmenter.reseed(seed ^ 1)
            changed = self._augmenter.features
        return changed(self.features(waves)) if chain is None else chain.spectrograms(self.features, changed)

    def _running_features(self, batch: dict[str, Any]) -> Tensor | None:
        """Spectrograms of other speech that goes on, if there is some."""
        if "running" not in batch:
            return None
        chain = Chain.going_on(batch["running"], self.recipe.chain)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self._changed_features(chain.waves, chain, int(batch["seed"]) ^ 4)

    def _no_word(self, outputs: Tensor) -> Tensor:
        """The loss of streams in which no word is said: outputs `[T, S, C]`."""
        assert isinstance(self.network, Framed)
        shares = along(outputs, self.network.num_steps).log_softmax(-1)
        return -shares[..., self._no_words].logsumexp(-1).mean()

    def _between(self, chain: Chain, logits: Tensor) -> Tensor:
        """The loss between clips, where the teachers alone know what is heard."""
        assert isinstance(self.network, Framed)
        config = self.features.config
        per_step = (
            self.network.frames_per_step * config.hop_length * config.sample_rate // config.feature_rate
        )
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            windows = chain.between(per_step)
            told = torch.stack([teacher(windows) for teacher in self._apart]).mean(0)
        return functional.cross_entropy(logits, told)

    def _along(self, chain: Chain, outputs: Tensor) -> Tensor | float:
        """The loss all along the streams, by the teachers that hear them as this network does."""
        assert isinstance(self.network, Framed)
        if not self._beside:
            return 0.0
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            told = torch.stack([teacher.along(chain.waves) for teacher in self._beside]).mean(0)
        logits = along(outputs, self.network.num_steps)
        return self.recipe.along * functional.cross_entropy(logits.flatten(0, 1), told.flatten(0, 1))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """See Lightning."""
        super().optimizer_step(*args, **kwargs)
        self.average.update(self.network)

    def validation_step(self, waves: Tensor) -> None:
        """Remember the averaged network's logits."""
        if self._begun:
            self._spent += time.monotonic() - self._begun
            self._begun = 0.0
        with torch.autocast(self.device.type, enabled=False):
            self._logits.append(self.average.network(self.features(waves)).float().cpu())

    def on_validation_epoch_end(self) -> None:
        """Add a row to the history."""
        found = validation_of(torch.cat(self._logits), self._val.labels, self._labels, self.recipe.unknown)
        self._logits = []
        clips = len(self.losses) * self.recipe.batch_size
        row = {"epoch": self.current_epoch + 1, "train_loss": float(np.mean(self.losses))}
        values = asdict(found).items()
        self.measured = {f"val_{name}": value for name, value in values if value is not None}
        row |= self.measured
        row |= {"seconds": self._spent, "clips_per_second": clips / max(self._spent, 1e-9)}
        self.history.append({key: round(value, 4) for key, value in row.items()})
        self.losses, self._spent = [], 0.0

    # --- state ------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See Lightning."""
        running = time.monotonic() - self._begun if self._begun else 0.0
        checkpoint["curve"] = {
            "history": self.history,
            "losses": self.losses,
            "spent": self._spent + running,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See Lightning."""
        curve = checkpoint["curve"]
        self.history, self.losses, self._spent = curve["history"], curve["losses"], curve["spent"]

    def configure_optimizers(self) -> Any:
        """See Lightning."""
        r = self.recipe
        learned = [p for p in self.network.parameters() if p.requires_grad]
        optimizer: torch.optim.Optimizer
        if r.optimizer == "adam":
            optimizer = torch.optim.Adam(learned, lr=r.lr, weight_decay=r.weight_decay)
        else:
            groups = [
                {"params": [p for p in learned if p.ndim > 1], "weight_decay": r.weight_decay},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ]
            optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=r.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            r.lr,
            total_steps=r.epochs * self._draw.steps,
            pct_start=r.pct_start,
            three_phase=r.three_phase,
            final_div_factor=r.final_div_factor,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _unchanged(x: Tensor) -> Tensor:
    return x


def both(batch: dict[str, Any], classes: int) -> Tensor:
    """Class indices `[B]`, or where clips are mixed the share of each class, `[B, C]`."""
    targets: Tensor = batch["targets"]
    if "others" not in batch:
        return targets
    first, second = (functional.one_hot(batch[name], classes).float() for name in ("targets", "others"))
    part: Tensor = batch["part"].unsqueeze(1)
    return part * first + (1 - part) * second
