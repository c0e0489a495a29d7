"""What TensorBoard reads of a run, and a disk that is full while it is written."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.fitting.curves import Curves

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def shown(out: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of what TensorBoard draws."""
    board = EventAccumulator(str(out / "logs" / "tensorboard"))
    board.Reload()
    names = board.Tags()["scalars"]
    return {name: [(event.step, round(event.value, 6)) for event in board.Scalars(name)] for name in names}


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """No file may become longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, told)


def test_tensorboard_reads_it_at_once(tmp_path: Path) -> None:
    curves = Curves(tmp_path)
    curves.open(0)
    curves.add({"epoch": 0, "step": 9, "train_loss": 0.5})
    assert shown(tmp_path) == {"epoch": [(9, 0)], "train_loss": [(9, 0.5)]}
    curves.add({"epoch": 1, "step": 19, "train_loss": 0.25, "val_loss": 2})
    found = shown(tmp_path)
    assert found["train_loss"] == [(9, 0.5), (19, 0.25)]
    assert found["val_loss"] == [(19, 2.0)]


def test_what_a_run_forgot_does_not_count(tmp_path: Path) -> None:
    """It was cut off after step 19, and goes on from its state after 10 steps."""
    first = Curves(tmp_path)
    first.open(0)
    for step in (4, 9, 14, 19):
        first.add({"epoch": 0, "step": step, "train_loss": 1.0})
    again = Curves(tmp_path)
    again.open(10)
    again.add({"epoch": 0, "step": 14, "train_loss": 0.5})
    assert shown(tmp_path)["train_loss"] == [(4, 1.0), (9, 1.0), (14, 0.5)]


def test_a_full_disk_is_one_error_and_no_traceback_beside_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    curves = Curves(tmp_path)
    with room_for(20), pytest.raises(SnnVoiceError, match="can't be written"):
        curves.open(0)
    curves.open(0)
    curves.add({"epoch": 0, "step": 9, "train_loss": 0.5})
    (path,) = (path for path in (tmp_path / "logs" / "tensorboard").iterdir() if path.stat().st_size)
    before = path.read_bytes()
    with room_for(len(before) + 20), pytest.raises(SnnVoiceError, match="can't be written"):
        curves.add({"epoch": 1, "step": 19, "train_loss": 0.25})
    assert path.read_bytes() == before, "half a record"
    curves.add({"epoch": 1, "step": 29, "train_loss": 0.125})
    curves.write([])
    curves.close()
    assert shown(tmp_path)["train_loss"] == [(9, 0.5), (29, 0.125)]
    assert capfd.readouterr().err == ""
