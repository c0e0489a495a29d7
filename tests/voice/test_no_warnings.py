"""What a newcomer does first prints no warning."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest

import snn_voice_hub as sv
from tests.models.lively import SNNS


@pytest.mark.parametrize("name", SNNS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"learn_beta": True, "learn_threshold": True}, {"learn_beta": True, "beta_per_channel": True}],
)
def test_printing_a_network(name: str, settings: dict[str, Any]) -> None:
    network = getattr(sv, name)(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (network, network.half(), network.to("meta")):
            assert "Lif(beta=" in repr(model)


def test_printing_shows_the_neurons_constants() -> None:
    lif = sv.models.Lif(0.25, learn_beta=True, threshold=1.5, learn_threshold=True)
    assert repr(lif) == "Lif(beta=0.25, threshold=1.5, reset='subtract')"
    many = sv.models.Lif(0.25, learn_beta=True, channels=4)
    assert repr(many) == "Lif(beta=0.25 on average, threshold=1, reset='subtract')"
    assert repr(many.to("meta")) == "Lif(beta=? on average, threshold=?, reset='subtract')"


FIRST_STEPS = """
import numpy as np, torch
import snn_voice_hub as sv
model = sv.SnnVoice.from_pretrained()
print(model)
sound = np.sin(np.arange(16_000) / 9).astype(np.float32) / 2
print(model.classify(sound, sample_rate=16_000)[0])
print(model.energy(sound, sample_rate=16_000))
with model.record_spikes() as rec:
    model.classify(sound, sample_rate=16_000)
model.half().classify(sound, sample_rate=16_000)
network = sv.M5SNN(num_classes=3).train()
network(torch.zeros(2, 1, 4000)).sum().backward()
"""


@pytest.mark.slow
def test_the_first_steps_in_a_fresh_python() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_STEPS], capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stderr) == (0, "")
