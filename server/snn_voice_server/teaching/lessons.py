"""What is to be learned, and within which limits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_server.failures import RequestError

# A word is the name of a folder, and a label. One that begins with _ would be a class, such as _unknown_.
_WORD: Final = re.compile(r"(?!_)\w[\w' -]*(?<! )")
# As `model=` and folders have it.
_NAME: Final = re.compile(r"(?!_)\w[\w.-]*")
_LONGEST: Final = 60


@dataclass(frozen=True)
class TeachLimits:
    """How much may be taught at once.

    Attributes:
        words: Words or phrases of a job.
        clips: Clips of each.
        max_bytes: Of all clips, packed as well as unpacked.
        seconds: That a job may take.
        memory_mb: That the training may hold, in megabytes.
        keep: Jobs whose folders and models are kept.
        folder: Where their folders are; None for a temporary one.
    """

    words: int = 20
    clips: int = 200
    max_bytes: int = 64_000_000
    seconds: float = 3600.0
    memory_mb: float = 6144.0
    keep: int = 10
    folder: Path | None = None


@dataclass(frozen=True)
class TeachRequest:
    """What a client wants to be learned.

    Attributes:
        words: Words or phrases; none where the clips' folders say them.
        said: How synthesisers say some of them, in the phonemes of CMUdict, as `snn-voice teach` takes it.
        archive: A zip of `word/speaker_nohash_0.wav`; b"" for none.
        synthetic: Whether synthesisers say the words: beside the clips, or alone where there are none.
        name: What the model is to be called; "" for a name made of the words.
    """

    words: tuple[str, ...] = ()
    archive: bytes = b""
    synthetic: bool = True
    name: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    def check(self, limits: TeachLimits) -> None:
        """Refuse what can't be learned, without a look at the clips.

        Raises:
            RequestError: A word or the name is not legal, or there is nothing to learn from.
        """
        for word in self.words:
            check_word(word)
        for word, sounds in self.said.items():
            _check_pronunciation(word, sounds)
        check_number_of_words(self.words, limits)
        if self.name and not (_NAME.fullmatch(self.name) and len(self.name) <= _LONGEST):
            raise RequestError(
                f"name={told(self.name)} is not legal",
                hint=f"letters, digits, - and ., a letter or digit first, at most {_LONGEST}",
                code="bad_name",
            )
        if not self.archive and not (self.words and self.synthetic):
            raise RequestError(
                "there is nothing to learn from",
                hint="send a zip of word/clip.wav, or words that synthesisers are to say: words=lumos",
                code="no_clips",
            )


def check_word(word: str) -> None:
    """Refuse what is no word.

    Raises:
        RequestError: It is none.
    """
    if not _WORD.fullmatch(word) or len(word) > _LONGEST:
        raise RequestError(
            f"{told(word)} can't be taught as a word",
            hint=f"letters, digits, spaces, - and ', a letter or digit first, at most {_LONGEST}",
            code="bad_word",
        )


def _check_pronunciation(word: str, sounds: str) -> None:
    from snn_voice_hub.training.voices.wishes import wishes  # brings what trains

    try:
        wishes([f"{word}={sounds}"])
    except SnnVoiceError as error:
        raise RequestError(error.message, hint=error.hint, code="bad_pronunciation") from error


def check_number_of_words(words: Collection[str], limits: TeachLimits) -> None:
    """Refuse more words than may be taught at once.

    Raises:
        RequestError: They are more.
    """
    if len(words) > limits.words:
        raise RequestError(
            f"{len(words)} words are more than this service teaches at once",
            hint=f"at most {limits.words}",
            code="too_many_words",
        )


def name_for(words: Sequence[str], taken: Collection[str]) -> str:
    """What a model of these words is called: `lumos-nox`, and `lumos-nox-2` where there is one."""
    slug = re.sub(r"[^\w.]+", "-", "-".join(words))[: _LONGEST - 5].strip("-._") or "words"
    name, number = slug, 1
    while name in taken:
        number += 1
        name = f"{slug}-{number}"
    return name


def told(text: str) -> str:
    """What a client sent, as it stands in a message: words of any language stay readable."""
    return f'"{text}"' if len(text) <= 80 else f'"{text[:77]}..."'
