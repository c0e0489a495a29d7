"""The two engines that are PyTorch and nothing else: the step loop, and all steps at once."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import Engine, Unsupported, device_and_dtype
from snn_voice_hub.inference.engines.packed import PackedLinear, check_dtype, with_packed_linears
from snn_voice_hub.inference.engines.parts import are_clips_alone
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import Pass, SpikingNetwork

# Values of the largest tensor of a pass on the CPU: 8 MiB of float32. Larger ones fall out of the cache, and
# the allocator gives them back to the system after each use.
_VALUES = 1 << 21


class TorchEngine(Engine):
    """All steps at once. Its logits equal those of the step loop to 1e-4, its spikes exactly.

    Large batches are run in parts, which changes no bit: oneDNN sums alike for any number of clips but one,
    so no part is a single clip unless the batch is. Those of a network in which clips depend on each other
    are not.
    """

    name: ClassVar[str] = "torch"
    linear_dtype: ClassVar[torch.dtype] = torch.float32  # of the large linear layers

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        check_dtype(self.linear_dtype)
        self._twin = with_packed_linears(network, self.linear_dtype)
        # A network that has another way of its own is run as it is.
        plain = getattr(type(network), "forward_encoded", None) is SpikingNetwork.forward_encoded
        self._in_parts = plain and device_and_dtype(network)[0].type == "cpu"
        self._clips: dict[tuple[int, ...], int] = {}
        self._alone: dict[tuple[int, ...], bool] = {}

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        clips = x.shape[1]
        if clips < 4 or not self._in_parts:
            return self._twin.forward_encoded(x)
        parts = -(-clips // max(2, self._clips_at_once(x)))
        if parts > 1 and not self._may_be_cut(x):
            return self._twin.forward_encoded(x)
        # Even parts: with at least four clips in the batch, none has fewer than two.
        parts = min(parts, clips // 2)
        return torch.cat([self._twin.forward_encoded(part) for part in x.tensor_split(parts, dim=1)])

    def _clips_at_once(self, x: Tensor) -> int:
        shape = (x.shape[0], *x.shape[2:])
        if shape not in self._clips:
            assert isinstance(self._twin, SpikingNetwork)
            run = Pass(self._twin.num_steps, summed=True)
            self._twin.layers(x[:, :1], run)
            self._clips[shape] = max(1, _VALUES // max(1, run.largest))
        return self._clips[shape]

    def _may_be_cut(self, x: Tensor) -> bool:
        shape = (x.shape[0], *x.shape[2:])
        if shape not in self._alone:

            def run(probe: Tensor) -> Tensor:
                return self._twin.forward_encoded(probe.to(x.dtype))

            self._alone[shape] = are_clips_alone(run, shape, 0)
        return self._alone[shape]

    @torch.inference_mode()
    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Engine.advance`."""
        return framed(self._twin).advance(x, state)

    def watch(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine.watch`."""
        return framed(self._twin).watch(x, state)

    def details(self) -> dict[str, Any]:
        """See `Engine.details`."""
        return {"packed_linears": sum(isinstance(m, PackedLinear) for m in self._twin.modules())}


class TorchBf16Engine(TorchEngine):
    """The same with large linear layers in bfloat16; everything that spikes stays in float32."""

    name: ClassVar[str] = "torch+bf16"
    linear_dtype: ClassVar[torch.dtype] = torch.bfloat16


class LoopEngine(Engine):
    """One step after the other, as the paper's code does it: readable, slow, the measure of all others."""

    name: ClassVar[str] = "loop"

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        if isinstance(self.network, Framed):
            return self.network.loop_encoded(x)[-self.network.num_steps :].sum(0)
        if not isinstance(self.network, SpikingNetwork):
            return self.network.forward_encoded(x)
        return self.network.loop_encoded(x).sum(0)

    @torch.inference_mode()
    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Engine.advance`."""
        network = framed(self.network)
        outputs = []
        for step in x:
            out, state = network.advance(step.unsqueeze(0), state)
            outputs.append(out)
        assert state is not None, "there is a step at least"
        return torch.cat(outputs), state


def framed(network: nn.Module) -> Framed:
    """A network whose steps are those of the sound.

    Raises:
        Unsupported: Those of this one are not.
    """
    if not isinstance(network, Framed):
        raise Unsupported(f"{type(network).__name__} hears windows, and keeps nothing of a stream")
    return network
