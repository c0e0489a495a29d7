"""`--words` and `--threshold` of the commands that listen, as they were typed."""

from __future__ import annotations

from collections.abc import Iterable

from snn_voice_lite.config import is_word
from snn_voice_lite.errors import SnnVoiceError


def words_of(given: Iterable[str] | None) -> list[str] | None:
    """What `--words` says; None for all words."""
    if given is None:
        return None
    return [word for part in given for word in part.split(",") if word]


def threshold_of(given: Iterable[str] | None, words: Iterable[str]) -> float | dict[str, float] | None:
    """What `--threshold` says: a score for all, for single words, or both; None for nothing.

    Args:
        given: As it was typed: "0.8", "stop=0.8".
        words: Those that are listened for, with or without labels that are none.

    Raises:
        SnnVoiceError: A part of it is no score.
    """
    overall: float | None = None
    single: dict[str, float] = {}
    for text in given or ():
        word, equals, score = text.rpartition("=")
        try:
            value = float(score)
        except ValueError as error:
            raise SnnVoiceError(f"--threshold {text} is not legal", hint="0.8, or stop=0.8") from error
        if equals:
            single[word] = value
        else:
            overall = value
    if overall is None or not single:
        return single or overall
    return {word: overall for word in words if is_word(word)} | single
