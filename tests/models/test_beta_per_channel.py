"""A beta for each channel: the same numbers as one layer of neurons a channel, through every door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.features import Features
from snn_voice_hub.models import lif_layer
from snn_voice_hub.models.architectures import piczak
from snn_voice_hub.models.lif_layer import Lif
from tests.models.lively import SNNS
from tests.slowness import mostly_slow

BETAS = torch.tensor([0.1, 0.5, 0.95])


def channels_lif(**given: Any) -> Lif:
    lif = Lif(channels=3, learn_beta=True, **given)
    with torch.no_grad():
        lif.beta.copy_(BETAS)
    return lif


# The second is larger than what runs at once, so it runs in parts of fewer channels than it has.
@pytest.mark.parametrize("shape", [(4, 2, 3, 7), (2, 1, 3, 7, 6)])
@pytest.mark.parametrize("reset", ["subtract", "subtract-before-decay"])
def test_a_layer_equals_a_layer_a_channel(
    shape: tuple[int, ...], reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lif_layer, "_PART", 60)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(shape, generator=generator) * 1.5
    weights = torch.randn(shape, generator=generator)
    lif = channels_lif(reset=reset)
    own_x = x.clone().requires_grad_()
    spk = lif.train_spikes(own_x, None, shape[0])
    (spk * weights).sum().backward()
    assert own_x.grad is not None
    assert lif.beta.grad is not None
    with torch.no_grad():
        assert torch.equal(lif.spikes(x, None, shape[0]), spk)
        assert torch.equal(lif(x, None, shape[0])[0], spk)
    for channel, beta in enumerate(BETAS):
        one = Lif(float(beta), learn_beta=True, reset=reset)
        part = x[:, :, channel : channel + 1].clone().requires_grad_()
        single = one(part, None, shape[0])[0]
        (single * weights[:, :, channel : channel + 1]).sum().backward()
        assert torch.equal(single, spk[:, :, channel : channel + 1])
        assert part.grad is not None
        assert one.beta.grad is not None
        assert torch.allclose(part.grad, own_x.grad[:, :, channel : channel + 1], atol=1e-6)
        assert torch.allclose(one.beta.grad, lif.beta.grad[channel], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", mostly_slow(SNNS, "TcySNN", "TempoSNN"))
def test_a_network_runs_alike_and_comes_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piczak, "_HIDDEN", 64)  # its 25 million weights have no beta
    network: sv.Network = getattr(sv, name)(num_steps=3, beta_per_channel=True, learn_beta=True).eval()
    with torch.no_grad():
        for lif in network.modules():
            if isinstance(lif, Lif):
                assert lif.beta.ndim == 1
                lif.beta.uniform_(0.2, 0.9)
    voice = sv.SnnVoice(network, labels=[f"word_{i}" for i in range(35)])
    waves = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1)) * 0.3
    voice.save_pretrained(tmp_path)
    again = sv.SnnVoice.from_pretrained(tmp_path)
    logits: dict[str, Tensor] = {}
    with torch.inference_mode():
        x = Features(network.default_features)(waves)
        loop = network.forward_loop(x)[-3:].sum(0)  # type: ignore[operator]
        for engine in ("loop", "torch", "auto"):
            again.engine = engine
            logits[engine] = again(waves)
    for engine, found in logits.items():
        assert (found - loop).abs().max() <= 1e-4 * loop.abs().max(), engine


def test_onnx_takes_it_too() -> None:
    pytest.importorskip("onnxruntime")
    network = sv.TcySNN(num_steps=3, beta_per_channel=True).eval()
    voice = sv.SnnVoice(network, labels=[f"word_{i}" for i in range(35)], engine="onnx")
    waves = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1)) * 0.3
    with torch.inference_mode():
        found = voice(waves)
        voice.engine = "loop"
        assert (found - voice(waves)).abs().max() <= 1e-4 * found.abs().max()


def test_a_network_that_does_not_say_its_channels_can_not_have_it() -> None:
    class Silent(sv.SpikingNetwork):
        def build(self) -> None:
            self.lif = self.make_lif()
            self.fc = nn.Linear(2, self.num_classes)

    Silent()
    with pytest.raises(sv.ConfigError, match="a beta for each channel"):
        Silent(beta_per_channel=True)
