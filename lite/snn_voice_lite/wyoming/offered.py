"""The words that are offered, and which model hears each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snn_voice_lite.config import is_word
from snn_voice_lite.errors import ConfigError
from snn_voice_lite.listening import Listener
from snn_voice_lite.streaming.detector import chosen_words
from snn_voice_lite.streaming.session import VoiceStream


class Vocabulary:
    """Words of one model or several; a word that several know is heard by the first of them.

    Args:
        voices: The models.
        words: What to offer; None for all their words.
        threshold: Score from which on a word counts, for all or for some; None for the models' own.

    Attributes:
        voice_of: Word -> model.

    Raises:
        ConfigError: A word is none of the models', or a threshold is not legal.
    """

    def __init__(
        self,
        voices: Sequence[Listener],
        words: Iterable[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
    ) -> None:
        known: dict[str, Listener] = {}
        for voice in voices:
            for word in filter(is_word, voice.config.labels):
                known.setdefault(word, voice)
        names = list(known)
        self.voice_of = {names[i]: known[names[i]] for i in chosen_words(names, words)}
        self._voices = list(voices)
        self._threshold = threshold
        if isinstance(threshold, Mapping) and (unknown := threshold.keys() - self.voice_of.keys()):
            what = f"threshold has {min(unknown)!r}, which is not listened for"
            raise ConfigError(what, hint=f"words are {', '.join(self.voice_of)}")
        self.streams(voices[0].config.features.sample_rate)

    def chosen(self, names: Iterable[str] | None) -> list[str]:
        """The words with these names; all for None.

        Raises:
            ConfigError: There is no such word.
        """
        words = list(self.voice_of)
        return [words[i] for i in chosen_words(words, names)]

    def is_resampled(self, sample_rate: int) -> bool:
        """Whether sound of this rate is resampled for any of the models."""
        return any(voice.config.features.sample_rate != sample_rate for voice in self._voices)

    def streams(self, sample_rate: int, words: Iterable[str] | None = None) -> list[VoiceStream]:
        """Streams that listen for some words, one for each model that knows any of them.

        Args:
            sample_rate: Of the sound, in Hz.
            words: The words; None for all.

        Raises:
            AudioError: The rate is not legal.
            ConfigError: There is no such word.
        """
        chosen, found = self.chosen(words), []
        for voice in self._voices:
            if own := [word for word in chosen if self.voice_of[word] is voice]:
                threshold = self._threshold
                if isinstance(threshold, Mapping):
                    threshold = {word: score for word, score in threshold.items() if word in own}
                found.append(
                    voice.stream(sample_rate=sample_rate, words=own, threshold=threshold, scores=False)
                )
        return found
