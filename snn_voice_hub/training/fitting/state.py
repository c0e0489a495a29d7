"""What a run goes on from: two states, each with a digest of itself, and which of them can be taken."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO
from snn_voice_lite.visible import module_logger

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.choice import CONFIG_FILE, JOB_FILE, WEIGHTS_FILE
from snn_voice_hub.tensors import as_usual
from snn_voice_hub.training.fitting.folder import LOG, STATE, TABLE, first_process
from snn_voice_hub.training.fitting.job import Told, differences, read_job, refuse_other
from snn_voice_hub.writing import is_part, replacing

logger = module_logger(__name__)

_BEFORE = STATE.with_name("before.ckpt")
# At the end of each state: a digest of all that stands before it. PyTorch's reader passes over it.
_SEAL = b"\nsha256 "
_SEAL_BYTES = len(_SEAL) + 64
_ANEW = "train in another folder"


@dataclass(frozen=True)
class RunState:
    """A state that is whole.

    Attributes:
        path: Its file.
        content: Lightning's checkpoint.
    """

    path: Path
    content: dict[str, Any]

    @property
    def run(self) -> Told:
        """What was noted of its run."""
        run: Told = self.content["run"]
        return run

    @property
    def steps(self) -> int:
        """Steps that were taken."""
        return int(self.content["global_step"])


@dataclass(frozen=True)
class FinishedRun:
    """What a run that is over has noted of itself.

    Attributes:
        best_epoch: See `Fitted`.
        stopped: See `Fitted`.
        files: Digests of what must not have changed since.
    """

    best_epoch: int
    stopped: str
    files: dict[str, str]

    @classmethod
    def of(cls, out: Path, best_epoch: int, stopped: str) -> FinishedRun:
        """Of a run's folder in which everything is written.

        Raises:
            OSError: A file can't be read.
        """
        files = (CONFIG_FILE, WEIGHTS_FILE, LOG, TABLE)
        return cls(best_epoch, stopped, {name: _digest(out / name) for name in files})


@dataclass(frozen=True)
class Standing:
    """How a run in a folder stands.

    Attributes:
        state: What to go on from; None at the beginning.
        made: What it has made, if it is over.
        note: What the user should know of it.
    """

    state: RunState | None = None
    made: FinishedRun | None = None
    note: str = ""


class States(CheckpointIO):
    """Keeps the newest state of a run and the one before it.

    Args:
        state: What to go on from, which Lightning asks for once.
    """

    def __init__(self, state: RunState | None) -> None:
        self._first = state

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a state; the one that was the newest becomes the one before it.

        Raises:
            OSError: It can't be written; both that were there stay.
        """
        last = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with replacing(last) as part:
            with part.open("wb") as file:
                file.write(content.getbuffer())
                file.write(_seal(content.getbuffer()))
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave a name without its content
            if last.exists():
                last.replace(last.with_name(_BEFORE.name))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The state to go on from."""
        state, self._first = self._first, None
        assert state is not None
        return state.content

    def remove_checkpoint(self, path: Any) -> None:
        """See Lightning; nothing here is removed by it."""


def settle(out: Path, stands: Standing) -> None:
    """Make the state that a run goes on from the newest one, so that no damaged one takes its place.

    Args:
        out: The run's folder, in which nobody else trains.
        stands: How the run stands; its note is told.

    Raises:
        SnnVoiceError: Something is in the way.
        OSError: It can't be written.
    """
    for path in (out / STATE, out / _BEFORE):
        if path.is_dir():
            raise SnnVoiceError(f"{path} is a folder, where a state belongs", hint="move it away")
    for path in (*out.iterdir(), *(out / STATE).parent.iterdir(), *(out / TABLE).parent.glob("*")):
        if is_part(path.name):  # of a process that was killed
            path.unlink()
    if stands.note:
        logger.warning("%s: %s", out, stands.note)
    if stands.state is not None and stands.state.path.name == _BEFORE.name:
        stands.state.path.replace(out / STATE)


def forget(out: Path) -> None:
    """Delete the states of a run from which nobody can go on."""
    for path in (out / STATE, out / _BEFORE):
        path.unlink(missing_ok=True)


# --- how a run stands -----------------------------------------------------------------------------


def standing(out: Path, wanted: Told, resume: bool) -> Standing:
    """See how far a run has come, and that it is the wanted one; nothing is changed.

    A run that failed before it kept a state or a checkpoint holds nothing: another one may take its place.

    Args:
        out: The run's folder.
        wanted: What the run is to be.
        resume: Whether to go on with it.

    Raises:
        SnnVoiceError: The folder holds another run, or other things, or what can't be gone on from.
    """
    noted = read_job(out)
    kept = [path for path in (out / STATE, out / _BEFORE) if os.path.lexists(path)]
    begun = bool(kept) or (os.path.lexists(out / JOB_FILE) and os.path.lexists(out / CONFIG_FILE))
    if not first_process():  # of several, the first one has seen to the rest
        return Standing(_newest(kept, wanted, []) if resume else None, _over(out, noted) if noted else None)
    if not begun:
        _refuse_other_things(out)
        return Standing()
    if not resume:
        raise SnnVoiceError(f"{out} holds a run already", hint="resume it, or another folder")
    if noted is not None:
        refuse_other(out, noted, wanted)
        if (made := _over(out, noted)) is not None:
            return Standing(made=made)
    damage: list[str] = []
    state = _newest(kept, wanted if noted is not None else None, damage)
    if state is not None:
        refuse_other(out, state.run, wanted)
    return Standing(state, note=_note(out, noted, state, kept, damage))


def _note(out: Path, noted: Told | None, state: RunState | None, kept: list[Path], damage: list[str]) -> str:
    """What was damaged.

    Raises:
        SnnVoiceError: Nothing is left to go on from.
    """
    job = "" if noted is not None else f"{JOB_FILE} is damaged or missing"
    lost = "; ".join([job] * bool(job) + damage)
    if state is not None:
        if lost:
            return f"{lost}; going on from {state.path.name}, step {state.steps}"
        gone = f"the newest state is missing; going on from the one before it, step {state.steps}"
        return gone if state.path.name == _BEFORE.name else ""
    if kept or job:
        again = f"delete {out / STATE.parent} and begin from the start with --resume, or "
        way = "" if noted is None or "made" in noted else again
        raise SnnVoiceError(f"the run in {out} can't be gone on with: {lost}", hint=f"{way}{_ANEW}")
    if noted is not None and "made" in noted:
        raise SnnVoiceError(f"what the run in {out} has made is missing, and its state too", hint=_ANEW)
    return "no state was kept; training begins from the start"


def _newest(kept: list[Path], wanted: Told | None, damage: list[str]) -> RunState | None:
    """The newest state that is whole, and of the wanted run if that is given."""
    for path in kept:
        try:
            state = _read(path)
        except ValueError as error:
            damage.append(f"{path.relative_to(path.parents[1])} {error}")
            continue
        if wanted is None or not any(differences(state.run, wanted)):
            return state
        damage.append(f"{path.relative_to(path.parents[1])} is of another run")
    return None


def _read(path: Path) -> RunState:
    """Read a state.

    Raises:
        ValueError: It is not what was written; the message goes on from its name.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError("is no file")
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    if content[-_SEAL_BYTES:] != _seal(content[:-_SEAL_BYTES]):
        raise ValueError("is damaged")
    try:
        with as_usual():
            return RunState(path, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError) as error:  # written by another PyTorch
        raise ValueError(f"can't be read: {error}") from error


def _over(out: Path, noted: Told) -> FinishedRun | None:
    """What a run has made, if it is over and all of that is there.

    Raises:
        SnnVoiceError: It is over, and something was changed since.
    """
    if "made" not in noted:
        return None
    made = FinishedRun(**noted["made"])
    if not all(os.path.lexists(out / name) for name in made.files):
        return None
    for name, digest in made.files.items():
        path = out / name
        try:
            same = path.is_file() and _digest(path) == digest  # opening a pipe would wait for ever
        except OSError:
            same = False
        if not same:
            can = any(os.path.lexists(kept) for kept in (out / STATE, out / _BEFORE))
            hint = "move it away and resume: it is made again from the state" if can else _ANEW
            raise SnnVoiceError(f"{path} is damaged or was changed", hint=hint)
    return made


def _refuse_other_things(out: Path) -> None:
    """Refuse a folder that is not empty, and has not been a run's.

    Raises:
        SnnVoiceError: It is one, or a file.
    """
    if out.exists() and not os.path.lexists(out / JOB_FILE):
        left = {inside.name for inside in out.iterdir()} if out.is_dir() else {out.name}
        # Of a run that could not write its first file, or was killed at it.
        if any(name != STATE.parts[0] and not is_part(name) for name in left):
            raise SnnVoiceError(f"{out} is not empty, and holds no run", hint="a new folder")


def _seal(content: memoryview) -> bytes:
    return _SEAL + hashlib.sha256(content).hexdigest().encode()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
