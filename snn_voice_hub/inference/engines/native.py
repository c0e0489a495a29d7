"""Event-driven C++ kernels for spiking networks on the CPU.

Those that hear windows are lowered by `snn_voice_hub.inference.engines.events`, those on frames by `frames`.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from snn_voice_hub.export.onnx import default_clip_shape
from snn_voice_hub.inference.engines.base import (
    Engine,
    NotThisInput,
    Unsupported,
    check_unhooked,
    device_and_dtype,
)
from snn_voice_hub.inference.engines.events.layers import LANES, Plan, address, make_plan, pack, padded
from snn_voice_hub.inference.engines.events.lowering import lower
from snn_voice_hub.inference.engines.events.program import NORM, Convolution, Program, folded
from snn_voice_hub.inference.engines.frames.streams import Streams
from snn_voice_hub.inference.engines.packed import check_dtype, with_packed_linears
from snn_voice_hub.inference.engines.parts import are_clips_alone
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.models.trace import BadShape, Operation, Untraceable, trace
from snn_voice_hub.native.build import BuildError, Kernels
from snn_voice_hub.native.kernels import load_kernels
from snn_voice_hub.tensors import FLOAT32, no_autocast

_CPU = torch.device("cpu")
# Shapes of a clip that are kept. A model has one window, hence one shape; under `normalization="batch"` a
# clip of any length has one of its own.
_MAX_SHAPES = 64

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


@dataclass(frozen=True)
class _ForShape:
    """A network, made ready for clips of one shape.

    Attributes:
        program: What is computed where.
        plan: The kernels' part.
        before: The operations that lead to the dense input.
        after: Those that lead from the mean to the output.
    """

    program: Program
    plan: Plan
    before: list[Operation]
    after: list[Operation]


class NativeEngine(Engine):
    """Adds a weight row only where a spike is; what comes before and after the spikes is PyTorch's.

    For each shape of a clip, the network's layers are traced when it first comes, and what the kernels would
    compute is compared with the shapes that PyTorch gives. What does not agree is refused. A network on
    frames says what it is made of, and the kernels do all of it; they are held against PyTorch's answers.

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
        check_unhooked(network)
        check_dtype(self.linear_dtype)
        self._streams: Streams | None = None
        if isinstance(network, Framed):
            self._kernels = _kernels()
            self._streams = Streams(network, self._kernels)
            return
        if type(network).forward_encoded is not SpikingNetwork.forward_encoded:
            raise Unsupported(f"{type(network).__name__} has a forward_encoded() of its own")
        self._num_steps = network.num_steps
        with no_autocast(_CPU):
            self._twin = with_packed_linears(network, self.linear_dtype)
        self._lock = threading.Lock()
        self._packed: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        # Oldest first. In place of what can't be prepared stands why.
        self._shapes: dict[tuple[int, ...], _ForShape | Unsupported] = {}
        self._proven = False  # whether some shape could be prepared
        program = self._program_of_default_shape(network)
        self._kernels = _kernels()
        if program is not None:
            shape, lowered = program
            self._shapes[shape] = self._prepared(lowered)

    def _program_of_default_shape(self, network: SpikingNetwork) -> tuple[tuple[int, ...], Program] | None:
        """What the network is with its own front end, as far as that fits its layers."""
        try:
            clip = default_clip_shape(network)
            network.check_features(torch.empty((1, 1, *clip), **FLOAT32))
        except Exception:  # another front end may be used
            return None
        shape = (1 if network.encoding == "repeat" else network.num_steps, 1, *clip)
        try:
            return shape, self._lowered(shape)
        except BadShape:
            return None
        except Untraceable as error:
            raise Unsupported(f"{type(network).__name__}.layers can't be traced: {error}") from error

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        return self._run_windows(x) if self._streams is None else self._streams.run(x)

    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Engine.advance`."""
        return super().advance(x, state) if self._streams is None else self._streams.advance(x, state)

    @torch.inference_mode()
    def _run_windows(self, x: Tensor) -> Tensor:
        if x.shape[1] == 0:
            return self.network.forward_encoded(x)
        prepared = self._for(x)
        threads = min(torch.get_num_threads(), x.shape[1])
        parts = torch.split(x, min(_CLIPS, -(-x.shape[1] // threads)), dim=1)
        work = functools.partial(self._part, prepared)
        if threads == 1:
            hidden = [work(part) for part in parts]
        else:
            # Threads of this call alone: a pool that is kept would hang in a forked process.
            with ThreadPoolExecutor(threads, initializer=_stay_on_this_thread) as pool:
                hidden = list(pool.map(work, parts))
        program = prepared.program
        mean = torch.cat(hidden, dim=1)
        if len(program.mean.shape) == 2:
            mean = mean.flatten(0, 1)
        with no_autocast(_CPU):
            values = {program.trace.operations[0]: x, program.mean: mean}
            return _interpret(prepared.after, values)[program.trace.output].sum(0)

    @torch.inference_mode()
    def _part(self, prepared: _ForShape, x: Tensor) -> Tensor:
        """Hidden values `[T, B, C]` of a few clips."""
        program, plan = prepared.program, prepared.plan
        # Also here: autocast and inference mode are each thread's own.
        with no_autocast(_CPU):
            values = _interpret(prepared.before, {program.trace.operations[0]: x.contiguous()})
            dense = values[program.dense]
        _, clips, channels = dense.shape[:3]
        # Clips first, channels last, in whole vectors.
        rows = dense.movedim((1, 2), (0, -1))
        if channels % LANES:
            rows = nn.functional.pad(rows, (0, padded(channels) - channels))
        rows = rows.contiguous()
        sums = torch.empty((clips, self._num_steps, plan.channels), **FLOAT32)
        self._call(plan, rows, sums)
        return sums[:, :, : plan.width].transpose(0, 1) / plan.positions

    def _for(self, x: Tensor) -> _ForShape:
        """What runs such input.

        Raises:
            NotThisInput: It can't be run, other input can.
            Unsupported: No input could be run so far.
        """
        if x.dtype != torch.float32 or x.device.type != "cpu" or x.layout != torch.strided:
            raise NotThisInput(f"the kernels take float32 on the CPU, not {x.dtype} on {x.device}")
        if cast(SpikingNetwork, self.network).num_steps != self._num_steps:
            raise NotThisInput("the network's num_steps has changed")
        shape = (x.shape[0], *x.shape[2:])
        found = self._shapes.get(shape)
        if found is None:
            with self._lock:
                found = self._shapes.get(shape)
                if found is None:
                    found = self._try(shape)
                    if len(self._shapes) >= _MAX_SHAPES:
                        self._shapes.pop(next(iter(self._shapes)))
                    self._shapes[shape] = found
        if isinstance(found, _ForShape):
            return found
        raise type(found)(str(found))  # one of its own for each thread

    def _try(self, shape: tuple[int, ...]) -> _ForShape | Unsupported:
        try:
            return self._prepared(self._lowered(shape))
        except (Untraceable, Unsupported) as error:
            # What PyTorch refuses as well says nothing about the network.
            other = self._proven or isinstance(error, BadShape)
            return (NotThisInput if other else Unsupported)(f"input {list(shape)}: {error}")

    def _lowered(self, shape: tuple[int, ...]) -> Program:
        return lower(trace(self._twin, shape, summed=True), self._num_steps)

    def _prepared(self, program: Program) -> _ForShape:
        weights = {s.number: self._pack(s.convolution) for s in program.stages if s.convolution is not None}
        plan = make_plan(program, weights, self._num_steps)
        operations, output = program.trace.operations, program.trace.output
        before = _needed(operations, program.dense, ())
        first = operations[0]
        shape = (first.shape[0], *first.shape[2:])
        with torch.inference_mode(), no_autocast(_CPU):
            alone = are_clips_alone(lambda x: _interpret(before, {first: x})[program.dense], shape, 1)
        if not alone:
            raise Unsupported("currents that depend on the other clips of a batch, or on chance")
        prepared = _ForShape(program, plan, before, _needed(operations, output, (program.mean,)))
        self._proven = True
        return prepared

    def _pack(self, conv: Convolution) -> tuple[Tensor, Tensor]:
        """A convolution's weights for the kernels, the same for all shapes of a clip."""
        tensors = [conv.weight, conv.bias, *((conv.norm or {}).get(name) for name in NORM)]
        key = tuple(0 if tensor is None else id(tensor) for tensor in tensors)
        if key not in self._packed:  # the network keeps its tensors, so that these numbers stay theirs
            with torch.inference_mode(False), torch.no_grad():
                self._packed[key] = pack(*folded(conv))
        return self._packed[key]

    def _call(self, plan: Plan, rows: Tensor, sums: Tensor) -> None:
        clips = len(sums)
        memory = torch.empty((plan.memory + 64,), dtype=torch.uint8, device="cpu")
        start = -memory.data_ptr() % 64
        self._kernels.library.snn_run(
            plan.layers,
            ctypes.c_int64(len(plan.layers)),
            ctypes.c_int64(self._num_steps),
            ctypes.c_void_p(address(rows, torch.float32, clips * plan.inputs)),
            ctypes.c_int64(plan.inputs),
            ctypes.c_void_p(address(sums, torch.float32, clips * self._num_steps * plan.channels)),
            ctypes.c_int64(self._num_steps * plan.channels),
            ctypes.c_int64(clips),
            ctypes.c_void_p(address(memory, torch.uint8, plan.memory + 64) + start),
        )

    def details(self) -> dict[str, Any]:
        """See `Engine.details`."""
        return {
            "compiler": self._kernels.compiler,
            "library": str(self._kernels.path),
            "build_seconds": round(self._kernels.seconds, 2),
            **({} if self._streams is None else self._streams.details()),
        }


def _kernels() -> Kernels:
    try:
        return load_kernels()
    except BuildError as error:
        raise Unsupported(str(error)) from error


class NativeBf16Engine(NativeEngine):
    """The same with large linear layers in bfloat16; everything that spikes stays in float32."""

    name: ClassVar[str] = "native+bf16"
    linear_dtype: ClassVar[torch.dtype] = torch.bfloat16


def _needed(
    operations: Sequence[Operation], target: Operation, known: Sequence[Operation]
) -> list[Operation]:
    """The operations that lead to `target` from the input and what is known, in order."""
    wanted = {target}
    for op in reversed(operations):
        if op in wanted and op not in known:
            wanted.update(op.inputs)
    return [op for op in operations if op in wanted and op not in known and op.function is not None]


def _interpret(operations: Sequence[Operation], values: dict[Operation, Tensor]) -> dict[Operation, Tensor]:
    """Run operations; `values` gets what each of them gives."""
    for op in operations:
        assert op.function is not None, "the input is known"
        args, kwargs = _filled(op.args, values), _filled(op.kwargs, values)
        values[op] = op.function(*args, **kwargs)
    return values


def _filled(part: Any, values: dict[Operation, Tensor]) -> Any:
    """Arguments with values in place of operations."""
    if isinstance(part, Operation):
        return values[part]
    if isinstance(part, tuple | list):
        return type(part)(_filled(each, values) for each in part)
    if isinstance(part, dict):
        return {name: _filled(each, values) for name, each in part.items()}
    return part
