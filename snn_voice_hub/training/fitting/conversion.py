"""A trained CNN becomes a spiking network: thresholds from its activations, batch norms for spikes.

The weights are the CNN's already (`teaching.adopt`). What is left is the scale. B. Rueckauer et al.,
"Conversion of continuous-valued deep networks to efficient event-driven networks for image classification"
(Frontiers in Neuroscience, 2017) scale each layer by a high percentile of its activations, so that few
outliers saturate and most values use the range of the spike rate. With leaky neurons and batch norms it goes
like this:

1. The largest value that a layer should tell apart is the percentile of what the ReLU gives there. A neuron
   with decay beta and reset by subtraction fires in every step of a constant current x when
   x > (2 - beta) threshold; so the threshold is that percentile over 2 - beta.
2. Spikes have another mean and deviation than the values they stand for. The batch norms behind them measure
   theirs again, on the spikes.
3. The last layer is scaled so that its summed outputs are as large as the CNN's logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.head import head_of
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time

# Of each layer and batch; `torch.quantile` takes 16 million values in all.
_VALUES = 1 << 16


class _Analog(Pass):
    """A pass in which neurons are ReLUs, as in the CNN; it keeps some of what they give."""

    def __init__(self, on_input: Lif | None) -> None:
        super().__init__(1)
        self.on_input = on_input
        self.active: dict[str, list[Tensor]] = {}
        self.lifs: dict[str, Lif] = {}

    def fire(
        self,
        name: str,
        lif: Lif,
        x: Tensor,
        then: Callable[[Tensor], Tensor] | None = None,
        *,
        steps: int | None = None,
    ) -> Tensor:
        active = x.relu()
        every = max(1, active.numel() // _VALUES)
        self.active.setdefault(name, []).append(active.flatten()[::every].clone())
        self.lifs[name] = lif
        # The CNN has nothing where the spiking network has neurons on its input.
        out = x if lif is self.on_input else active
        return out if then is None else over_time(then, out)


@torch.no_grad()
def convert(network: SpikingNetwork, inputs: Sequence[Tensor], percentile: float) -> dict[str, float]:
    """Make a spiking network with the weights of its CNN twin do nearly what the twin does.

    Thresholds, running statistics of batch norms and the last layer are changed in place.

    Args:
        network: With the weights of the CNN.
        inputs: Batches of features `[B, 1, ...]`, a few hundred clips in all.
        percentile: Above 0, at most 100: the largest activation that a rate of spikes can say.

    Returns:
        The threshold of each layer of neurons, by name.
    """
    was_training = network.training
    network.eval()
    first = next((lif for lif in network.modules() if isinstance(lif, Lif)), None)
    analog = _Analog(first if network.lif_on_input else None)
    wanted = torch.cat([network.layers(_analog_input(network, x), analog).sum(0) for x in inputs])
    for name, lif in analog.lifs.items():
        top = torch.quantile(torch.cat(analog.active[name]), percentile / 100)
        # A layer that is silent even in the CNN keeps its threshold.
        if top > 0:
            lif.threshold.fill_(float(top / (2 - lif.beta.clamp(0, 1).mean())))
    _measure_again(network, inputs)
    head = network.get_submodule(head_of(network))
    assert isinstance(head, nn.Linear)
    found = torch.cat([network(x) for x in inputs])
    if (energy := float(found.square().sum())) > 0:
        scale = float((found * wanted).sum()) / energy
        head.weight.mul_(scale)
        if head.bias is not None:
            head.bias.mul_(scale)
    network.train(was_training)
    return {name: float(lif.threshold) for name, lif in analog.lifs.items()}


def _analog_input(network: SpikingNetwork, features: Tensor) -> Tensor:
    """What the CNN would hear of features `[B, 1, ...]`: one step, or those of the sound."""
    return network.encoded(features) if isinstance(network, Framed) else features.unsqueeze(0)


def _measure_again(network: SpikingNetwork, inputs: Sequence[Tensor]) -> None:
    norms = list(_norms(network))
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    for x in inputs:
        network(x)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()


def _norms(network: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))
