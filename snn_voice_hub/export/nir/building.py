"""What the builders of NIR graphs share: nodes by name, edges, and layers of neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.nir import nodes as made
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import SpikingNetwork

if TYPE_CHECKING:
    import nir


class Builder:
    """One network on its way into a graph.

    Args:
        network: The network, in evaluation mode, on the CPU, in float32.
        form: How neurons are said, one of `names.FORMS`.

    Attributes:
        nodes: The graph's nodes by name.
        edges: Its edges.
        form: As given.
    """

    def __init__(self, network: SpikingNetwork, form: str) -> None:
        self._network = network
        self.form = form
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def _refusal(self, why: str, hint: str = "--to onnx exports it exactly") -> SnnVoiceError:
        return SnnVoiceError(
            f"{type(self._network).__name__} can't be said in NIR: {why}", hint=hint, code="not_exportable"
        )

    def _emit(self, layer: str, node: nir.NIRNode, sources: tuple[str, ...]) -> str:
        name = layer.replace(".", "_")
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def _neurons(self, path: str, lif: Lif, shape: Sequence[int], sources: tuple[str, ...]) -> str:
        """A layer of neurons of one clip's shape `[C, ...]`; gives the node of its spikes."""
        beta, threshold = self._constants(path, lif, shape)
        said = {"layer": path, "reset": lif.reset}
        if self.form == "lif":
            return self._emit(path, made.neuron(beta, threshold, said), sources)
        return self._parts(path, beta, threshold, lif.reset, sources, said)

    def _constants(self, path: str, lif: Lif, shape: Sequence[int]) -> tuple[made.Array, made.Array]:
        """Beta and threshold of each neuron."""
        if lif.beta.numel() not in (1, shape[0]) or lif.threshold.numel() != 1:
            raise self._refusal(f"{path} has a beta for each neuron, or a threshold for each")
        beta = made.each_neuron(lif.beta.detach().clamp(0, 1), shape)
        return beta, made.each_neuron(lif.threshold, shape)

    def _parts(
        self,
        path: str,
        beta: made.Array,
        threshold: made.Array,
        reset: str,
        sources: tuple[str, ...],
        said: dict[str, str],
    ) -> str:
        """Leaky integrators, a threshold, and an edge back that subtracts, one step later."""
        import nir

        mem = self._emit(f"{path}.mem", made.integrator(beta), sources)
        name = self._emit(path, nir.Threshold(threshold=threshold, metadata=said), (mem,))
        drop = threshold if reset == "subtract" else beta * threshold
        back = self._emit(f"{path}.reset", nir.Scale(scale=-drop), (name,))
        self.edges.append((back, mem))
        return name
