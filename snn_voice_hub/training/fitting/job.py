"""What a run is to become: its job, what `job.json` notes of it, and by what another run is told from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from snn_voice_lite.visible import visible

from snn_voice_hub.config import check_choice
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.hub.choice import JOB_FILE
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.fitting.answers import Answers, teacher_of
from snn_voice_hub.training.fitting.folder import SEAL, seal_of
from snn_voice_hub.training.fitting.recipe import Recipe
from snn_voice_hub.training.fitting.teaching import TrainedModel
from snn_voice_hub.writing import write_whole

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

# Of what is noted: one that understands it differently does not go on from it.
_FORMAT = 2

Told = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides what a run becomes, besides its clips.

    Attributes:
        name: The checkpoint's name.
        recipe: How to train; it is completed, see `Recipe.complete`.
        seed: Of weights, sampling and augmentation.
        precision: "float32", or "bfloat16" or "float16" for the products (weights stay in float32).
        start: The CNN twin, or the same network, whose weights to start from: a `TrainedModel`, or whatever
            `SnnVoice.from_pretrained` takes.
        teachers: Models whose mean answer to imitate as well, whose front ends may differ; or files of
            answers that a teacher gave before (`.npz`, see `training.fitting.answers`).
        freeze: Whether only the last layer is trained.
    """

    name: str
    recipe: Recipe
    seed: int = 0
    precision: str = "float32"
    start: TrainedModel | str | os.PathLike[str] | None = None
    teachers: tuple[TrainedModel | Answers | str | os.PathLike[str], ...] = ()
    freeze: bool = False

    def __post_init__(self) -> None:
        """Check every value, and find the checkpoints.

        Raises:
            CheckpointError: One of them is not there.
            ConfigError: A value is not legal, or the architecture is not known.
            SnnVoiceError: A file of answers is none.
        """
        check_choice("precision", self.precision, tuple(PRECISIONS))
        object.__setattr__(self, "recipe", self.recipe.complete())
        if self.freeze and self.start is None:
            raise ConfigError("freeze needs weights to start from", hint="start=, or without freeze")
        # Now, and once: minutes of decoding come before they are opened.
        object.__setattr__(self, "start", None if self.start is None else TrainedModel.of(self.start))
        object.__setattr__(self, "teachers", tuple(map(teacher_of, self.teachers)))

    @property
    def begins_with(self) -> TrainedModel | None:
        """Where `start` is."""
        return None if self.start is None else TrainedModel.of(self.start)

    @property
    def learns_from(self) -> list[TrainedModel | Answers]:
        """Where the `teachers` are."""
        return [teacher_of(teacher) for teacher in self.teachers]

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


# --- what is noted --------------------------------------------------------------------------------


def told(job: Job, dataset: Dataset, synthetic: Clips | None, negatives: Negatives | None = None) -> Told:
    """What `job.json` says of a run.

    Names and paths are for people: a run goes on where it was moved to, as do clips and models. What must
    not change is told by its content.
    """
    start = job.begins_with
    return {
        "format": _FORMAT,
        "name": job.name,
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "precision": job.precision,
        "start": start and start.path,
        "teachers": [teacher.path for teacher in job.learns_from],
        "freeze": job.freeze,
        "clips": {"train": len(dataset.train), "val": len(dataset.val), "split": dataset.rule},
        "content": {
            "start": start and start.digest(),
            "teachers": [teacher.digest() for teacher in job.learns_from],
            "train": _content(dataset.train),
            "val": _content(dataset.val),
            "synthetic": synthetic and _content(synthetic),
            "noises": _digest(dataset.noises, *(wave.numpy() for wave in dataset.noises.values())),
            "negatives": negatives and negatives.digest(),
        },
    }


def content_of(dataset: Dataset) -> str:
    """A digest of all clips, those to test with as well; the same wherever they are."""
    parts = [dataset.train, dataset.val, dataset.test]
    return _digest(
        [clips and _content(clips) for clips in parts],
        *(wave.numpy() for wave in dataset.noises.values()),
    )


def _content(clips: Clips) -> dict[str, Any]:
    """Words and sound of clips, in the order in which they are drawn; not what their files are called."""
    return {"count": len(clips), "words": _digest(clips.labels), "sound": _digest([], clips.waveforms)}


def _digest(words: Any, *arrays: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256(json.dumps(list(words)).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def refuse_other(out: Path, before: Mapping[str, Any], wanted: Told) -> None:
    """See that a run is the wanted one.

    Raises:
        SnnVoiceError: It is another one; the message says what differs.
    """
    for what in differences(before, wanted):
        raise SnnVoiceError(f"the run in {out} has another {what}", hint="resume with what it was begun with")


def differences(before: Mapping[str, Any], wanted: Told) -> Iterator[str]:
    """In what two runs differ, as far as it decides their weights."""
    if before.get("format") != wanted["format"]:
        yield "format: it was begun by another version of this package"
        return
    for name in ("recipe", "seed", "precision", "freeze"):
        old, new = before[name], wanted[name]
        if name == "recipe":
            old = _completed(old)
        if old != new:
            inside = next(_inside(old, new), "") if isinstance(old, dict) else f"{old}, not {new}"
            yield f"{name}: {visible(inside, 200)}"
    old, new = before["content"], wanted["content"]
    if old["start"] != new["start"]:
        yield f"start: the weights of {before['start']} are not those of {wanted['start']}"
    if old["teachers"] != new["teachers"]:
        yield f"teacher: {_names(before['teachers'])} are not {_names(wanted['teachers'])}"
    for part, title in (("train", "to learn from"), ("val", "to validate with"), ("synthetic", "synthetic")):
        if old[part] != new[part]:
            yield f"clips list: {_clips(old[part], new[part], title)}"
    if old["noises"] != new["noises"]:
        yield "clips list: other background recordings"
    if old.get("negatives") != new["negatives"]:
        yield "set of negatives: other sound, or none"


def _completed(recipe: Any) -> Any:
    """A recipe with the fields that are newer than it: their defaults change nothing."""
    try:
        return Recipe.from_dict(recipe).to_dict()
    except SnnVoiceError:  # of a newer version, say: all that can be told is that it is another one
        return recipe


def _names(paths: list[str]) -> str:
    return ", ".join(paths) or "none"


def _clips(old: Told | None, new: Told | None, title: str) -> str:
    counts = [0 if part is None else part["count"] for part in (old, new)]
    if old is None or new is None or counts[0] != counts[1]:
        return f"{counts[0]} clips {title}, not {counts[1]}"
    what = "words" if old["words"] != new["words"] else "sound"
    return f"the {counts[0]} clips {title} have other {what}"


def _inside(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Fields of a recipe that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _inside(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}={old}, not {new}"


# --- job.json -------------------------------------------------------------------------------------


def write_job(out: Path, noted: Told, hint: str) -> None:
    """Write `job.json`, with a digest of what stands in it.

    Raises:
        SnnVoiceError: It can't be written.
    """
    text = json.dumps(noted | {SEAL: seal_of(noted)}, indent=2)  # in ASCII, as paths may be no text
    write_whole(out / JOB_FILE, text + "\n", hint=hint)


def read_job(out: Path) -> Told | None:
    """What `job.json` says; None where it is not there, or not as it was written."""
    path = out / JOB_FILE
    if not path.is_file():  # opening a pipe would wait for ever
        return None
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        seal = noted.pop(SEAL, "")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None
    # What earlier versions wrote has no digest, and is refused by its format.
    earlier = not seal and "format" not in noted and "recipe" in noted
    return noted if earlier or seal == seal_of(noted) else None
