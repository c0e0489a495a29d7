"""Holds the kernels against a network's own layers, before they answer in its place."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.network import PAST
from snn_voice_hub.tensors import FLOAT32, no_autocast

Advance = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_STREAMS = 8
_STEPS = 3
# Of the largest value of its kind; another order of summation makes less than a tenth of it.
_ROUNDING = 1e-4


@torch.inference_mode()
def check_alike(network: FramedSNN, advance: Advance) -> None:
    """Run a few streams by the network and by the kernels, and compare outputs and states.

    The streams go on from states in which a third of all that the layers look back at are spikes, and half of
    the neurons are above their threshold: so each projection carries some, whatever the weights are. Where
    another order of summation moves a membrane over its threshold, which is rare, a stream goes another way
    from there. A wrong wiring shows in all of them.

    Args:
        network: The network, in evaluation mode.
        advance: The kernels' `Engine.advance`.

    Raises:
        Unsupported: More than half of the streams differ by more than rounding explains; or the layers can't
            be run.
    """
    x, state = _drawn(network)
    try:
        with no_autocast(x.device):
            wanted = network.advance(x, state)
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"{type(network).__name__}.layers fails: {line}") from error
    found = advance(x, state)
    differ = [
        name
        for name, (a, b) in _by_name(network, wanted, found).items()
        if a.shape != b.shape or _is_other(a, b).sum() > _STREAMS // 2
    ]
    if differ:
        raise Unsupported(
            f"the kernels do not give what {type(network).__name__}.layers gives in {', '.join(differ[:3])}"
        )


def _drawn(network: FramedSNN) -> tuple[Tensor, Tensor]:
    """Steps and states of streams, the same each time."""
    generator = torch.Generator("cpu").manual_seed(0)
    shape = (_STEPS, _STREAMS, 1, network.min_shape[0], network.frames_per_step)
    x = torch.randn(shape, generator=generator, **FLOAT32)
    parts = []
    thresholds = network.thresholds()
    for name, sizes in network.state_layout().items():
        rows = torch.rand((_STREAMS, math.prod(sizes)), generator=generator, **FLOAT32)
        if name.endswith(PAST):
            parts.append((rows < 1 / 3).float())
        else:
            parts.append(rows * 2 * thresholds[name])
    return x, torch.cat(parts, 1)


def _by_name(
    network: FramedSNN, wanted: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs and each part of the state, `[B, n]`, of both."""
    layout = network.state_layout()
    sizes = [math.prod(shape) for shape in layout.values()]
    both = [(out.transpose(0, 1).flatten(1), *torch.split(state, sizes, 1)) for out, state in (wanted, found)]
    return dict(zip(("its outputs", *layout), zip(*both, strict=True), strict=True))


def _is_other(a: Tensor, b: Tensor) -> Tensor:
    """Which streams differ, `[B]`."""
    largest = a.abs().max().clamp(min=1e-3)
    return ~((a - b).abs() <= _ROUNDING * largest).all(1)
