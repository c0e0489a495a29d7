"""What a run leaves on the disk while it goes on: its state, its best weights, its curve."""

from __future__ import annotations

import json
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

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.checkpoints import write_checkpoint
from snn_voice_hub.registry import describe_network
from snn_voice_hub.training.files import GO_ON, LOG, STATE, first_process
from snn_voice_hub.training.module import Spotter
from snn_voice_hub.writing import write_whole

Row = dict[str, float]


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
        config: The checkpoint's configuration.
        every: Seconds after which the state is kept in the middle of an epoch.
        on_epoch: Is told each row of the curve.

    Attributes:
        best: The row of the best epoch.
        stopped: Why the run ended before its last epoch; "" if it did not.
    """

    def __init__(
        self, out: Path, config: VoiceConfig, every: float, on_epoch: Callable[[Row], None] | None = None
    ) -> None:
        self.out = out
        self.best: Row = {}
        self.stopped = ""
        self._config = config
        self._every = every
        self._on_epoch = on_epoch
        self._kept = time.monotonic()
        self._asked = False

    # Lightning keeps these with the rest of the state.

    def state_dict(self) -> dict[str, Any]:
        """See Lightning."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See Lightning."""
        self.best = state_dict["best"]

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the weights if they are the best so far, and the curve."""
        assert isinstance(pl_module, Spotter)
        row = pl_module.history[-1]
        number = math.isfinite(row["val_loss"])
        better = number and (not self.best or row["val_loss"] < self.best["val_loss"])
        if better:
            self.best = dict(row)
        if trainer.is_global_zero:
            if better:
                weights = pl_module.average.network.state_dict()
                write_checkpoint(self.out, self._config, weights, describe_network(self._config).state_dict())
            curve = "".join(f"{json.dumps(line)}\n" for line in pl_module.history)
            write_whole(self.out / LOG, curve, hint=GO_ON)
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

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Keep the state if it is time, or if the run is to end."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return  # Lightning would not validate after going on from here; the end of the epoch is near
        if self._asked:
            self._keep(trainer)
            raise Interrupted
        if time.monotonic() - self._kept > self._every:
            self._keep(trainer)

    def _keep(self, trainer: lightning.Trainer) -> None:
        path = self.out / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            trainer.save_checkpoint(part)  # every process takes part in it
            if trainer.is_global_zero:
                part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)  # the state before it stays
            raise
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
