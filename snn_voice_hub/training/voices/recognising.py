"""Whether a clip can be understood: what Whisper writes down has to sound like the word."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snn_voice_hub.training.voices.neighbours import Phonemes, changes, ways_of
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase
from snn_voice_hub.training.voices.sound import Wave

# Of a word's phonemes, so many may be heard as others: Whisper spells as it likes what it does not know, and
# without a sentence around it it mistakes a sound of much that people understand.
_WRONG = 0.4
# Of what is written down, so many words count: it tends to repeat itself.
_WORDS = 6
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass
class Recogniser:
    """Hears clips.

    Attributes:
        name: Of who hears.
        transcribe: What is said in a clip `[N]` at 16 kHz, as text.
        lexicon: How words are said.
    """

    name: str
    transcribe: Callable[[Tensor], str]
    lexicon: Lexicon = field(default_factory=Lexicon)

    def hears(self, said: Phrase, wave: Wave) -> tuple[bool, str]:
        """Whether a clip holds what it should, and what was heard in it."""
        heard = self.transcribe(torch.from_numpy(wave))
        return alike(said, heard, self.lexicon), heard


def alike(said: Phrase, heard: str, lexicon: Lexicon) -> bool:
    """Whether a transcript begins with what sounds like what was to be said.

    Args:
        said: What was to be said.
        heard: A transcript.
        lexicon: How its words are said.
    """
    if _WORD.findall(heard.casefold())[: len(said.words)] == said.text.casefold().split():
        return True
    if not said.known:
        return False
    words = [lexicon.ways(word) for word in _WORD.findall(heard.casefold())[:_WORDS]]
    others = [*ways_of([ways for ways in words if ways])]
    return any(
        beginning(wanted, other) <= _WRONG * len(wanted) for wanted in ways_of(said.words) for other in others
    )


def beginning(wanted: Phonemes, heard: Phonemes) -> int:
    """How many phonemes have to be changed, added or left out, so that `heard` begins with `wanted`."""
    *_, last = [[len(wanted)], *changes(wanted, heard)]
    return min(last)
