"""Answers of Whisper to the clips of a corpus, for `snn-voice train --teacher`.

`python -m snn_voice_hub.training.fitting.whisper --whisper FOLDER --data CORPUS --out answers.npz`

The encoder stays as it is; small networks on what it hears learn the words. To each clip that is learned
from, one answers that did not hear its speaker. docs/training.md says where the files come from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from snn_voice_lite.visible import visible
from torch import Tensor

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.notation import percent
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.data import Clips, load_clips
from snn_voice_hub.training.clips.sources import load_dataset
from snn_voice_hub.training.fitting.answers import SUFFIX, write_answers
from snn_voice_hub.training.fitting.whisper.encoder import Encoder, WhisperEncoder
from snn_voice_hub.training.fitting.whisper.head import Learning, heard, out_of_fold
from snn_voice_hub.training.measuring.metrics import fit_temperature
from snn_voice_hub.writing import check_target, write_whole

# How sure the answer to a clip is whose label is certain; a student learns little from one without doubt.
_CERTAIN = 0.95
# A clip is suspect whose own word has less than the first, and another one more than the second.
_OWN, _OTHER = 0.02, 0.9


@dataclass(frozen=True)
class Answered:
    """Answers to all clips.

    Attributes:
        labels: Words that were learned.
        names: Of the clips: those that were learned from, those to validate with, the others.
        log_probs: `[n, C]`, calibrated on the clips to validate with.
        right: Shares of right answers among the first two, by "train" (by heads that did not hear the
            speaker) and "val" (by the mean of all heads).
        suspects: A line for each clip to learn from whose label is probably wrong: its name, the
            probability of its word, the other word, the probability of that.
    """

    labels: list[str]
    names: list[str]
    log_probs: Tensor
    right: dict[str, float]
    suspects: list[str]


def answered(
    encoder: Encoder,
    train: Clips,
    val: Clips,
    also: Sequence[Clips] = (),
    *,
    learning: Learning | None = None,
    tell: bool = False,
) -> Answered:
    """Let an encoder hear clips, and heads on it answer to them.

    Args:
        encoder: Hears.
        train: What the heads learn from.
        val: What tells how good they are, and calibrates them; of the words of `train`.
        also: More clips to answer to.
        learning: How the heads learn.
        tell: Whether to tell on standard error how far it is.

    Raises:
        SnnVoiceError: There are too few speakers.
    """
    labels = sorted(set(train.labels))
    index = {label: i for i, label in enumerate(labels)}
    sets = [train, val, *also]
    count, done = sum(map(len, sets)), 0
    hears = []
    for clips in sets:
        hears.append(heard(encoder, clips, lambda n, done=done: _tell(tell, "heard", done + n, count)))  # type: ignore[misc]
        done += len(clips)
    targets = torch.tensor([index[word] for word in train.labels], device="cpu")
    own, others = out_of_fold(
        hears[0],
        train.names,
        targets,
        hears[1:],
        len(labels),
        learning=learning,
        progress=lambda n: _tell(tell, "learned", n, 0),
    )
    known = torch.tensor([index[word] for word in val.labels], device="cpu")
    # Scores of heads that saw smoothed labels are too modest; students are to learn what they are worth.
    temperature = fit_temperature(others[0], known)
    own, *others = ((scores / temperature).log_softmax(1) for scores in (own, *others))
    right = {
        "train": float((own.argmax(1) == targets).double().mean()),
        "val": float((others[0].argmax(1) == known).double().mean()),
    }
    names = [name for clips in sets for name in clips.names]
    return Answered(labels, names, torch.cat([own, *others]), right, _suspects(train, own, targets, labels))


def _suspects(clips: Clips, answers: Tensor, targets: Tensor, labels: Sequence[str]) -> list[str]:
    best = answers.exp().max(1)
    own = answers.exp().gather(1, targets[:, None])[:, 0]
    return [
        f"{visible(clips.names[i])}\t{own[i]:.4f}\t{visible(labels[int(best.indices[i])])}\t{best.values[i]:.4f}"
        for i in torch.nonzero((own < _OWN) & (best.values > _OTHER))[:, 0].tolist()
    ]


def certain(clips: Clips, labels: Sequence[str]) -> Tensor:
    """Answers `[n, C]`, log-probabilities, to clips that hold what they are called, such as synthetic ones.

    Raises:
        SnnVoiceError: One holds a word that is not learned.
    """
    if strange := sorted(set(clips.labels) - set(labels)):
        raise SnnVoiceError(
            f"{visible(strange[0])!r} is none of the words to learn", hint=f"folders named {labels[0]}, …"
        )
    index = {label: i for i, label in enumerate(labels)}
    answers = torch.full((len(clips), len(labels)), (1 - _CERTAIN) / max(1, len(labels) - 1), **FLOAT32)
    for row, word in zip(answers, clips.labels, strict=True):
        row[index[word]] = _CERTAIN
    return answers.log()


def _tell(wanted: bool, what: str, done: int, count: int) -> None:
    if wanted:
        print(f"\r{what} {done}{f' of {count} clips' if count else ' heads'}", end="", file=sys.stderr)
        if done == count or not count:
            print(file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("--whisper", type=Path, required=True, help="folder: Whisper in CTranslate2's format")
    parser.add_argument("--data", required=True, help="as for snn-voice train")
    parser.add_argument("--val", type=Path, help="as for snn-voice train")
    parser.add_argument(
        "--also", type=Path, action="append", default=[], help="more clips to answer to; may be repeated"
    )
    parser.add_argument(
        "--certain",
        type=Path,
        action="append",
        default=[],
        help="more clips whose label is certain, and is the answer; may be repeated",
    )
    parser.add_argument("--out", type=Path, required=True, help=f"a file that ends in {SUFFIX}")
    parser.add_argument("--suspects", type=Path, help="file for clips whose label is probably wrong")
    parser.add_argument("--cache", type=Path, help="folder for decoded clips")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    given = parser.parse_args(argv)
    try:
        _run(given)
    except SnnVoiceError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


def _run(given: argparse.Namespace) -> None:
    if given.out.suffix != SUFFIX:
        raise SnnVoiceError(f"--out {given.out} does not end in {SUFFIX}", hint=f"answers{SUFFIX}")
    for path in (given.out, given.suspects):
        if path is not None:
            check_target(path)
    # What is missing is to be told before minutes of decoding.
    encoder = WhisperEncoder(given.whisper, given.threads)
    dataset = load_dataset(given.data, val=given.val, cache=given.cache)
    also = [load_clips(source, given.cache) for source in given.also]
    sure = [load_clips(source, given.cache) for source in given.certain]
    told = [certain(clips, sorted(set(dataset.train.labels))) for clips in sure]
    found = answered(encoder, dataset.train, dataset.val, also, tell=True)
    names = [*found.names, *(name for clips in sure for name in clips.names)]
    log_probs = torch.cat([found.log_probs, *told])
    write_answers(given.out, encoder.name, names, found.labels, log_probs.numpy())
    if given.suspects is not None:
        write_whole(given.suspects, "".join(f"{line}\n" for line in found.suspects))
    train, val = (percent(found.right[part]) for part in ("train", "val"))
    print(
        f"{given.out}: {encoder.name} answers to {len(names)} clips; {train} of those to learn "
        f"from and {val} of those to validate with are right, {len(found.suspects)} labels are suspect"
    )


if __name__ == "__main__":
    main()
