"""Runs a spiking network on frames by kernels, from a state to the next one."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import NotThisInput, Unsupported
from snn_voice_hub.inference.engines.frames.plan import make_plan
from snn_voice_hub.inference.engines.frames.proof import check_alike
from snn_voice_hub.models.framed import Framed, FramedSNN
from snn_voice_hub.models.wiring import Wiring
from snn_voice_hub.native.build import Kernels

# What is run instead of `layers`, which nobody may have changed.
_RUNS = ("forward_encoded", "advance", "steps", "state_layout")
# Steps of all streams for which another thread is worth its start.
_STEPS_A_THREAD = 32


class Streams:
    """The kernels' part of a network on frames.

    Args:
        network: The network, in float32 on the CPU and in evaluation mode.
        kernels: The loaded library.

    Raises:
        Unsupported: The network does not say what it is made of, or is not what it says.
    """

    def __init__(self, network: Framed, kernels: Kernels) -> None:
        if not isinstance(network, FramedSNN) or (found := _wiring_of(network)) is None:
            raise Unsupported(f"{type(network).__name__} says nothing of its wiring()")
        self._network = network
        self._plan = make_plan(network, found)
        self._call = kernels.library.snn_frames
        self._net = ctypes.addressof(self._plan.net)
        self._bands, self._frames = self._plan.bands, self._plan.frames
        self._size, self._classes = self._plan.state, self._plan.classes
        self._all_steps = self._plan.num_steps
        check_alike(network, self.advance)

    def run(self, x: Tensor) -> Tensor:
        """The sum of the newest `num_steps` outputs `[B, C]` of steps `[T, B, 1, n_mels, frames_per_step]`.

        Raises:
            NotThisInput: The kernels can't take this.
        """
        steps, streams, *apart = self._checked(x)
        sums = x.new_empty((streams, self._classes))
        self._done(x, apart, steps, streams, None, None, None, sums.data_ptr())
        return sums

    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Engine.advance`.

        Raises:
            NotThisInput: The kernels can't take this.
        """
        steps, streams, *apart = self._checked(x)
        out = x.new_empty((steps, streams, self._classes))
        if state is None:
            before, after = None, x.new_empty((streams, self._size))
        else:
            if state.shape != (streams, self._size) or not _is_plain(state):
                raise NotThisInput(
                    f"a state {list(state.shape)} of {state.dtype}, not [{streams}, {self._size}] of float32"
                )
            state = state.contiguous()
            before, after = state.data_ptr(), torch.empty_like(state)
        self._done(x, apart, steps, streams, before, after.data_ptr(), out.data_ptr(), None)
        return out, after

    def _checked(self, x: Tensor) -> tuple[int, int, int, int, int, int]:
        """Steps and streams of an input, and how far its values lie apart."""
        if self._network.num_steps != self._all_steps:
            raise NotThisInput("the network's num_steps has changed")
        shape = x.shape
        if len(shape) != 5 or not _is_plain(x):
            raise NotThisInput(f"{list(shape)} of {x.dtype} on {x.device}, not [T, B, 1, M, k] of float32")
        steps, streams, one, bands, frames = shape
        if not steps or one != 1 or bands != self._bands or frames != self._frames:
            raise NotThisInput(f"{list(shape)}, not [T, B, 1, {self._bands}, {self._frames}]")
        step, stream, _, band, frame = x.stride()
        return steps, streams, step, stream, band, frame

    def _done(
        self,
        x: Tensor,
        apart: list[int],
        steps: int,
        streams: int,
        before: int | None,
        after: int | None,
        out: int | None,
        sums: int | None,
    ) -> None:
        """Call the kernels; the tensors whose places are given are those of the caller, who keeps them."""
        work = steps * streams // _STEPS_A_THREAD
        threads = 1 if work < 2 or streams < 2 else min(work, torch.get_num_threads())
        failed = self._call(
            self._net,
            x.data_ptr(),
            *apart,
            steps,
            streams,
            before,
            after,
            out,
            sums,
            self._all_steps,
            threads,
        )
        if failed:
            raise MemoryError(f"no memory for {steps} steps of {streams} streams")

    def details(self) -> dict[str, Any]:
        """What `engine_info` tells of it."""
        return {"neuron_layers": self._plan.net.count, "state_bytes": 4 * self._plan.state}


def _is_plain(tensor: Tensor) -> bool:
    """Whether there is memory of float32 on the CPU behind a tensor, with its values as they are."""
    return (
        (type(tensor) is Tensor or type(tensor) is nn.Parameter)
        and tensor.is_cpu
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and not tensor.is_neg()
    )


def _wiring_of(network: FramedSNN) -> Wiring | None:
    """What a network says of itself, unless it changes what that was written for."""
    cls = type(network)
    owners = {name: next(c for c in cls.__mro__ if name in vars(c)) for name in ("wiring", "layers")}
    silent = owners["wiring"] is FramedSNN
    if not (silent or issubclass(owners["wiring"], owners["layers"])) or "layers" in vars(network):
        raise Unsupported(f"{cls.__name__} has layers() of its own, and no wiring() to it")
    for name in _RUNS:
        if getattr(cls, name) is not getattr(Framed, name) or name in vars(network):
            raise Unsupported(f"{cls.__name__} has {name}() of its own")
    return network.wiring()
