"""What the tests of the service share."""

from __future__ import annotations

import pytest
from snn_voice_wyoming.offered import Vocabulary

import snn_voice_hub as sv


@pytest.fixture(scope="module")
def vocabulary(default_model: sv.SnnVoice) -> Vocabulary:
    return Vocabulary([default_model], ["yes", "go", "marvin", "stop"])
