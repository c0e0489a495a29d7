"""Clips that follow one another, as a network hears them whose steps are those of the sound.

A clip alone says nothing of what such a network remembers of the sound before it, and the window of its
answer lies over a whole word once only. So the clips of a batch become streams: at the end of each clip the
answer is that clip's, and on the way from one to the next it is what a teacher says of the window there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_voice_hub.features import Features

# Steps between two answers of a stream that a teacher's are followed at.
_APART = 4


def along(outputs: Tensor, num_steps: int) -> Tensor:
    """The answers of a network all along streams: outputs `[T, S, C]` -> logits `[W, S, C]`.

    Args:
        outputs: Of each step.
        num_steps: Outputs that make an answer.
    """
    return outputs.unfold(0, num_steps, _APART).sum(-1)


@dataclass(frozen=True, eq=False)
class Chain:
    """Clips of a batch, in streams of as many each.

    Attributes:
        order: Which clip is where, `[L, S]` for S streams of L clips.
        waves: The streams `[S, L * N]`.
        offset: Steps from the beginning of a clip to a window that ends in the next one.
        link: Which clip of each stream that is.
    """

    order: Tensor
    waves: Tensor
    offset: int
    link: int

    @classmethod
    def of(cls, waves: Tensor, length: int, steps: int, seed: int) -> Chain:
        """Streams of clips `[B, N]`, in an order that follows from a seed.

        Args:
            waves: The clips.
            length: Clips of a stream; fewer, where B is no multiple of it.
            steps: Of the network in a clip.
            seed: Of the order.
        """
        count = len(waves)
        length = next(n for n in range(min(length, count), 0, -1) if count % n == 0)
        generator = torch.Generator("cpu").manual_seed(seed)
        order = torch.randperm(count, generator=generator, device="cpu").view(length, -1)
        offset, link = (
            int(torch.randint(low, max(low + 1, high), (1,), generator=generator, device="cpu"))
            for low, high in ((1, steps), (0, length - 1))
        )
        return cls(order, waves[order].movedim(0, 1).flatten(1), offset, link)

    @classmethod
    def going_on(cls, waves: Tensor, length: int) -> Chain:
        """Streams of which the windows `[S * length, N]` are given one after the other."""
        order = torch.arange(len(waves), device="cpu").view(-1, length).t()
        return cls(order, waves.view(len(waves) // length, -1), 0, 0)

    def spectrograms(self, features: Features, changed: Callable[[Tensor], Tensor]) -> Tensor:
        """`[S, 1, n_mels, frames]` of the streams.

        Args:
            features: The front end.
            changed: What is done to the spectrogram of each clip, `[B, 1, n_mels, frames]`.
        """
        length = len(self.order)
        frames = self.waves.shape[1] // length * features.config.feature_rate
        frames //= features.config.sample_rate * features.config.hop_length
        whole = features(self.waves)
        x, last = whole[..., : length * frames], whole[..., length * frames :]
        by_clip = x.reshape(*x.shape[:-1], length, frames).movedim(-2, 0)
        joined = changed(by_clip.flatten(0, 1)).view_as(by_clip).movedim(0, -2).flatten(-2)
        return torch.cat([joined, last], -1)

    def answers(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What a network says at the end of each clip, and between two of each stream.

        Args:
            outputs: Of each step of the streams, `[T, S, C]`.

        Returns:
            Logits `[B, C]` in the order of the batch, and `[S, C]` of `between`; None where no clip follows
            another one.
        """
        length = len(self.order)
        per_clip = len(outputs) // length
        ends = outputs.view(length, per_clip, *outputs.shape[1:]).sum(1).flatten(0, 1)
        first = self.link * per_clip + self.offset
        inside = outputs[first : first + per_clip].sum(0) if length > 1 else None
        return ends[self.order.flatten().argsort()], inside

    def between(self, per_step: int) -> Tensor:
        """The windows between clips `[S, N]`; `per_step` are the samples of a step."""
        samples = self.waves.shape[1] // len(self.order)
        first = self.link * samples + self.offset * per_step
        return self.waves[:, first : first + samples]
