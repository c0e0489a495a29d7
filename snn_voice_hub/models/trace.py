"""What a spiking network's `layers` does, as a list of operations; by `torch.fx`."""

from __future__ import annotations

from typing import Any, cast

from torch import fx, nn
from torch.fx.node import Node

from snn_voice_hub.models.layers import BatchNorm1d, Conv1d
from snn_voice_hub.models.network import OverBatch, Pass, SpikingNetwork
from snn_voice_hub.models.spiking import Lif


class _Tracer(fx.Tracer):
    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._leaves = (Lif, Conv1d, BatchNorm1d, *leaves)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._leaves) or super().is_leaf_module(m, module_qualified_name)


class _TracingPass(Pass):
    """Writes down what a pass would do."""

    def __init__(self, network: SpikingNetwork, tracer: _Tracer) -> None:
        super().__init__(network.num_steps)
        self._tracer = tracer

    def fire(self, name: str, lif: Lif, x: Any, then: OverBatch | None = None) -> Any:
        path = self._tracer.path_of_module(lif)
        spk: Any = self._tracer.create_proxy("call_module", path, (x,), {})
        return spk if then is None else then(spk)

    def readout(self, layer: nn.Linear, x: Any) -> Any:
        return layer(x)


class _Layers(nn.Module):
    def __init__(self, network: SpikingNetwork, tracer: _Tracer) -> None:
        super().__init__()
        self.network = network
        self._run = _TracingPass(network, tracer)

    def forward(self, x: Any) -> Any:
        return self.network.layers(x, self._run)


def trace(network: SpikingNetwork, leaves: tuple[type[nn.Module], ...] = ()) -> tuple[nn.Module, list[Node]]:
    """The operations of a network in their order, from input to output.

    Args:
        network: The network.
        leaves: Modules that are one operation, besides PyTorch's own and those of this package.

    Returns:
        The module that the names of the operations' modules refer to, and the operations. Firing is a call of
        the `Lif` with the current alone.

    Raises:
        Exception: `layers` does what can't be followed, for example a branch that depends on values.
    """
    tracer = _Tracer(leaves)
    root = _Layers(network, tracer)
    return root, list(cast(Any, tracer.trace(root)).nodes)
