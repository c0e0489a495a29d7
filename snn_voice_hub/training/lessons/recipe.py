"""How a model learns words of which there are synthetic clips, recordings, or both."""

from __future__ import annotations

import dataclasses
from typing import Final

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.training.fitting.recipe import Augmentation, Recipe
from snn_voice_hub.training.fitting.recipes import fine_tuning

_AUGMENTATION: Final = Augmentation(
    shift=0.2,
    speed=0.15,
    gain_db=(-30.0, 10.0),
    noise=0.6,
    snr_db=(0.0, 30.0),
    context=0.2,
    music=0.1,
    babble=0.2,
    band=0.2,
    rir=0.3,
)
_STEPS: Final = 40
_EPOCHS: Final = 16


def lesson_recipe(config: VoiceConfig, *, recorded: int, machines: int) -> Recipe:
    """What `fine_tuning` would do, for words that machines say and that are to be heard in a stream.

    Args:
        config: Of the checkpoint that it starts from.
        recorded: Clips of people to learn from.
        machines: Clips of machines beside them.
    """
    base = fine_tuning(config, 100)
    bands = base.augmentation.bands if base.augmentation else 0
    frames = base.augmentation.frames if base.augmentation else 0
    return dataclasses.replace(
        base,
        silence=0.1,
        unknown=0.3,
        augmentation=dataclasses.replace(_AUGMENTATION, bands=bands, frames=frames),
        epochs=_EPOCHS,
        steps=_STEPS,
        # As many of one as of the other.
        synthetic=min(1.0, recorded / machines) if machines else 1.0,
        patience=0,
    )
