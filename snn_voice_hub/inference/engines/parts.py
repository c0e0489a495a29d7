"""How many clips run together on a CPU, for engines that keep whole tensors between two layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from snn_voice_hub.tensors import FLOAT32

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


@torch.no_grad()
def are_clips_alone(run: Callable[[Tensor], Tensor], shape: Sequence[int], axis: int) -> bool:
    """Whether a batch may be cut: a clip gives the same whatever clips are beside it, each time.

    Args:
        run: Takes encoded input `[T or 1, B, 1, ...]` on the CPU.
        shape: Of that input without the batch, `[T or 1, 1, ...]`.
        axis: Of the batch in what `run` gives.
    """
    size = shape[1:]
    clip = torch.linspace(-1, 1, torch.Size(size).numel(), **FLOAT32).view(size).expand(shape)
    # Two clips each time: alone, PyTorch may sum in another order.
    beside = (torch.zeros_like(clip), clip.flip(-1) * 8 + 1)
    quiet, loud = (run(torch.stack((clip, other), 1)).select(axis, 0) for other in beside)
    return torch.allclose(quiet, loud, rtol=0, atol=0, equal_nan=True)
