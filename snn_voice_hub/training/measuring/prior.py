"""How often what is heard is no word: in training, and where clips are classified."""

from __future__ import annotations

import math

import torch
from torch import nn

from snn_voice_hub.config import UNKNOWN
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.voice import SnnVoice


def expect_unknown(model: SnnVoice, share: float, trained: float) -> float:
    """Let a model expect other speech as often as it will hear it, by the bias of its last layer.

    A network learns how often each class comes. In training every fifth clip is other speech, so that it
    learns enough of it; of the clips that people classify fewer are (M. Saerens et al., "Adjusting the
    outputs of a classifier to new a priori probabilities", Neural Computation 14, 2002).

    Args:
        model: The model; its network is changed.
        share: How much of what it will hear is other speech, 0 to 1.
        trained: How much was in training.

    Returns:
        By how much the logit of `_unknown_` is lower.

    Raises:
        SnnVoiceError: A share is not between 0 and 1, the model has no such class, or its last layer is none
            whose bias adds to the logits alone.
    """
    for value in (share, trained):
        if not 0 < value < 1:
            raise SnnVoiceError(f"{value} is no share of what is heard", hint="more than 0, less than 1")
    if UNKNOWN not in model.labels:
        raise SnnVoiceError(f"the model has no class {UNKNOWN}", hint="train it with --negatives")
    linear = [module for module in model.network.modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1].bias is None:
        raise SnnVoiceError("the network's last layer has no bias", hint="one that ends in nn.Linear")
    by = math.log(trained / (1 - trained)) - math.log(share / (1 - share))
    bias, index = linear[-1].bias, model.labels.index(UNKNOWN)
    wave = torch.zeros(1, model.config.features.num_samples, dtype=torch.float32, device=model.device)
    with torch.no_grad():
        before, kept = model(wave), bias[index].clone()

        def lower(amount: float) -> torch.Tensor:
            bias[index] = kept - amount
            change: torch.Tensor = before - model(wave)
            return change

        # It adds to each of several outputs, of which the logits are the sum or the mean.
        times = float(lower(1.0)[0, index])
        change = lower(by / times) if times > 0 else torch.zeros_like(before)
        expected = change.new_zeros(change.shape)
        expected[0, index] = by
        if not torch.allclose(change, expected, atol=1e-3):
            bias[index] = kept
            raise SnnVoiceError(
                "the last layer's bias is not what it adds to the logits", hint="leave it as it is"
            )
    return by
