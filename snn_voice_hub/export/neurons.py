"""Rewrites of an ONNX graph: layers of neurons unrolled over their steps, 1-D convolutions made 2-D."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

# The node that stands for a layer of neurons until `expand_neurons`, as `domain::type`.
LIF_DOMAIN, LIF_TYPE = "snn_voice_hub", "Lif"
LIF = f"{LIF_DOMAIN}::{LIF_TYPE}"

# A layer of at least so many neurons is taken apart before pooling; below it, launching more and smaller
# operations costs what they save.
_LARGE = 1 << 15
_MAX_PHASES = 8

# A layer of at least so many steps, each with a current of its own, is one node that runs a step again and
# again. For 50 steps of 128 neurons it was as fast as 50 times the operations, in a twentieth of the file and
# of the time to load it; for 2 steps it took twice as long.
_MANY = 16

Array = npt.NDArray[Any]


class Emitter:
    """Collects the nodes and constants of a new node list.

    Args:
        graph: Where the constants go; its nodes are replaced by `finish`.
        mark: Part of all new names, which no other rewrite of the graph may use.
    """

    def __init__(self, graph: onnx.GraphProto, mark: str) -> None:
        self._graph = graph
        self._mark = mark
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def keep(self, node: onnx.NodeProto) -> None:
        """Append a node as it is."""
        self._nodes.append(node)

    def constant(self, value: Any) -> str:
        """The name of a constant of this value: floats become float32, whole numbers int64."""
        from onnx import numpy_helper

        kind = np.float32 if np.asarray(value).dtype.kind == "f" else np.int64
        array = np.asarray(value, dtype=kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name = self.free("constant")
            self._graph.initializer.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def many(self, kind: str, inputs: list[str], count: int, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs and return their names."""
        from onnx import helper

        names = [self.free(kind.lower()) for _ in range(count)]
        self._nodes.append(helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names

    def one(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output and return its name: `output`, or a new one."""
        from onnx import helper

        name = output or self.free(kind.lower())
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def reshape(self, x: str, *shape: int, output: str = "") -> str:
        """Append a reshape; one size may be -1."""
        return self.one("Reshape", x, self.constant(list(shape)), output=output)

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Append a node whose outputs have names already."""
        from onnx import helper

        self._nodes.append(
            helper.make_node(kind, inputs, outputs, name=self.free(kind.lower()), **attributes)
        )

    def inner(self, mark: str) -> Emitter:
        """For the nodes of a graph inside the next node; what it names no other node may name.

        Args:
            mark: Of this kind of inner graph.
        """
        return Emitter(self._graph, self.free(mark) + "_")

    def as_graph(self, inputs: list[str], outputs: list[str]) -> onnx.GraphProto:
        """The nodes so far as an inner graph, of float32 in and out."""
        from onnx import TensorProto, helper

        before, after = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
            for names in (inputs, outputs)
        )
        return helper.make_graph(self._nodes, f"graph_{self._mark}", before, after)

    def finish(self) -> None:
        """Put the new nodes in place of the graph's old ones."""
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def free(self, stem: str) -> str:
        """A name that no other value has."""
        self._count += 1
        return f"{stem}_{self._mark}{self._count}"


def expand_neurons(model: onnx.ModelProto) -> None:
    """Replace each node of type `LIF` by the operations of all its steps, in place.

    Such a node has the attributes `steps` (0: as many as come), `beta` (of the layer, or one a channel),
    `threshold`, `before_decay` (the reset rule), `given` (1: its input `[1, B, C, ...]` is the current of all
    steps; T: `[T, B, C, ...]`), `shape` (`[C, ...]`) and `pool` (kernel, then stride, of a max pooling of the
    spikes; empty: none). A second input is the membrane before the first step, a second output that after the
    last.
    """
    emit = Emitter(model.graph, "lif")
    for node in model.graph.node:
        if (node.domain, node.op_type) == (LIF_DOMAIN, LIF_TYPE):
            _Unrolled(emit, node).unroll()
        else:
            emit.keep(node)
    emit.finish()
    for i in reversed(range(len(model.opset_import))):
        if model.opset_import[i].domain == LIF_DOMAIN:
            del model.opset_import[i]


class _Unrolled:
    """One layer of neurons.

    The operations and their order are those of `models.lif.lif_step`: another order rounds differently.
    """

    def __init__(self, emit: Emitter, node: onnx.NodeProto) -> None:
        from onnx import helper

        facts: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.emit = emit
        self.current, self.before = (*node.input, "")[:2]
        self.output, self.after = (*node.output, "")[:2]
        self.steps: int = facts["steps"]
        self.once: bool = facts["given"] < self.steps or self.steps == 1
        self.channels: int = facts["shape"][0]
        self.sizes: list[int] = list(facts["shape"][1:])
        self.beta: float | Array = facts["beta"]
        if isinstance(self.beta, list):
            self.beta = np.asarray(self.beta).reshape(-1, *[1] * len(self.sizes))
        self.threshold: float = facts["threshold"]
        self.before_decay: bool = bool(facts["before_decay"])
        pool = list(facts.get("pool", []))
        self.kernel, self.stride = pool[: len(self.sizes)], pool[len(self.sizes) :]

    def unroll(self) -> None:
        """Emit all steps, and the pooling of each, from the current to the node's output."""
        if not self.steps and self.kernel:
            raise ValueError("a pooling over as many steps as come")
        if not self.steps or (self.steps >= _MANY and not self.once and not self.kernel):
            self._scan()
            return
        phases = math.prod(self.kernel)
        neurons = self.channels * math.prod(self.sizes)
        apart = self.once and self.kernel == self.stride and 1 < phases <= _MAX_PHASES and neurons >= _LARGE
        # Phases have membranes of their own.
        apart = apart and not self.before and not self.after
        spikes = self._pooled_by_phase() if apart else self._pooled_by_step()
        out = [size if size else -1 for size in self._out_sizes()]
        if -1 in out:
            raise ValueError("a pooling leaves nothing")
        joined = self.emit.one("Concat", *spikes, axis=0)  # [T * B, C, ...]
        self.emit.reshape(joined, self.steps, -1, self.channels, *out, output=self.output)

    def _scan(self) -> None:
        """One node for all steps, which runs the operations of one of them again and again."""
        from onnx import numpy_helper

        emit, mem = self.emit, self.before
        if not mem:
            zero = numpy_helper.from_array(np.zeros(1, np.float32))
            shape = emit.one("Shape", self.current, start=1)
            mem = emit.one("ConstantOfShape", shape, value=zero)
        inner = emit.inner("scan")
        before, drop, current = given = [inner.free(name) for name in ("mem", "drop", "current")]
        after = self._next(inner, before, drop, current)
        spk, dropped = self._fired(inner, after)
        inner_graph = inner.as_graph(given, [after, inner.one("Identity", dropped), spk])
        emit.add(
            "Scan",
            [mem, self._fired(emit, mem)[1], self.current],
            # ONNX Runtime wants a name also for what nobody reads.
            [self.after or emit.free("mem"), emit.free("drop"), self.output],
            body=inner_graph,
            num_scan_inputs=1,
        )

    def _out_sizes(self) -> list[int]:
        if not self.kernel:
            return self.sizes
        each = zip(self.sizes, self.kernel, self.stride, strict=True)
        return [(size - kernel) // stride + 1 for size, kernel, stride in each]

    def _pooled_by_step(self) -> list[str]:
        emit = self.emit
        flat = emit.reshape(self.current, -1, self.channels, *self.sizes)
        currents = [flat] * self.steps
        if not self.once:
            currents = emit.many("Split", [flat], self.steps, axis=0, num_outputs=self.steps)
        spikes = self._spikes(currents)
        if not self.kernel:
            return list(spikes)
        return [emit.one("MaxPool", spk, kernel_shape=self.kernel, strides=self.stride) for spk in spikes]

    def _pooled_by_phase(self) -> list[str]:
        # The current is the same at all steps, so it pays to sort it once by place in the pooling window.
        # What is pooled together then lies in tensors of its own, small enough for the cache, and pooling
        # is the maximum of a few tensors.
        emit, out = self.emit, self._out_sizes()
        kept = [size * k for size, k in zip(out, self.kernel, strict=True)]
        x = emit.reshape(self.current, -1, self.channels, *self.sizes)
        if kept != self.sizes:
            axes = list(range(2, 2 + len(kept)))
            bounds = [emit.constant(v) for v in ([0] * len(kept), kept, axes)]
            x = emit.one("Slice", x, *bounds)
        windows = [n for pair in zip(out, self.kernel, strict=True) for n in pair]
        x = emit.reshape(x, -1, self.channels, *windows)
        phase_axes = [3 + 2 * i for i in range(len(out))]
        x = emit.one("Transpose", x, perm=[*phase_axes, 0, 1, *(axis - 1 for axis in phase_axes)])
        phases = math.prod(self.kernel)
        x = emit.reshape(x, -1, self.channels, *out)  # [phases * B, C, ...]
        parts = emit.many("Split", [x], phases, axis=0, num_outputs=phases)
        by_phase = [self._spikes([part] * self.steps) for part in parts]
        return [emit.one("Max", *spikes) for spikes in zip(*by_phase, strict=True)]

    def _spikes(self, currents: list[str]) -> Iterator[str]:
        # A step only when it is asked for: what uses its spikes follows at once, while they are in the cache.
        mem, drop = self.before, ""
        if mem:
            drop = self._fired(self.emit, mem)[1]
        for current in currents:
            # At rest before the first step.
            mem = self._next(self.emit, mem, drop, current) if mem else current
            spk, drop = self._fired(self.emit, mem)
            yield spk
        if self.after:
            self.emit.one("Identity", mem, output=self.after)

    def _next(self, emit: Emitter, mem: str, drop: str, current: str) -> str:
        """The membrane after a step."""
        decay = emit.constant(self.beta)
        if self.before_decay:
            return emit.one("Add", emit.one("Mul", emit.one("Sub", mem, drop), decay), current)
        return emit.one("Sub", emit.one("Add", emit.one("Mul", mem, decay), current), drop)

    def _fired(self, emit: Emitter, mem: str) -> tuple[str, str]:
        """The spikes of a membrane, and what the next step subtracts."""
        from onnx import TensorProto

        threshold = emit.constant(self.threshold)
        spk = emit.one("Cast", emit.one("Greater", mem, threshold), to=TensorProto.FLOAT)
        return spk, spk if self.threshold == 1.0 else emit.one("Mul", spk, threshold)


def widen_convolutions(model: onnx.ModelProto) -> None:
    """Make 1-D convolutions 2-D ones over a single row, in place: runtimes have faster kernels for these."""
    from onnx import helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    emit = Emitter(graph, "conv")
    for node in graph.node:
        facts = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or len(facts.get("kernel_shape", ())) != 1:
            emit.keep(node)
            continue
        if len(weight.dims) == 3:
            weight.dims.insert(2, 1)
        row = emit.constant([2])
        x = emit.one("Unsqueeze", node.input[0], row)
        low, high = facts.get("pads", (0, 0))
        y = emit.one(
            "Conv",
            x,
            *node.input[1:],
            group=facts.get("group", 1),
            kernel_shape=[1, *facts["kernel_shape"]],
            strides=[1, *facts.get("strides", (1,))],
            dilations=[1, *facts.get("dilations", (1,))],
            pads=[0, low, 0, high],
        )
        emit.one("Squeeze", y, row, output=node.output[0])
    emit.finish()
