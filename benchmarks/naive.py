"""The paper's way of running a spiking network: a Python loop over the steps, snnTorch's `Leaky` in it.

The layers are those of our own networks, so the weights are the same, and every architecture has its naive
network. snnTorch 1.0's `Leaky` resets by subtraction after the decay, as our "subtract" does, and in the same
order of operations: a naive network gives the same spikes as our loop, bit for bit.
"""

from __future__ import annotations

from typing import cast

import snntorch
import torch
from torch import Tensor, nn

from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.lif import SURROGATES
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import OverBatch, Pass, SpikingNetwork


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
    """A network of ours with snnTorch's neurons, which repeats its input T times and loops over the steps.

    Args:
        network: Ours; its stateless layers are shared, and its number of steps stays the one it has now.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.num_steps = network.num_steps
        self.network = network
        self.lifs = nn.ModuleDict(
            {_key(name): leaky(lif) for name, lif in network.named_modules() if isinstance(lif, Lif)}
        )
        self.train(network.training)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every step, `[T, B, C]`."""
        if isinstance(self.network, Framed):
            x = self.network.encoded(features)
        else:
            x = features.unsqueeze(0).repeat(self.num_steps, *([1] * features.ndim))
        mems: dict[str, Tensor] = {}
        past: dict[str, Tensor] = {}
        outputs = []
        for step in x:
            run = _Step(self.lifs, mems, past)
            outputs.append(self.network.layers(step.unsqueeze(0), run)[0])
            past = run.state
        return torch.stack(outputs)

    def logits(self, features: Tensor) -> Tensor:
        """Logits `[B, C]`, summed over the newest `num_steps` steps."""
        return cast(Tensor, self(features))[-self.num_steps :].sum(0)


class _Step(Pass):
    """One step of `layers`; the membranes are the loop's, as is what layers look back at."""

    def __init__(self, lifs: nn.ModuleDict, mems: dict[str, Tensor], past: dict[str, Tensor]) -> None:
        super().__init__(1, state=past, keep_state=True)
        self._lifs, self._mems = lifs, mems

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """See `Pass.fire`.

        Raises:
            ValueError: The layer steps more often than the network.
        """
        if steps not in (None, 1):
            raise ValueError(f"{name} steps {steps} times a step")
        neurons = cast(snntorch.Leaky, self._lifs[_key(name)])
        mem = self._mems[name] if name in self._mems else neurons.reset_mem()
        spk, self._mems[name] = neurons(x[0], mem)
        return (spk if then is None else then(spk)).unsqueeze(0)

    def readout(self, layer: nn.Module, x: Tensor) -> Tensor:
        """See `Pass.readout`."""
        return cast(Tensor, layer(x[0])).unsqueeze(0)


def _key(name: str) -> str:
    """A layer's name as that of a module, in which no dot may be."""
    return name.replace(".", "/")


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
