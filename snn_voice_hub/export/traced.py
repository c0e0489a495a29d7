"""What the exporters of PyTorch see of a network: one node a layer of neurons, batch norm in the weights."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from snn_voice_hub.export.neurons import LIF
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.lif import check_run
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import OverBatch, Pass, SpikingNetwork, State, is_hooked, over_time
from snn_voice_hub.tensors import tensors_of

# Of a layer of neurons: beta, or one of each channel, and the threshold.
_Constants = tuple[float | list[float], float]


class TracedPass(Pass):
    """Leaves each layer of neurons as one node.

    Args:
        num_steps: Steps in this pass.
        neurons: The constants of the layers that can be one, by the identity of their modules.
        state: As in `Pass`.
        keep_state: As in `Pass`.
        summed: As in `Pass`.
    """

    def __init__(
        self,
        num_steps: int,
        neurons: dict[int, _Constants],
        *,
        state: State | None = None,
        keep_state: bool = False,
        summed: bool = False,
    ) -> None:
        super().__init__(num_steps, state=state, keep_state=keep_state, summed=summed)
        self._neurons = neurons

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """See `Pass.fire`."""
        count = self.num_steps if steps is None else steps
        before = self._before.get(name)
        check_run(x, before, count)
        if id(lif) not in self._neurons:
            return super().fire(name, lif, x, then, steps=steps)
        self._check_fires_once(name)
        beta, threshold = self._neurons[id(lif)]
        sizes = [int(size) for size in x.shape[2:]]
        pool = _max_pool(then, len(sizes) - 1)
        free = not isinstance(count, int)
        facts: dict[str, Any] = {
            "steps": 0 if free else count,
            "beta": beta,
            "threshold": threshold,
            "before_decay": int(lif.reset == "subtract-before-decay"),
            "given": 0 if free else int(x.shape[0]),
            "shape": sizes,
        }
        out = sizes[1:]
        if pool is not None:
            kernel, stride = pool
            facts["pool"] = [*kernel, *stride]
            out = [(n - k) // s + 1 for n, k, s in zip(out, kernel, stride, strict=True)]
            then = None
        inputs = (x,) if before is None else (x, before)
        shape = [count, x.shape[1], sizes[0], *out]
        if self._keep_state:
            spk, mem = torch.onnx.ops.symbolic_multi_out(
                LIF, inputs, facts, dtypes=(x.dtype, x.dtype), shapes=(shape, [x.shape[1], *sizes])
            )
            self.state[name] = mem
        else:
            spk = torch.onnx.ops.symbolic(LIF, inputs, facts, dtype=x.dtype, shape=shape)
        return spk if then is None else over_time(then, spk)


class ScannedPass(Pass):
    """Leaves each layer of neurons as one `scan` of PyTorch, whose 50 steps would else be 500 operations."""

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """See `Pass.fire`."""
        # PyTorch has no public name for it, up to 2.14, and `torch.onnx` makes a Scan of nothing else.
        from torch._higher_order_ops.scan import scan

        if type(lif) is not Lif or len(x) < 2 or len(x) != (self.num_steps if steps is None else steps):
            return super().fire(name, lif, x, then, steps=steps)
        self._check_fires_once(name)
        beta, threshold = lif._constants(x)
        decay, first = beta.clamp(0, 1), lif.reset == "subtract-before-decay"

        def step(carried: tuple[Tensor, Tensor], current: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            mem, drop = carried
            mem = (mem - drop) * decay + current if first else mem * decay + current - drop
            spk = (mem > threshold).to(current.dtype)
            return (mem, spk * threshold), spk

        _, spk = scan(step, (torch.zeros_like(x[0]), torch.zeros_like(x[0])), x)
        return spk if then is None else over_time(then, spk)


def _max_pool(layer: OverBatch | None, dims: int) -> tuple[list[int], list[int]] | None:
    """Kernel and stride of a plain max pooling over all `dims`; None for anything else."""
    if type(layer) not in (nn.MaxPool1d, nn.MaxPool2d):
        return None
    assert isinstance(layer, nn.MaxPool1d | nn.MaxPool2d)

    def each(value: Any) -> list[int]:
        return [int(v) for v in value] if isinstance(value, tuple | list) else [int(value)] * dims

    plain = not (any(each(layer.padding)) or layer.return_indices or layer.ceil_mode)
    if not plain or any(d != 1 for d in each(layer.dilation)):
        return None
    kernel, stride = each(layer.kernel_size), each(layer.stride)
    return (kernel, stride) if len(kernel) == len(stride) == dims else None


class AllSteps(nn.Module):
    """The forward pass of a network that is traced: encoded input in, summed logits out.

    Args:
        network: The network; it is not changed.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = _folded(network)
        self.neurons = _constants_of(self.network)

    def forward(self, x: Tensor) -> Tensor:
        """See `Network.forward_encoded`."""
        network = self.network
        own = type(network).forward_encoded
        if isinstance(network, SpikingNetwork) and own is SpikingNetwork.forward_encoded:
            return network.layers(x, TracedPass(network.num_steps, self.neurons, summed=True)).sum(0)
        if isinstance(network, Framed) and own is Framed.forward_encoded:
            return network.layers(x, TracedPass(len(x), self.neurons))[-network.num_steps :].sum(0)
        return network.forward_encoded(x)


class OneStep(nn.Module):
    """A step of a network on frames that is traced.

    Args:
        network: The network; it is not changed.
    """

    def __init__(self, network: Framed) -> None:
        super().__init__()
        self.network = _folded(network)
        self.neurons = _constants_of(self.network)
        network.state_layout()  # by a pass of its own, which is not to be traced
        self.network._layout = network._layout

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Output and state after the step; see `Framed.advance`."""
        network = self.network
        run = TracedPass(1, self.neurons, state=network.from_row(state), keep_state=True)
        out = network.layers(frames.unsqueeze(0), run)[0]
        return out, network.as_row(run.state)


class AnySteps(OneStep):
    """Steps of a network on frames that are traced, as many as come."""

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs `[T, B, C]` and state after the steps; see `Framed.advance`."""
        network = self.network
        run = TracedPass(frames.shape[0], self.neurons, state=network.from_row(state), keep_state=True)
        out = network.layers(frames, run)
        return out, network.as_row(run.state)


def _constants_of(network: nn.Module) -> dict[int, _Constants]:
    """The constants of the neurons that can be one node; others are traced step by step.

    Read before tracing, where a tensor has no value; by identity, since the tracer prints what a module has.
    """
    found: dict[int, _Constants] = {}
    for lif in network.modules():
        if type(lif) is Lif and lif.beta.ndim <= 1 and lif.threshold.numel() == 1:
            beta = lif.beta.detach().clamp(0, 1)
            found[id(lif)] = (beta.tolist(), float(lif.threshold.detach()))
    return found


_N = TypeVar("_N", bound=Network)


def _folded(network: _N) -> _N:
    """A copy that shares its tensors, whose causal convolutions have batch norm in their weights."""
    shared: dict[int, object] = {id(tensor): tensor for tensor in tensors_of(network)}
    twin = copy.deepcopy(network, shared)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CausalConvNorm) and _is_plain(child):
                setattr(parent, name, child.folded())
    return twin


def _is_plain(layer: CausalConvNorm) -> bool:
    """Whether a layer does what its class says."""
    parts = [type(part) for part in layer.modules()]
    own = [CausalConvNorm, nn.Conv1d, nn.BatchNorm1d]
    return parts == own and not any(is_hooked(part) or "forward" in vars(part) for part in layer.modules())
