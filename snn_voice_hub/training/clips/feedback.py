"""What a user says of a model that listened: what it heard and nobody said, and what it did not hear.

A folder (or a tar of one) with a folder "false", clips in which it heard a word that was not said, as
`snn-voice listen --save` keeps them, in folders or not; and a folder "missed" with a folder of clips for each
word that it missed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from snn_voice_lite.visible import visible

from snn_voice_hub.config import UNKNOWN, is_word
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.notation import some
from snn_voice_hub.training.clips.cutting import joined
from snn_voice_hub.training.clips.data import Clips, decode
from snn_voice_hub.training.clips.items import Item, items_of
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.clips.splits import by_word

FALSE: Final = "false"
MISSED: Final = "missed"

_HINT = (
    f"{FALSE}/ with clips in which no word was said, {MISSED}/word/ with clips of words that were not heard"
)


def check_feedback(source: Path) -> None:
    """See that a folder of feedback is there, before minutes of decoding.

    Raises:
        SnnVoiceError: It is not, or it is a folder with neither of the two inside.
    """
    if not source.exists():
        raise SnnVoiceError(f"{source} does not exist", hint=f"a folder with {_HINT}")
    if source.is_dir() and not any((source / name).is_dir() for name in (FALSE, MISSED)):
        raise SnnVoiceError(f"{source} has neither {FALSE}/ nor {MISSED}/", hint=_HINT)


def read_feedback(
    source: Path, labels: Collection[str], *, sample_rate: int = 16_000, num_samples: int = 16_000
) -> Clips:
    """Decode a folder of feedback.

    Args:
        source: The folder, or a tar of one.
        labels: Of the model that learns from it.
        sample_rate: Rate in Hz to resample to.
        num_samples: Length to pad or cut to, in samples.

    Returns:
        Clips of words, and of `_unknown_`: what was taken for a word and is none.

    Raises:
        SnnVoiceError: It is not there, holds no readable clip, has something else inside, or clips of a word
            that is none of the model's.
    """
    check_feedback(source)
    words = {unicodedata.normalize("NFC", label): label for label in labels if is_word(label)}

    def items() -> Iterator[Item]:
        for item in items_of(source, lists=()):
            top, *inside = PurePosixPath(item.name).parts
            if top == FALSE:
                yield item._replace(word=UNKNOWN)
            elif top != MISSED:
                what = f"{source}/{visible(item.name)} is neither in {FALSE}/ nor in {MISSED}/"
                raise SnnVoiceError(what, hint=_HINT)
            elif len(inside) < 2:
                yield item._replace(word="")
            else:
                word = unicodedata.normalize("NFC", inside[0])
                if word not in words:
                    raise SnnVoiceError(
                        f"{source}/{MISSED}: {visible(word)!r} is none of the words",
                        hint=some(list(words), 10),
                    )
                yield item._replace(word=words[word])

    clips = decode(items(), sample_rate=sample_rate, num_samples=num_samples, told=True).clips
    if not len(clips):
        reason = f" ({clips.skipped[0][0]}: {clips.skipped[0][1]})" if clips.skipped else ""
        raise SnnVoiceError(f"{source} holds no readable clip{reason}", hint=_HINT)
    return clips


def with_feedback(dataset: Dataset, feedback: Clips, share: float) -> Dataset:
    """Add feedback to labelled clips.

    Args:
        dataset: Clips of words.
        feedback: Of `read_feedback`, of the same rate and length.
        share: How much of it is kept to validate with, a clip of each label at least, where there are two.
    """
    kept = by_word(feedback.names, feedback.labels, share)
    learned, judged = (
        feedback.pick([i for i, own in enumerate(kept) if own == part]) for part in (False, True)
    )
    false = feedback.labels.count(UNKNOWN)
    told = f"feedback ({false} false alarms, {len(feedback) - false} missed words)"
    return replace(
        dataset,
        train=joined(dataset.train, learned),
        val=joined(dataset.val, judged),
        skipped=[*dataset.skipped, *feedback.skipped],
        facts=[*dataset.facts, {"name": told}],
    )
