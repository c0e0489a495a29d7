"""What the tests of the service share."""

from __future__ import annotations

import pytest
from snn_voice_lite import Voice
from snn_voice_lite.listening import Listener
from snn_voice_lite.wyoming.offered import Vocabulary

import snn_voice_hub as sv


@pytest.fixture(scope="package", params=["hub", "lite"])
def voice(request: pytest.FixtureRequest) -> Listener:
    """The default model of each of the two programs."""
    return sv.SnnVoice.from_pretrained() if request.param == "hub" else Voice()


@pytest.fixture(scope="package")
def vocabulary(voice: Listener) -> Vocabulary:
    return Vocabulary([voice], ["yes", "go", "marvin", "stop"])
