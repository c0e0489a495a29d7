"""`torch.compile`: the network as code that PyTorch's compiler makes of it."""

from __future__ import annotations

import importlib.util
import sysconfig
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import torch
from snn_voice_lite.visible import module_logger
from torch import Tensor

from snn_voice_hub.export.tracing import modules_alone, tracing
from snn_voice_hub.inference.engines.base import Engine, Unsupported, check_unhooked, device_and_dtype
from snn_voice_hub.inference.engines.parts import are_clips_alone, clips_together
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import Pass, SpikingNetwork
from snn_voice_hub.tensors import no_autocast

logger = module_logger(__name__)

# Code is made for batches of 1, 2, 4, ... clips up to this many; see `CompiledEngine`.
_MOST = {"cpu": 32, "cuda": 64}
# A model has one window, hence one shape of a clip; where there are more, as under `normalization="batch"`,
# code for each would take longer to make than it saves.
_MAX_SHAPES = 4

Shape = tuple[int, ...]


class CompiledEngine(Engine):
    """`torch.compile` by inductor: on the CPU with a C++ compiler, on CUDA with triton and CUDA graphs.

    Each size of a batch costs a compilation of ten seconds to a minute when it first comes. So batches are
    cut into parts of at most `details()["batch_sizes"][-1]` clips, and a part is padded up to the next power
    of two. Inductor keeps what it compiled on disk; another process then takes a few seconds.

    Where the compiler fails after all, the network itself takes over, and `details` says why.
    See `Engine` for arguments and errors.
    """

    name: ClassVar[str] = "compile"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._device, _ = device_and_dtype(network)
        _check_tools(self._device)
        check_unhooked(network)
        self._mode = "reduce-overhead" if self._device.type == "cuda" else "default"
        self._most: dict[Shape, int] = {}
        self._compiled: dict[Shape, Callable[[Tensor], Tensor]] = {}
        self._seconds: dict[int, float] = {}
        self._failure = ""
        # A CUDA graph belongs to the thread that recorded it.
        self._worker = ThreadPoolExecutor(1, "compiled") if self._device.type == "cuda" else None

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        if self._worker is None:
            return self._run(x)
        # What the caller's stream has written must be there before another thread reads it, and back again.
        torch.cuda.current_stream(x.device).synchronize()
        return self._worker.submit(self._run, x).result()

    def details(self) -> dict[str, Any]:
        """See `Engine.details`."""
        most = max(self._most.values(), default=_MOST[self._device.type])
        facts: dict[str, Any] = {
            "backend": "inductor",
            "mode": self._mode,
            "batch_sizes": [1 << i for i in range(most.bit_length())],
            "compile_seconds": {str(size): round(s, 1) for size, s in sorted(self._seconds.items())},
        }
        return {**facts, "failed": self._failure} if self._failure else facts

    def _run(self, x: Tensor) -> Tensor:
        # Compiled code holds for one gradient mode and one kind of tensor only: always for these.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            no_autocast(self._device),
            modules_alone(),
        ):
            most = self._clips_together(x)
            if self._failure or not most or not x.shape[1]:
                return self.network.forward_encoded(x)
            logits = []
            for part in torch.split(x.detach(), most, dim=1):
                clips = part.shape[1]
                padded = part.new_zeros((part.shape[0], _power_of_two(clips), *part.shape[2:]))
                padded[:, :clips] = part
                out = self._logits(padded)
                if out is None:
                    return self.network.forward_encoded(x)
                logits.append(out[:clips])
            out = torch.cat(logits)
            if self._worker is not None:
                torch.cuda.current_stream(x.device).synchronize()
            return out

    def _clips_together(self, x: Tensor) -> int:
        """Clips in the largest part of such a batch, a power of two; 0 where the network itself runs it."""
        shape = (x.shape[0], *x.shape[2:])
        if shape not in self._most:
            if len(self._most) >= _MAX_SHAPES:
                return 0
            most = _MOST[self._device.type]
            network = self.network
            if not are_clips_alone(lambda probe: network.forward_encoded(probe.to(x)), shape, 0):
                most = 0
            elif (
                self._device.type == "cpu"
                and isinstance(network, SpikingNetwork)
                and type(network).forward_encoded is SpikingNetwork.forward_encoded
            ):
                run = Pass(network.num_steps, summed=True)
                network.layers(x[:, :1], run)
                together = clips_together(network, run.largest * x.element_size())
                most = min(most, 1 << (together.bit_length() - 1))
            self._most[shape] = most
        return self._most[shape]

    def _logits(self, x: Tensor) -> Tensor | None:
        """Logits of a batch of a size that code is made for; None where that fails."""
        shape = tuple(x.shape)
        code = self._compiled.get(shape)
        if code is None:
            with tracing():
                code = self._compiled.get(shape)
                if code is None:
                    return None if self._failure else self._first(x)
        # The result of a CUDA graph is overwritten by its next run.
        return code(x).clone() if self._worker is not None else code(x)

    def _first(self, x: Tensor) -> Tensor | None:
        began = time.perf_counter()
        try:
            code = self._compile()
            out = code(x).clone()
        except Exception as error:
            self._failure = _line(error)
            logger.warning("PyTorch runs %s uncompiled: %s", type(self.network).__name__, self._failure)
            return None
        self._seconds[x.shape[1]] = time.perf_counter() - began
        self._compiled[tuple(x.shape)] = code
        return out

    def _compile(self) -> Callable[[Tensor], Tensor]:
        network = self.network

        def forward(x: Tensor) -> Tensor:
            return network.forward_encoded(x)

        # The compiler counts what it made of one code object and gives up after a few, so each function has
        # one of its own.
        own = types.FunctionType(
            forward.__code__.replace(), forward.__globals__, "forward", None, forward.__closure__
        )
        compiled: Callable[[Tensor], Tensor] = torch.compile(
            own, dynamic=False, fullgraph=True, mode=self._mode
        )
        return compiled


def _check_tools(device: torch.device) -> None:
    if device.type not in _MOST:
        raise Unsupported(f"compiled code is made for CPUs and CUDA, the network is on {device}")
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise Unsupported("triton is not installed")
        return
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise Unsupported(f"no {header}: Python's headers are not installed")
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        raise Unsupported(f"no C++ compiler: {_line(error)}") from error


def _power_of_two(clips: int) -> int:
    """The next power of two that is not below `clips`."""
    return 1 << (clips - 1).bit_length()


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
