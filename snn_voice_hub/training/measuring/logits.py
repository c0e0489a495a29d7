"""What a model answers to clips, before a temperature and a softmax."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.voice import SnnVoice


@torch.no_grad()
def logits_of(model: SnnVoice, batches: Iterable[Tensor]) -> Tensor:
    """Raw logits `[n, C]` of waveforms `[B, N]`, a batch at a time, on the CPU."""
    return torch.cat([model(waves.to(model.device)).float().cpu() for waves in batches])


def clip_logits(model: SnnVoice, clips: Clips, batch_size: int = 64) -> Tensor:
    """Raw logits `[n, C]` of every clip, on the CPU."""
    return logits_of(model, clips.batches(batch_size))
