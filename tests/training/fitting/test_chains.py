"""Clips that follow one another in one stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.training.fitting.chains import Chain
from tests.models.lively import lively


@pytest.fixture(scope="module")
def network() -> Framed:
    found = lively("TempoSNN", num_classes=7)
    assert isinstance(found, Framed)
    return found


def clips(count: int) -> Tensor:
    return torch.randn(count, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1


def unchanged(x: Tensor) -> Tensor:
    return x


@torch.no_grad()
def test_the_first_clips_are_heard_as_if_alone(network: Framed) -> None:
    waves = clips(8)
    chain = Chain.of(waves, 4, 50, seed=3)
    assert sorted(chain.order.flatten().tolist()) == list(range(8))
    features = Features(network.default_features)
    logits, _ = chain.answers(network.forward_steps(chain.spectrograms(features, unchanged)))
    alone = network(features(waves))
    first = chain.order[0]
    torch.testing.assert_close(logits[first], alone[first], rtol=0, atol=1e-4)
    later = chain.order[1:].flatten()
    assert not torch.allclose(logits[later], alone[later], atol=1e-2)


@torch.no_grad()
def test_answers_are_those_of_the_stream(network: Framed) -> None:
    waves = clips(6)
    chain = Chain.of(waves, 3, 50, seed=3)
    features = Features(network.default_features)
    logits, between = chain.answers(network.forward_steps(chain.spectrograms(features, unchanged)))
    outputs = network.forward_steps(features(chain.waves))
    for place in range(3):
        expected = outputs[50 * place : 50 * (place + 1)].sum(0)
        torch.testing.assert_close(logits[chain.order[place]], expected, rtol=0, atol=1e-4)
    first = 50 * chain.link + chain.offset
    assert between is not None
    torch.testing.assert_close(between, outputs[first : first + 50].sum(0), rtol=0, atol=1e-4)
    windows = chain.between(320)
    assert torch.equal(windows, chain.waves[:, first * 320 : first * 320 + 16_000])


def test_batches_of_any_size_are_chained() -> None:
    for count, length in ((7, 4), (1, 4), (9, 4), (128, 4)):
        chain = Chain.of(clips(count), 4, 50, seed=0)
        assert chain.order.numel() == count
        assert len(chain.order) <= length
        assert 1 <= chain.offset < 50
        assert chain.waves.shape == (count // len(chain.order), len(chain.order) * 16_000)
    one = Chain.of(clips(7), 4, 50, seed=0)
    assert len(one.order) == 1, "7 clips make no streams of equal length"


def test_each_clip_is_changed_by_itself(network: Framed) -> None:
    seen = []

    def blanked(x: Tensor) -> Tensor:
        seen.append(x.shape)
        return torch.zeros_like(x)

    chain = Chain.of(clips(8), 4, 50, seed=3)
    x = chain.spectrograms(Features(network.default_features), blanked)
    assert seen == [(8, 1, 40, 100)]
    assert x.shape == (2, 1, 40, 401)
    assert not x[..., :400].any()


def test_the_order_follows_from_the_seed() -> None:
    first, again, other = (Chain.of(clips(8), 4, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(first.waves, again.waves)
    assert (first.offset, first.link) == (again.offset, again.link)
    assert not torch.equal(first.order, other.order)
