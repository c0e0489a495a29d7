"""Rewrites of an ONNX graph: layers of neurons unrolled over their steps, 1-D convolutions made 2-D."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

# The node that stands for a layer of neurons until `expand_neurons`, as `domain::type`.
LIF_DOMAIN, LIF_TYPE = "snn_voice_hub", "Lif"
LIF = f"{LIF_DOMAIN}::{LIF_TYPE}"

# A layer of at least so many neurons is taken apart before pooling; below it, launching more and smaller
# operations costs what they save.
_LARGE = 1 << 15
_MAX_PHASES = 8


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
        """The name of a constant of this value: a float becomes float32, whole numbers int64."""
        from onnx import numpy_helper

        kind = np.float32 if isinstance(value, float) else np.int64
        array = np.asarray(value, dtype=kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name = self._name("constant")
            self._graph.initializer.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def many(self, kind: str, inputs: list[str], count: int, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs and return their names."""
        from onnx import helper

        names = [self._name(kind.lower()) for _ in range(count)]
        self._nodes.append(helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names

    def one(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output and return its name: `output`, or a new one."""
        from onnx import helper

        name = output or self._name(kind.lower())
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def reshape(self, x: str, *shape: int, output: str = "") -> str:
        """Append a reshape; one size may be -1."""
        return self.one("Reshape", x, self.constant(list(shape)), output=output)

    def finish(self) -> None:
        """Put the new nodes in place of the graph's old ones."""
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._mark}{self._count}"


def expand_neurons(model: onnx.ModelProto) -> None:
    """Replace each node of type `LIF` by the operations of all its steps, in place.

    Such a node has the attributes `steps`, `beta`, `threshold`, `before_decay` (the reset rule), `given` (1:
    its input `[1, B, C, ...]` is the current of all steps; T: `[T, B, C, ...]`), `shape` (`[C, ...]`) and
    `pool` (kernel, then stride, of a max pooling of the spikes; empty: none).
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
        self.current, self.output = node.input[0], node.output[0]
        self.steps: int = facts["steps"]
        self.once: bool = facts["given"] < self.steps or self.steps == 1
        self.beta: float = facts["beta"]
        self.threshold: float = facts["threshold"]
        self.before_decay: bool = bool(facts["before_decay"])
        self.channels: int = facts["shape"][0]
        self.sizes: list[int] = list(facts["shape"][1:])
        pool = list(facts.get("pool", []))
        self.kernel, self.stride = pool[: len(self.sizes)], pool[len(self.sizes) :]

    def unroll(self) -> None:
        """Emit all steps, and the pooling of each, from the current to the node's output."""
        phases = math.prod(self.kernel)
        neurons = self.channels * math.prod(self.sizes)
        apart = self.once and self.kernel == self.stride and 1 < phases <= _MAX_PHASES and neurons >= _LARGE
        spikes = self._pooled_by_phase() if apart else self._pooled_by_step()
        out = [size if size else -1 for size in self._out_sizes()]
        if -1 in out:
            raise ValueError("a pooling leaves nothing")
        joined = self.emit.one("Concat", *spikes, axis=0)  # [T * B, C, ...]
        self.emit.reshape(joined, self.steps, -1, self.channels, *out, output=self.output)

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
        from onnx import TensorProto

        emit = self.emit
        decay, threshold = emit.constant(self.beta), emit.constant(self.threshold)
        mem = drop = ""
        for current in currents:
            if not mem:
                mem = current  # at rest before the first step
            elif self.before_decay:
                mem = emit.one("Add", emit.one("Mul", emit.one("Sub", mem, drop), decay), current)
            else:
                mem = emit.one("Sub", emit.one("Add", emit.one("Mul", mem, decay), current), drop)
            spk = emit.one("Cast", emit.one("Greater", mem, threshold), to=TensorProto.FLOAT)
            yield spk
            drop = spk if self.threshold == 1.0 else emit.one("Mul", spk, threshold)


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
