"""Event-driven C++ kernels for spiking networks on the CPU; see `snn_voice_hub.inference.engines.events`."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.fx.node import Node, map_arg

from snn_voice_hub.inference.engines.base import Engine, Unsupported, device_and_dtype
from snn_voice_hub.inference.engines.events.layers import LANES, Plan, make_plan, pack, padded
from snn_voice_hub.inference.engines.events.lowering import lower
from snn_voice_hub.inference.engines.packed import check_dtype, with_packed_linears
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.native.build import BuildError
from snn_voice_hub.native.kernels import load_kernels

# Clips whose dense currents exist at one time, for each thread. More fall out of the cache (M5), with fewer a
# thread beside others waits more often for the interpreter.
_CLIPS = 8


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """PyTorch's own OpenMP, found among what its module depends on."""
    try:
        library = ctypes.CDLL(torch._C.__file__)
        library.omp_set_num_threads  # noqa: B018  (it is looked up here)
    except (OSError, AttributeError):
        return None
    return library


def _stay_on_this_thread() -> None:
    """Let PyTorch's operations in this thread use this thread alone.

    Its OpenMP threads spin for milliseconds after each operation, on the cores that the others are to use.
    """
    torch.get_num_threads()  # sets up the number for this thread, which the next line changes
    if (openmp := _openmp()) is not None:
        openmp.omp_set_num_threads(1)


class NativeEngine(Engine):
    """Adds a weight row only where a spike is; what comes before and after the spikes is PyTorch's.

    Raises:
        Unsupported: No compiler, not a float32 spiking network on the CPU, or with layers that the kernels
            do not know.
    """

    name: ClassVar[str] = "native"
    linear_dtype: ClassVar[torch.dtype] = torch.float32  # of the large linear layers

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        device, dtype = device_and_dtype(network)
        if device.type != "cpu" or dtype != torch.float32 or not isinstance(network, SpikingNetwork):
            raise Unsupported("the kernels are for spiking networks in float32 on the CPU")
        check_dtype(self.linear_dtype)
        self._program = lower(with_packed_linears(network, self.linear_dtype))
        try:
            self._kernels = load_kernels()
        except BuildError as error:
            raise Unsupported(str(error)) from error
        self._num_steps = network.num_steps
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}
        for stage in self._program.stages:
            if stage.convolution is not None:
                into = padded(stage.convolution.weight.shape[1])
                self._weights[stage.number] = pack(stage.convolution, into)
        # Channels of the stage whose spikes are averaged; the sums have whole vectors.
        last = next(stage.convolution for stage in self._program.stages if stage.sums)
        assert last is not None, "lowering sees to that"
        self._width = len(last.weight)
        nodes = self._program.nodes
        self._before = _needed(nodes, self._program.dense, ())
        self._after = _needed(nodes, self._program.output, (self._program.mean,))
        self._plans: dict[tuple[int, ...], Plan] = {}

    @torch.inference_mode()
    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        if x.shape[1] == 0:
            return self.network.forward_encoded(x)
        threads = min(torch.get_num_threads(), x.shape[1])
        parts = torch.split(x, min(_CLIPS, -(-x.shape[1] // threads)), dim=1)
        if threads == 1:
            hidden = [self._part(part) for part in parts]
        else:
            # Threads of this call alone: a pool that is kept would hang in a forked process.
            with ThreadPoolExecutor(threads, initializer=_stay_on_this_thread) as pool:
                hidden = list(pool.map(self._part, parts))
        return self._finish({self._program.mean: torch.cat(hidden, dim=1)})

    @torch.inference_mode()
    def _part(self, x: Tensor) -> Tensor:
        """Hidden values `[T, B, C]` of a few clips."""
        values = self._interpret(self._before, {self._program.nodes[0]: x})
        dense = values[self._program.dense]
        plan = self._plan((dense.shape[0], *dense.shape[2:]))
        _, clips, channels = dense.shape[:3]
        # Clips first, channels last, in whole vectors.
        rows = dense.movedim((1, 2), (0, -1))
        if channels % LANES:
            rows = nn.functional.pad(rows, (0, padded(channels) - channels))
        rows = rows.contiguous()
        sums = torch.empty(clips, self._num_steps, plan.channels)
        self._call(plan, rows, sums)
        return sums[:, :, : self._width].transpose(0, 1) / plan.positions

    def _plan(self, dense: tuple[int, ...]) -> Plan:
        plan = self._plans.get(dense)
        if plan is None:
            plan = self._plans[dense] = make_plan(self._program.stages, self._weights, self._num_steps, dense)
        return plan

    def _call(self, plan: Plan, rows: Tensor, sums: Tensor) -> None:
        memory = torch.empty(plan.memory + 64, dtype=torch.uint8)
        start = -memory.data_ptr() % 64
        self._kernels.library.snn_run(
            plan.layers,
            ctypes.c_int64(len(plan.layers)),
            ctypes.c_int64(self._num_steps),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(rows[0].numel()),
            ctypes.c_void_p(sums.data_ptr()),
            ctypes.c_int64(sums[0].numel()),
            ctypes.c_int64(len(rows)),
            ctypes.c_void_p(memory.data_ptr() + start),
        )

    def _finish(self, values: dict[Node, Tensor]) -> Tensor:
        """The head, and the sum over the steps."""
        output = self._program.output
        layer = self._program.root.get_submodule(str(output.target)) if output.op == "call_module" else None
        if not isinstance(layer, nn.Linear):
            return self._interpret(self._after, values)[output].sum(0)
        # The last linear layer is applied once, to the sum.
        hidden = self._interpret(self._after[:-1], values)[cast(Node, output.args[0])]
        bias = None if layer.bias is None else layer.bias * len(hidden)
        return nn.functional.linear(hidden.sum(0), layer.weight, bias)

    def _interpret(self, nodes: Sequence[Node], values: dict[Node, Tensor]) -> dict[Node, Tensor]:
        for node in nodes:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: values[n])
            if node.op == "call_module":
                values[node] = self._program.root.get_submodule(str(node.target))(*args, **kwargs)
            elif node.op == "call_function":
                values[node] = cast(Any, node.target)(*args, **kwargs)
            elif node.op == "call_method":
                values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return values

    def details(self) -> dict[str, Any]:
        """See `Engine.details`."""
        return {
            "compiler": self._kernels.compiler,
            "library": str(self._kernels.path),
            "build_seconds": round(self._kernels.seconds, 2),
        }


class NativeBf16Engine(NativeEngine):
    """The same with large linear layers in bfloat16; everything that spikes stays in float32."""

    name: ClassVar[str] = "native+bf16"
    linear_dtype: ClassVar[torch.dtype] = torch.bfloat16


def _needed(nodes: Sequence[Node], target: Node, known: Sequence[Node]) -> list[Node]:
    """The operations that lead to `target` from the input and what is known, in order."""
    wanted = {target}
    for node in reversed(nodes):
        if node in wanted and node not in known:
            wanted.update(node.all_input_nodes)
    return [node for node in nodes if node in wanted and node not in known and node.op != "placeholder"]
