"""How a model learns words of which there are synthetic clips, recordings, or both."""

from __future__ import annotations

import dataclasses
from typing import Final

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.training.fitting.recipe import Recipe
from snn_voice_hub.training.fitting.recipes import ROBUST, fine_tuning

# Where rooms are computed and there are few clips, all of it is heard more often; a codec takes time.
_AUGMENTATION: Final = dataclasses.replace(
    ROBUST, context=0.2, rir=0.3, music=0.1, babble=0.2, band=0.2, clipping=0.0, codec=0.0
)
# Of a batch.
_SILENCE: Final = 0.1
_LEAST_WORDS, _WORD, _MOST_WORDS = 0.3, 0.04, 0.6
_STEPS: Final = 80
_BATCH: Final = 64
_EPOCHS: Final = 10


def lesson_recipe(config: VoiceConfig, words: int, *, recorded: int, machines: int) -> Recipe:
    """What `fine_tuning` would do, for words that machines say and that are to be heard in a stream.

    Args:
        config: Of the checkpoint that it starts from.
        words: How many are taught. Most of what a microphone hears is none of them, so where there are one or
            two, most of a batch is other speech.
        recorded: Clips of people to learn from.
        machines: Clips of machines beside them.
    """
    base = fine_tuning(config, 100)
    bands = base.augmentation.bands if base.augmentation else 0
    frames = base.augmentation.frames if base.augmentation else 0
    return dataclasses.replace(
        base,
        silence=_SILENCE,
        unknown=1 - _SILENCE - min(_MOST_WORDS, _LEAST_WORDS + _WORD * words),
        augmentation=dataclasses.replace(_AUGMENTATION, bands=bands, frames=frames),
        epochs=_EPOCHS,
        batch_size=_BATCH,
        steps=_STEPS,
        # As many of one as of the other.
        synthetic=min(1.0, recorded / machines) if machines else 1.0,
        patience=0,
    )
