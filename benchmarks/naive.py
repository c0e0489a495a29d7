"""The paper's way of running a spiking network: a Python loop over the steps, snnTorch's `Leaky` in it.

The layers are those of our own networks, so the weights are the same. snnTorch 1.0's `Leaky` resets by
subtraction after the decay, as our "subtract" does, and in the same order of operations: a naive network
gives the same spikes as our loop, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import snntorch
import torch
from torch import Tensor, nn

from snn_voice_hub.models import M5SNN, HjhSCNN, HjhSNN, PiczakSNN, ResMelSNN, TcySNN
from snn_voice_hub.models.lif import SURROGATES
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import SpikingNetwork

# Spikes of one layer at one step: (layer's index, its current) -> spikes.
Fire = Callable[[int, Tensor], Tensor]


def leaky(lif: Lif) -> snntorch.Leaky:
    """A `Leaky` of snnTorch with the constants of our neuron; a learned beta stays a parameter of its own.

    Raises:
        ValueError: The reset rule is one that snnTorch 1.0 does not have.
    """
    if lif.reset != "subtract":
        raise ValueError(f"snnTorch 1.0 resets by 'subtract' only, not by {lif.reset!r}")
    return snntorch.Leaky(
        beta=float(lif.beta.detach()),
        threshold=float(lif.threshold.detach()),
        spike_grad=SURROGATES[lif.surrogate](),
        learn_beta=isinstance(lif.beta, nn.Parameter),
        learn_threshold=isinstance(lif.threshold, nn.Parameter),
    )


class NaiveNetwork(nn.Module):
    """A network that repeats its input T times and loops over the steps.

    Args:
        network: Ours; its stateless layers are shared.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.num_steps = network.num_steps
        self.snn: nn.Module = network.get_submodule("snn")
        self.fc: nn.Module = network.get_submodule("fc")
        self.lifs = nn.ModuleList(leaky(module) for module in network.modules() if isinstance(module, Lif))
        self.train(network.training)

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """Logits `[B, C]` of one step."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every step, `[T, B, C]`."""
        x = features.unsqueeze(0).repeat(self.num_steps, *([1] * features.ndim))
        lifs = [cast(snntorch.Leaky, lif) for lif in self.lifs]
        mems = [lif.reset_mem() for lif in lifs]

        def fire(index: int, current: Tensor) -> Tensor:
            spk, mems[index] = lifs[index](current, mems[index])
            return cast(Tensor, spk)

        return torch.stack([self.one_step(x[t], fire) for t in range(self.num_steps)])

    def logits(self, features: Tensor) -> Tensor:
        """Logits `[B, C]`, summed over the steps."""
        return cast(Tensor, self(features)).sum(0)


class NaiveM5(NaiveNetwork):
    """M5."""

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        for i, block in enumerate(_children(self.snn)):
            x = block.pool(fire(i, block.bn(block.conv(x))))
        return cast(Tensor, self.fc(x.mean(-1)))


class NaivePiczak(NaiveNetwork):
    """Piczak."""

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        for i, block in enumerate(_children(self.snn)):
            x = fire(i, block.dropout(block.pool(block.conv(x))))
        return cast(Tensor, self.fc(x.mean((-2, -1))))


class NaiveHjh(NaiveNetwork):
    """Hjh: a layer of neurons on the input first."""

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        x = fire(0, x)
        for i, block in enumerate(_children(self.snn)[1:], start=1):
            x = block.pool(fire(i, block.bn(block.conv(x))))
        return cast(Tensor, self.fc(x.mean((-2, -1))))


class NaiveHjhS(NaiveNetwork):
    """The hybrid HjhS: a layer of neurons on the input, then a CNN.

    Args:
        network: As in `NaiveNetwork`.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__(network)
        self.cnn = network.get_submodule("cnn")

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        return cast(Tensor, self.fc(self.cnn(fire(0, x)).mean((-2, -1))))


class NaiveTcy(NaiveNetwork):
    """Tcy: a layer of neurons, pooling, one linear layer.

    Args:
        network: As in `NaiveNetwork`.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__(network)
        self.pool = network.get_submodule("pool")

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        return cast(Tensor, self.fc(self.pool(fire(0, x)).flatten(1)))


class NaiveResMel(NaiveNetwork):
    """ResMel: residual blocks with two layers of neurons each, and one at the end.

    Args:
        network: As in `NaiveNetwork`.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__(network)
        self.stem = network.get_submodule("stem")

    def one_step(self, x: Tensor, fire: Fire) -> Tensor:
        """See `NaiveNetwork.one_step`."""
        x = self.stem(x.squeeze(1))
        members = _children(self.snn)
        for i, block in enumerate(members):
            spk = fire(2 * i, x)
            short = x if block.shortcut is None else block.shortcut(spk)
            x = short + block.conv2(fire(2 * i + 1, block.conv1(spk)))
        return cast(Tensor, self.fc(fire(2 * len(members), x).mean(-1)))


_NAIVE: dict[type[SpikingNetwork], type[NaiveNetwork]] = {
    M5SNN: NaiveM5,
    PiczakSNN: NaivePiczak,
    HjhSNN: NaiveHjh,
    HjhSCNN: NaiveHjhS,
    TcySNN: NaiveTcy,
    ResMelSNN: NaiveResMel,
}


def make_naive(network: SpikingNetwork) -> NaiveNetwork:
    """The naive network of one of ours; it has that one's number of steps from now on.

    Raises:
        KeyError: An architecture that has none.
    """
    return _NAIVE[type(network)](network)


def check_equal(naive: NaiveNetwork, network: SpikingNetwork, features: Tensor) -> float:
    """The largest difference of the steps' logits to our loop; both get the same batch.

    Raises:
        AssertionError: It is more than 1e-5 of the largest logit: the two are not the same network.
    """
    with torch.inference_mode():
        theirs, ours = naive(features), network.forward_loop(features)
    largest = float(ours.abs().max())
    difference = float((theirs - ours).abs().max())
    assert difference <= 1e-5 * max(1.0, largest), (
        f"the naive {type(network).__name__} differs by {difference:g}, its largest logit is {largest:g}"
    )
    return difference


def _children(module: nn.Module) -> list[Any]:
    return list(module.children())
