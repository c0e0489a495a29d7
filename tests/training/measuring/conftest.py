"""Clips of two words."""

from __future__ import annotations

import numpy as np
import pytest

from snn_voice_hub.training.clips.data import Clips
from tests.training.measuring.helpers import RATE, int16, tone


@pytest.fixture
def clips() -> Clips:
    words = ["low", "high"] * 6
    waves = [np.pad(tone(word), (RATE // 4, RATE // 4)) for word in words]
    return Clips(np.stack(list(map(int16, waves))), words, [f"{w}/{i}" for i, w in enumerate(words)], [])
