"""One-dimensional layers that also run channels-last, which is how training on a CPU is fastest.

oneDNN's convolutions take about 0.7 of the time there, forwards and backwards, and the neurons' kernels
(`native.lif`) vectorise over the channels. Shapes stay `[B, C, N]`; only the strides differ, and what is
channels-last stays so from layer to layer. In evaluation the layers are PyTorch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of `[..., C, N]` lie side by side."""
    return x.stride(-2) == 1 and x.stride(-1) == x.shape[-2] and x.shape[-2] > 1


class Conv1d(nn.Conv1d):
    """`nn.Conv1d` whose output is channels-last in training on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C', N']`."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        last = torch.channels_last
        assert not isinstance(self.padding, str), "the networks give numbers"
        out = functional.conv2d(
            x.unsqueeze(2).contiguous(memory_format=last),
            self.weight.unsqueeze(2).contiguous(memory_format=last),
            self.bias,
            (1, *self.stride),
            (0, *self.padding),
            (1, *self.dilation),
            self.groups,
        )
        # One channel in leaves open how the output lies. Under autocast the product is in bfloat16, but
        # membranes stay in float32.
        return out.contiguous(memory_format=last).squeeze(2).to(x.dtype)


class BatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d` over `[B, C, N]` that keeps channels-last strides, and is fast on them."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C, N]`."""
        if not self.training or not is_channels_last(x):
            return super().forward(x)
        rows = x.transpose(1, 2)
        return super().forward(rows.reshape(-1, rows.shape[-1])).view(rows.shape).transpose(1, 2)
