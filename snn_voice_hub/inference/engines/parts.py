"""How many clips run together on a CPU, for engines that keep whole tensors between two layers."""

from __future__ import annotations

from torch import nn

# The largest tensor between two layers should stay in the cache: measured with M5SNN, HjhSNN and the CNNs.
_BYTES = 2 << 20
# But each part reads all weights once, so its tensors should not be small beside them: measured with Piczak.
_OF_WEIGHTS = 1 / 8

RULE = f"largest tensor within {_BYTES >> 20} MiB or an eighth of the weights, whichever is more"


def clips_together(network: nn.Module, clip_bytes: int) -> int:
    """How many clips to run together, at least 1.

    Args:
        network: The network.
        clip_bytes: Size of one clip's largest tensor between two layers, all steps, in bytes.
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return int(max(_BYTES, weights * _OF_WEIGHTS) // max(1, clip_bytes)) or 1
