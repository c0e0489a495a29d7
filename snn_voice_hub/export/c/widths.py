"""Which layers may have weights in 8 bits: measured, on a network whose weights are rounded."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.export.agreement import signals
from snn_voice_hub.export.c.plan import bits_of, wiring_of
from snn_voice_hub.export.c.quantise import rounded_by
from snn_voice_hub.features import Features
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import FramedSNN

# The logits of the built-in signals may be off by so much, as `distance` has it.
APART = 0.12


def layer_count(network: FramedSNN) -> int:
    """Layers that have weights, the head among them."""
    return len(wiring_of(network).layers) + 1


def measured_width(network: FramedSNN, config: VoiceConfig) -> int:
    """How many layers need weights in 16 bits, from the first one on, while those of the others have 8.

    A spike that rounding adds or takes away goes through all layers behind it and is carried on in their
    membranes, so what is rounded first changes most. So many are the fewest with which the logits of the
    built-in signals stay near those of the network.

    Args:
        network: The network, in evaluation mode.
        config: Of the model.

    Raises:
        SnnVoiceError: The network is of another kind than the C code runs.
    """
    with torch.inference_mode(False), torch.no_grad():
        features = Features(config.features)(signals(config.features))
        expected = network(features)
        count = layer_count(network)
        for wide in range(count):
            if distance(rounded(network, wide)(features), expected) <= APART:
                return wide
    return count


def distance(logits: Tensor, expected: Tensor) -> float:
    """How far logits `[n, C]` are from those that they should be, as a part of what the sound makes of them.

    That is their standard deviation from the mean of each label.
    """
    made = (expected - expected.mean(0)).pow(2).mean().sqrt().clamp(min=1e-30)
    return float((logits - expected).pow(2).mean().sqrt() / made)


def rounded(network: FramedSNN, wide: int) -> FramedSNN:
    """A copy with rounded weights; batch norm is in them."""
    twin = copy.deepcopy(network)
    wiring = wiring_of(twin)
    for number, layer in enumerate(wiring.layers):
        for projection in layer.projections:
            _round(projection.conv, bits_of(number, wide))
    head = wiring.head.weight
    head.data = _nearest(head.T, bits_of(len(wiring.layers), wide)).T.contiguous()
    return twin


def _round(of: CausalConvNorm, bits: int) -> None:
    folded, bn = of.folded(), of.bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    kernel, outs = of.kernel, folded.weight.shape[1]
    rows = _nearest(folded.weight, bits).view(kernel, -1, outs)
    of.conv.weight.data = rows.permute(2, 1, 0).contiguous()
    bn.running_mean.zero_()
    bn.running_var.fill_(1 - bn.eps)
    bn.weight.data.fill_(1)
    bn.bias.data = folded.bias.clone()


def _nearest(weights: Tensor, bits: int) -> Tensor:
    """Weights `[in, out]`, rounded."""
    rounded, scales = rounded_by(weights.detach().cpu().double().numpy(), bits)
    return torch.from_numpy(rounded * scales).to(weights.dtype)
