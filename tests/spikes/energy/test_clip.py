"""The energy estimate of one recorded clip."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import snn_voice_hub as sv
from snn_voice_hub.models.network import Pass, SpikingNetwork
from snn_voice_hub.spikes.energy.clip import clip_energy
from snn_voice_hub.spikes.record import Row, check_spiking
from tests.models.lively import FRAMED, SNNS, lively


def recorded(voice: sv.SnnVoice, seed: int = 0) -> Row:
    wave = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(seed))
    with voice.record_spikes() as rec:
        voice.classify(wave, sample_rate=16_000)
    return rec.row(0)


@pytest.mark.parametrize("name", SNNS)
def test_it_is_the_energy_of_the_model(name: str) -> None:
    voice = sv.SnnVoice(lively(name, num_classes=4, num_steps=3), labels=list("abcd")).eval()
    wave = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    wanted = voice.energy(wave, sample_rate=16_000, twin=False)
    found = clip_energy(check_spiking(voice.network), recorded(voice))
    assert found is not None
    assert (found["synops"], found["macs"], found["acs"]) == (wanted.synops, wanted.macs, wanted.acs)
    assert found["energy_uj"] == pytest.approx(wanted.energy_uj, rel=1e-3)
    assert found["energy_once_uj"] == pytest.approx(wanted.energy_once_uj, rel=1e-3)
    repeats = 1 if name in FRAMED else 3
    assert found["cnn"]["energy_dense_uj"] == pytest.approx(wanted.dense / repeats * 4.6e-6, rel=1e-3)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("spiking", "plain"), [("ResMelSNN", "ResMelCNN"), ("HjhSCNN", "HjhCNN")])
def test_the_twin_has_these_layers(spiking: str, plain: str) -> None:
    voices = [
        sv.SnnVoice(build(num_classes=4), labels=list("abcd")).eval()
        for build in (getattr(sv, spiking), getattr(sv, plain))
    ]
    found = clip_energy(check_spiking(voices[0].network), recorded(voices[0]))
    twin = voices[1].energy(0.1 * torch.randn(16_000), sample_rate=16_000)
    assert found is not None
    assert found["cnn"]["energy_dense_uj"] == pytest.approx(twin.dense_uj, rel=1e-3)


def test_encodings_that_draw_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively("TcySNN", num_classes=2, num_steps=4, encoding="rate", threshold=0.5)
    voice = sv.SnnVoice(network, labels=["a", "b"]).eval()
    row = recorded(voice)
    assert row.seed is not None
    given: list[Any] = []
    encoded = SpikingNetwork.encoded

    def watched(self: SpikingNetwork, x: Tensor, seeds: Any = None) -> Tensor:
        given.append(seeds)
        return encoded(self, x, seeds)

    monkeypatch.setattr(SpikingNetwork, "encoded", watched)
    assert clip_energy(check_spiking(network), row) == clip_energy(check_spiking(network), row)
    assert given == [[row.seed], [row.seed]]


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        ({"energy": {"twin": {"model": "that-cnn", "energy_uj": 12.3456}}}, ("that-cnn", 12.35)),
        ({"energy": {"twin": {"model": "that-cnn", "energy_uj": None}}}, None),
        ({"energy": {"twin": {"model": 3, "energy_uj": 1.0}}}, None),
        ({"energy": {"twin": {"model": "x", "energy_uj": float("nan")}}}, None),
        ({"energy": {"twin": {"model": "x", "energy_uj": True}}}, None),
        ({"energy": {"twin": "x"}}, None),
        ({"energy": 3}, None),
        ({}, None),
    ],
)
def test_a_measured_twin(metrics: dict[str, Any], wanted: tuple[str, float] | None) -> None:
    voice = sv.SnnVoice(lively("TcySNN", num_classes=2), labels=["a", "b"]).eval()
    found = clip_energy(check_spiking(voice.network), recorded(voice), metrics)
    assert found is not None
    cnn = found["cnn"]
    assert (cnn.get("model"), cnn.get("energy_uj")) == (wanted or (None, None))


def test_layers_that_can_not_be_counted() -> None:
    class Transposed(sv.TcySNN):
        def layers(self, x: Tensor, run: Pass) -> Tensor:
            logits = super().layers(x, run)
            return functional.conv_transpose1d(logits.mT, torch.ones(1, 1, 1))

    voice = sv.SnnVoice(sv.TcySNN(num_classes=2), labels=["a", "b"]).eval()
    row = recorded(voice)
    assert clip_energy(check_spiking(voice.network), row) is not None
    assert clip_energy(Transposed(num_classes=2).eval(), row) is None
