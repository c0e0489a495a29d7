"""What a client is told of this service."""

from __future__ import annotations

from wyoming.info import Attribution, Info, WakeModel, WakeProgram

from snn_voice_lite._version import __version__
from snn_voice_lite.config import SPEECH_COMMANDS
from snn_voice_lite.listening import Listener
from snn_voice_lite.wyoming.offered import Vocabulary


def description_of(vocabulary: Vocabulary) -> Info:
    """The answer to `describe`: one program, whose models are the words."""
    return Info(
        wake=[
            WakeProgram(
                name="snn-voice",
                attribution=Attribution("The snn-voice-hub authors", ""),
                installed=True,
                description="Spoken words by spiking neural networks",
                version=__version__,
                models=[_described(word, voice) for word, voice in vocabulary.voice_of.items()],
            )
        ]
    )


def _described(word: str, voice: Listener) -> WakeModel:
    return WakeModel(
        name=word,
        attribution=Attribution(voice.config.title, ""),
        installed=True,
        description=word,  # Home Assistant shows it as the name of the wake word
        version=None,
        languages=["en"] if word in SPEECH_COMMANDS else [],
        phrase=word,
    )
