"""What a run leaves on the disk while it goes on: its state, its best weights, its curves."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from filelock import FileLock, Timeout
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.checkpoints import write_checkpoint
from snn_voice_hub.registry import describe_network
from snn_voice_hub.training.fitting.curves import Curves, Row
from snn_voice_hub.training.fitting.folder import STATE, first_process
from snn_voice_hub.training.fitting.job import Told
from snn_voice_hub.training.fitting.module import Spotter

_LOG_EVERY = 10  # steps


class Interrupted(Exception):  # noqa: N818  (it has happened as was asked)
    """The run was asked to end, and its state is kept."""


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other commands out of a run's folder: two that train in one would mix their states.

    Args:
        out: The run's folder.

    Raises:
        SnnVoiceError: Another one trains there.
    """
    if not first_process():  # of several that belong together, the first one has seen to it
        yield
        return
    path = (out / STATE).with_name("lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SnnVoiceError(
            f"another process trains in {out}", hint="wait until it is done, or take another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


class Keeper(lightning.Callback):
    """Keeps the state of a run: after each epoch, every so often, and when it is asked to end.

    Args:
        out: The run's folder.
        run: What is noted of the run, to know its state by.
        config: The checkpoint's configuration.
        every: Seconds after which the state is kept in the middle of an epoch.
        on_epoch: Is told each row of the curve.

    Attributes:
        best: The row of the best epoch.
        stopped: Why the run ended before its last epoch; "" if it did not.
    """

    def __init__(
        self,
        out: Path,
        run: Told,
        config: VoiceConfig,
        every: float,
        on_epoch: Callable[[Row], None] | None = None,
    ) -> None:
        self.out = out
        self.best: Row = {}
        self.stopped = ""
        self._weights: dict[str, Tensor] = {}
        self._curves = Curves(out)
        self._run = run
        self._config = config
        self._every = every
        self._on_epoch = on_epoch
        self._kept = time.monotonic()
        self._asked = False

    # Lightning keeps these with the rest of the state, so that it needs no other file of the folder.

    def state_dict(self) -> dict[str, Any]:
        """See Lightning."""
        return {
            "best": self.best,
            "weights": self._weights,
            "stopped": self.stopped,
            "rows": self._curves.rows,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See Lightning."""
        self.best, self._weights = state_dict["best"], state_dict["weights"]
        self.stopped, self._curves.rows = state_dict["stopped"], state_dict["rows"]

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """See Lightning."""
        checkpoint["run"] = self._run

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Make the folder what it was when the state was kept that the run goes on from."""
        assert isinstance(pl_module, Spotter)
        if trainer.is_global_zero:
            self._curves.open(pl_module.done)
            if pl_module.done:
                self._curves.write(pl_module.history)
            if self.best:
                self._write_best()
        if self.stopped:
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the weights if they are the best so far, and the curve."""
        assert isinstance(pl_module, Spotter)
        row = pl_module.history[-1]
        number = math.isfinite(row["val_loss"])
        better = number and (not self.best or row["val_loss"] < self.best["val_loss"])
        if better:
            self.best = dict(row)
            weights = pl_module.average.network.state_dict()
            self._weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if trainer.is_global_zero:
            if better:
                self._write_best()
            self._curves.add(self._now(trainer) | pl_module.measured)
            self._curves.write(pl_module.history)
            if self._on_epoch is not None:
                self._on_epoch(row)
        patience = pl_module.recipe.patience
        if not number:
            trainer.should_stop = True
            self.stopped = f"in epoch {row['epoch']:.0f} the validation loss is no number"
        elif patience and row["epoch"] - self.best["epoch"] >= patience:
            trainer.should_stop = True
            self.stopped = f"no better validation loss for {patience} epochs"

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the state, and end the run if it is to end."""
        self._keep(trainer)
        if self._asked and not trainer.should_stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise Interrupted

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Keep the state if it is time, or if the run is to end."""
        assert isinstance(pl_module, Spotter)
        if trainer.is_global_zero and trainer.global_step % _LOG_EVERY == 0:
            self._curves.add(self._now(trainer) | {"train_loss": pl_module.losses[-1]})
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return  # Lightning would not validate after going on from here; the end of the epoch is near
        due = time.monotonic() - self._kept > self._every
        if self._asked or due:
            if trainer.is_global_zero:
                self._curves.write(pl_module.history)
            self._keep(trainer)
        if self._asked:
            raise Interrupted

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """See Lightning."""
        self._curves.close()

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        """See Lightning."""
        self._curves.close()

    def _now(self, trainer: lightning.Trainer) -> Row:
        return {"epoch": trainer.current_epoch, "step": trainer.global_step - 1}

    def _write_best(self) -> None:
        write_checkpoint(self.out, self._config, self._weights, describe_network(self._config).state_dict())

    def _keep(self, trainer: lightning.Trainer) -> None:
        path = self.out / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(path)  # every process takes part in it
        self._kept = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the run after the present step; a second one ends it at once."""

        def ask(number: int, _: object) -> None:
            if self._asked:
                os._exit(128 + number)
            self._asked = True

        before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                before[number] = signal.signal(number, ask)
            except ValueError:  # not the main thread: whoever runs this has signals of its own
                break
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
