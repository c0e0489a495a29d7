"""The same weights in SpikingJelly and in Norse, each in its best practical form.

Both reset right after a spike, so before the next decay: our rule "subtract-before-decay". snnTorch resets
after the decay. A peer's own neuron therefore computes another function than the weights were trained with;
it is compared with our network under that rule. For SpikingJelly there is a neuron of ours on its base class
too, with snnTorch's rule. To the peers' advantage, batch norm is folded into the convolutions, and the input
layer, whose input is the same at every step, runs once.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from snn_voice_hub.models import M5SNN, PiczakSNN, ResMelSNN
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import SpikingNetwork

# A layer over all steps, [T, B, ...] -> [T, B, ...].
Layer = Callable[[Tensor], Tensor]


class Kit:
    """What a library gives: neurons over all steps, and stateless layers over all steps."""

    def neuron(self, lif: Lif) -> Layer:
        """A layer of neurons with the constants of ours."""
        raise NotImplementedError

    def stateless(self, *layers: nn.Module) -> Layer:
        """Layers without state."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all membranes."""


class SpikingJellyKit(Kit):
    """SpikingJelly's multi-step mode.

    Args:
        own: Whether its own `LIFNode` is used, which resets before the decay and fires at the threshold
            itself; else a neuron on its `SimpleBaseNode` with snnTorch's rule.

    Raises:
        ImportError: SpikingJelly is not installed.
    """

    def __init__(self, *, own: bool) -> None:
        with open(os.devnull, "w") as sink, redirect_stdout(sink), redirect_stderr(sink):  # noqa: PTH123
            from spikingjelly.activation_based import functional, layer, neuron

        self._functional, self._layer, self._neuron = functional, layer, neuron
        self._own = own
        self._neurons: list[Any] = []

    def neuron(self, lif: Lif) -> Layer:
        """See `Kit.neuron`."""
        beta, threshold = float(lif.beta.detach().clamp(0, 1)), float(lif.threshold.detach())
        if self._own:
            node = self._neuron.LIFNode(
                tau=1 / (1 - beta),
                decay_input=False,
                v_threshold=threshold,
                v_reset=None,
                detach_reset=True,
                step_mode="m",
            )
        else:
            node = _snntorch_node(self._neuron.SimpleBaseNode)(beta, threshold)
        self._neurons.append(node)
        return cast(Layer, node)

    def stateless(self, *layers: nn.Module) -> Layer:
        """See `Kit.stateless`."""
        return cast(Layer, self._layer.SeqToANNContainer(*layers))

    def reset(self) -> None:
        """See `Kit.reset`."""
        for node in self._neurons:
            self._functional.reset_net(node)


def _snntorch_node(base: Any) -> Any:
    """A SpikingJelly neuron that computes what snnTorch's `Leaky` does."""

    class Node(base):  # type: ignore[misc]
        def __init__(self, beta: float, threshold: float) -> None:
            super().__init__(v_threshold=threshold, v_reset=None, step_mode="m")
            self.beta = beta
            self.v: Any

        def neuronal_charge(self, x: Tensor) -> None:
            if isinstance(self.v, float):
                self.v = torch.zeros_like(x)
            drop = (self.v > self.v_threshold).to(x.dtype) * self.v_threshold
            self.v = self.beta * self.v + x - drop

        def neuronal_fire(self) -> Tensor:
            return cast(Tensor, (self.v > self.v_threshold).to(self.v.dtype))

        def neuronal_reset(self, spike: Tensor) -> None:
            pass

    return Node


class NorseKit(Kit):
    """Norse's `LIFBoxCell`, lifted over the steps; stateless layers see all steps as one batch.

    Its membrane is scaled by (1 - beta), so its threshold is too.

    Raises:
        ImportError: Norse is not installed.
    """

    def __init__(self) -> None:
        import norse.torch as norse
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract

        self._norse, self._parameters, self._reset_subtract = norse, LIFBoxParameters, reset_subtract

    def cell(self, lif: Lif) -> nn.Module:
        """One step of a layer of neurons: `(current, state) -> (spikes, state)`."""
        beta = lif.beta.detach().clamp(0, 1)
        parameters = self._parameters(
            tau_mem_inv=1 - beta,
            v_th=(1 - beta) * lif.threshold.detach(),
            method="heaviside",
            reset_method=self._reset_subtract,
        )
        return cast(nn.Module, self._norse.LIFBoxCell(p=parameters, dt=1.0))

    def neuron(self, lif: Lif) -> Layer:
        """See `Kit.neuron`."""
        lifted = self._norse.Lift(self.cell(lif))
        return lambda x: cast(Tensor, lifted(x)[0])

    def stateless(self, *layers: nn.Module) -> Layer:
        """See `Kit.stateless`."""
        sequence = nn.Sequential(*layers)

        def over_steps(x: Tensor) -> Tensor:
            out: Tensor = sequence(x.flatten(0, 1))
            return out.view(*x.shape[:2], *out.shape[1:])

        return over_steps


class Mean(nn.Module):
    """Mean over all but the first two dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, ...]` -> `[B, C]`."""
        return x.flatten(2).mean(-1)


def folded(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """A convolution with the batch norm after it folded in."""
    return cast(nn.Module, fuse_conv_bn_eval(cast(Any, conv), cast(Any, norm)))


def make_peer(network: SpikingNetwork, kit: Kit, *, compiled: bool = False) -> Callable[[Tensor], Tensor]:
    """A network of a peer with our weights: features `[B, 1, ...]` -> logits `[B, C]`.

    Args:
        network: Ours.
        kit: The peer.
        compiled: Whether it runs under `torch.compile`, which then happens at the first call with a shape.

    Raises:
        TypeError: There is none for this architecture.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(network, M5SNN | PiczakSNN):
        first, *layers = _sequence(network, kit)
    elif isinstance(network, ResMelSNN):
        first, *layers = _resmel(network, kit)
    else:
        raise TypeError(f"no peer of {type(network).__name__}")

    num_steps = network.num_steps

    def run(features: Tensor) -> Tensor:
        x = first(features.unsqueeze(0))
        x = x.expand(num_steps, *x.shape[1:])
        for layer in layers:
            x = layer(x)
        return x.sum(0)

    if compiled:
        run = torch.compile(run, dynamic=False)

    def logits(features: Tensor) -> Tensor:
        kit.reset()  # not compiled: it would be compiled anew at every call
        return run(features)

    return logits


def _sequence(network: SpikingNetwork, kit: Kit) -> list[Layer]:
    """The layers of M5 or Piczak."""
    layers: list[Layer] = []
    pending: list[nn.Module] = []
    for module in flat(network):
        if isinstance(module, Lif):
            layers += [kit.stateless(*pending), kit.neuron(module)]
            pending = []
        else:
            pending.append(module)
    return [*layers, kit.stateless(*pending)]


def flat(network: SpikingNetwork) -> list[nn.Module]:
    """The modules of M5 or Piczak in order, `Lif`s among them."""
    modules: list[nn.Module] = []
    for block in list[Any](network.get_submodule("snn").children()):
        if isinstance(network, M5SNN):
            modules += [folded(block.conv, block.bn), block.lif, block.pool]
        else:
            modules += [block.conv, block.pool, block.lif]
    return [*modules, Mean(), network.get_submodule("fc")]


def _resmel(network: ResMelSNN, kit: Kit) -> list[Layer]:
    """The layers of ResMel: the stem, each residual block, the end."""

    def convolution(norm: Any) -> nn.Module:
        return folded(norm.conv, norm.bn)

    layers = [kit.stateless(nn.Flatten(1, 2), convolution(network.stem))]
    layers += [_residual(block, kit, convolution) for block in list[Any](network.snn.children())]
    return [*layers, kit.neuron(network.lif), kit.stateless(Mean(), network.fc)]


def _residual(block: Any, kit: Kit, convolution: Callable[[Any], nn.Module]) -> Layer:
    fire1, fire2 = kit.neuron(block.lif1), kit.neuron(block.lif2)
    conv1, conv2 = kit.stateless(convolution(block.conv1)), kit.stateless(convolution(block.conv2))
    shortcut = None if block.shortcut is None else kit.stateless(convolution(block.shortcut))

    def run(x: Tensor) -> Tensor:
        spk = fire1(x)
        short = x if shortcut is None else shortcut(spk)
        return short + conv2(fire2(conv1(spk)))

    return run


def make_norse_steps(network: SpikingNetwork) -> Callable[[Tensor], Tensor]:
    """M5 or Piczak as Norse's `SequentialState`, called once a step.

    Raises:
        TypeError: Another architecture.
        ImportError: Norse is not installed.
    """
    if not isinstance(network, M5SNN | PiczakSNN):
        raise TypeError(f"{type(network).__name__} is no sequence of layers")
    kit = NorseKit()
    network = copy.deepcopy(network).eval().requires_grad_(False)
    first, *rest = flat(network)
    lead = [first] if isinstance(network, M5SNN) else [first, rest.pop(0)]
    before = nn.Sequential(*lead)
    import norse.torch as norse

    sequence = norse.SequentialState(*(kit.cell(m) if isinstance(m, Lif) else m for m in rest))

    def logits(features: Tensor) -> Tensor:
        current = before(features)
        state, outputs = None, []
        for _ in range(network.num_steps):
            out, state = sequence(current, state)
            outputs.append(out)
        return torch.stack(outputs).sum(0)

    return logits


def reset_before_decay(network: SpikingNetwork) -> SpikingNetwork:
    """A copy with the same weights and the peers' reset rule."""
    clone = copy.deepcopy(network)
    for module in clone.modules():
        if isinstance(module, Lif):
            module.reset = "subtract-before-decay"
    return clone
