"""A teacher that is a file: its answers to the training clips, given once.

So a network can learn from what is too slow to ask at every step, or is no model of this package. The answers
are those to the clips as they lie in the corpus, however a step changes them.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.splits import clip_key
from snn_voice_hub.training.fitting.teaching import TrainedModel
from snn_voice_hub.writing import write_whole
from snn_voice_hub.zips import what_is_wrong

SUFFIX = ".npz"

_FORMAT = "arrays names [n], labels [C] and log_probs [n, C]"
_ARRAYS = ("names", "labels", "log_probs", "teacher")
# Unpacked; those of a million clips and a hundred words are a quarter of it.
_MOST_BYTES = 1 << 30
_MOST_CLIPS = 5_000_000
# No mass; finite, so that a mean of log-scores is one too.
_NEVER = -100.0


@dataclass(frozen=True)
class Answers:
    """What a teacher answered.

    Attributes:
        name: What it is called, for `config.json`: what the file says of its teacher, and the file's name.
        path: Its file.
        content: Digest of the answers.
        names: `word/file` of each clip; endings do not matter.
        labels: Words that the teacher knows.
        log_probs: Log-probabilities `[n, C]`; they need not be normalised.
    """

    name: str
    path: str
    content: str
    names: list[str] = field(compare=False, repr=False)
    labels: list[str] = field(compare=False, repr=False)
    log_probs: npt.NDArray[np.floating[Any]] = field(compare=False, repr=False)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """Read a file that `write_answers` wrote.

        Raises:
            SnnVoiceError: It can't be read, or holds something else; the message says what.
        """
        try:
            _check_size(path)
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in _ARRAYS if name in arrays.files}
        except SnnVoiceError:
            raise
        except OSError as error:
            raise SnnVoiceError(f"{path} can't be read: {error.strerror or error}") from error
        # For a damaged header NumPy raises nearly anything, of its own tokenizer, too.
        except Exception as error:
            raise SnnVoiceError(f"{path} is no file of answers", hint=f"a .npz with {_FORMAT}") from error
        _check(path, found)
        digest = hashlib.sha256()
        for name in ("names", "labels", "log_probs"):
            digest.update(f"{found[name].dtype} {found[name].shape}".encode())
            digest.update(np.ascontiguousarray(found[name]).data)
        said = str(found["teacher"]) if "teacher" in found else ""
        return cls(
            name=f"{said} ({path.name})" if said else path.name,
            path=str(path.resolve()),
            content=digest.hexdigest(),
            names=[str(name) for name in found["names"]],
            labels=[str(label) for label in found["labels"]],
            log_probs=found["log_probs"],
        )

    def digest(self) -> str:
        """Of the answers; the same wherever the file is."""
        return self.content

    def table(self, sets: Sequence[Clips], labels: Sequence[str]) -> Tensor:
        """The answers to clips, in their order.

        A clip is known by its word and its name without the ending. Of labels that the teacher does not know
        none gets any mass, so a clip of such a label has no answer.

        Args:
            sets: Clips, one set after the other.
            labels: The student's.

        Returns:
            Log-probabilities `[n, C]` of the student's labels; NaN in the row of a clip without an answer.

        Raises:
            SnnVoiceError: No clip has one.
        """
        rows = {clip_key(name): row for row, name in enumerate(self.names)}
        columns = [(i, self.labels.index(label)) for i, label in enumerate(labels) if label in self.labels]
        clips = [pair for one in sets for pair in zip(one.names, one.labels, strict=True)]
        table = torch.full((len(clips), len(labels)), torch.nan, **FLOAT32)
        known = set(self.labels)
        pairs = [
            (i, row)
            for i, (name, word) in enumerate(clips)
            if word in known and (row := rows.get(clip_key(name))) is not None
        ]
        if not pairs:
            raise SnnVoiceError(
                f"{self.path} answers none of the clips",
                hint="answers to clips of this corpus, by names such as yes/anna_1.wav",
            )
        scores = torch.full((len(pairs), len(labels)), -torch.inf, **FLOAT32)
        theirs = self.log_probs[np.array([row for _, row in pairs])].astype(np.float32)
        for own, other in columns:
            scores[:, own] = torch.from_numpy(theirs[:, other])
        # A row without any mass on these labels becomes NaN here, and is no answer.
        table[[i for i, _ in pairs]] = scores.log_softmax(1).clamp_min(_NEVER)
        return table


def write_answers(
    path: Path,
    teacher: str,
    names: Sequence[str],
    labels: Sequence[str],
    log_probs: npt.NDArray[np.floating[Any]],
) -> None:
    """Write a file of answers, float16.

    Args:
        path: A `.npz` file.
        teacher: Who answered, for the cards of those who learn from it.
        names: `word/file` of each clip.
        labels: Words that the teacher knows.
        log_probs: Log-probabilities `[n, C]`.

    Raises:
        SnnVoiceError: It can't be written, or these are no answers.
    """
    arrays = {"names": np.array(names, str), "labels": np.array(labels, str)}
    arrays |= {"log_probs": log_probs.astype(np.float16), "teacher": np.array(teacher)}
    _check(path, arrays)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    write_whole(path, packed.getvalue(), hint="another name")


def teacher_of(given: Answers | TrainedModel | str | os.PathLike[str]) -> Answers | TrainedModel:
    """Find a teacher: a file of answers, by its ending, or a checkpoint.

    Raises:
        SnnVoiceError: There is none, or it can't be read.
    """
    if isinstance(given, Answers | TrainedModel):
        return given
    path = Path(given)
    return Answers.read(path) if path.suffix == SUFFIX else TrainedModel.of(given)


def mixed_answers(answers: Tensor, other: Tensor, part: Tensor) -> Tensor:
    """Answers to clips that were mixed.

    Args:
        answers: Log-probabilities `[k, B, C]` of k teachers, NaN where there are none.
        other: Which clip each one was mixed with, `[B]`.
        part: Share of each clip itself, `[B]`; 1 where it was not mixed.

    Returns:
        The same of the mixture, by these shares.
    """
    share = part[:, None]
    mixture = (share * answers.exp() + (1 - share) * answers[:, other].exp()).log().clamp_min(_NEVER)
    return torch.where(share == 1, answers, mixture)


def agreed(live: Sequence[Tensor], answers: Tensor | None) -> tuple[Tensor, Tensor]:
    """What all teachers of a batch want.

    Where there are given answers, the mean of log-probabilities of all teachers counts; elsewhere the mean of
    what the live ones say.

    Args:
        live: Probabilities `[B, C]` of each teacher that heard the batch.
        answers: Log-probabilities `[k, B, C]` of k teachers that were asked before, NaN where they were not.

    Returns:
        Probabilities `[B, C]`, and which clips have any, `[B]`; one of both arguments must be there.
    """
    heard = torch.stack(list(live)) if live else None
    if answers is None:
        assert heard is not None
        return heard.mean(0), torch.ones(heard.shape[1], dtype=torch.bool, device=heard.device)
    known = ~answers.isnan().any(2)
    scores, count = answers.masked_fill(~known[:, :, None], 0.0).sum(0), known.sum(0)
    asked = count > 0
    if heard is None:
        return (scores / count.clamp_min(1)[:, None]).softmax(1), asked
    scores = scores + heard.log().clamp_min(_NEVER).sum(0)
    together = (scores / (count + len(heard))[:, None]).softmax(1)
    return torch.where(asked[:, None], together, heard.mean(0)), torch.ones_like(asked)


def _check_size(path: Path) -> None:
    """See that a file does not become more than there is room for; NumPy does not ask.

    Raises:
        SnnVoiceError: It does.
        OSError: It can't be read, or is no zip.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.removesuffix(".npy") in _ARRAYS]
    if wrong := what_is_wrong(entries, path.stat().st_size, _MOST_BYTES):
        raise SnnVoiceError(f"{path} is refused: {wrong}", hint=f"a .npz with {_FORMAT}")


def _is_text(array: object) -> bool:
    """Whether Python has a character for each number of an array of texts; NumPy reads any."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "U":
        return False
    numbers = np.ndarray(array.size * (array.dtype.itemsize // 4), f"{array.dtype.str[0]}u4", array.tobytes())
    return bool((numbers <= sys.maxunicode).all())


def _check(path: Path, found: dict[str, npt.NDArray[Any]]) -> None:
    """See that arrays are answers.

    Raises:
        SnnVoiceError: They are not.
    """

    def refuse(why: str) -> SnnVoiceError:
        return SnnVoiceError(f"{path} is no file of answers: {why}", hint=_FORMAT)

    for name in ("names", "labels", "log_probs"):
        if not isinstance(found.get(name), np.ndarray):  # what is no array comes as bytes
            raise refuse(f"it has no {name}")
    names, labels, scores = found["names"], found["labels"], found["log_probs"]
    if max(names.size, labels.size) > _MOST_CLIPS:
        raise refuse(f"{max(names.size, labels.size):,} names are more than {_MOST_CLIPS:,}")
    for name, texts in (("names", names), ("labels", labels)):
        if not _is_text(texts) or texts.ndim != 1:
            raise refuse(f"{name} is no list of texts")
    if not _is_text(found.get("teacher", np.array(""))):
        raise refuse("teacher is no text")
    if scores.dtype.kind != "f" or scores.shape != (len(names), len(labels)):
        raise refuse(f"log_probs {list(scores.shape)} are not {len(names)} times {len(labels)} numbers")
    if np.isnan(scores).any() or (scores > 1e-3).any():
        raise refuse("log_probs holds what is no logarithm of a probability")
    if len(set(labels)) < len(labels):
        raise refuse("two labels are the same")
    if len(set(map(clip_key, map(str, names)))) < len(names):
        raise refuse("two clips have the same name")
