"""Networks on frames as `snn_voice_lite.hearing.frames` knows them, and their rows run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from snn_voice_lite.hearing.frames import FrameFacts, FrameFront, FrameRow
from snn_voice_lite.streaming.log_mel import LogMel
from torch import Tensor

from snn_voice_hub.features import Features, MelPower


def front_of(features: Features, facts: FrameFacts, steps: int) -> FrameFront:
    """What makes steps of sound, so many in a hop, as the front end does of a whole clip."""
    c = features.config
    assert isinstance(features.mel, MelPower), "a network on frames has a front end with bands"
    window, filters = features.mel.window.cpu().numpy(), features.mel.filters.cpu().numpy()
    log_mel = LogMel(window, filters, c.log_offset, c.feature_mean, c.feature_std, c.zero_below)
    return FrameFront(c, log_mel, facts, steps)


def outputs_of_frames(
    rows: Sequence[FrameRow],
    advance: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    watch: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> Tensor:
    """What a model gives for rows of any of its streams, at least one.

    Args:
        rows: Of `FrameHearing.row`.
        advance: Steps `[T, B, ...]` and states `[B, n]` -> outputs `[T, B, C]` and states.
        watch: The same, and the membranes after every step `[T, B, N]`.

    Returns:
        `[R, n + T * C + T * N]`: the state after the steps, then their outputs, then for rows that want them
        the membranes after each of them. Of rows with fewer values than others, the rest is 0.
    """
    alike: dict[tuple[int, bool], list[int]] = {}
    for i, row in enumerate(rows):
        alike.setdefault((row.front.steps, row.watched), []).append(i)
    found = []
    for (_, watched), places in alike.items():
        part = [rows[i] for i in places]
        x = torch.from_numpy(part[0].front(part))
        state = torch.from_numpy(np.stack([row.state for row in part]))
        outputs, after, *membranes = watch(x, state) if watched else advance(x, state)
        by_step = (each.movedim(0, 1).flatten(1) for each in (outputs, *membranes))
        found.append(torch.cat([after, *by_step], 1))
    if len(found) == 1:
        return found[0]
    out = found[0].new_zeros((len(rows), max(part.shape[1] for part in found)))
    for places, given in zip(alike.values(), found, strict=True):
        out[places, : given.shape[1]] = given
    return out
